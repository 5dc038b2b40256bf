// SPDX-License-Identifier: Apache-2.0
#include "agent/history.h"

#include <algorithm>

namespace plimsoll::agent {

void PeakWindow::add(MonotonicTime now, Bytes value, Nanoseconds window) {
  const Nanoseconds width = window / static_cast<std::int64_t>(kParts);
  if (count_ == 0 || now - buckets_[newest_].begin >= width) {
    newest_ = (newest_ + 1) % buckets_.size();
    count_ = std::min(count_ + 1, buckets_.size());
    buckets_[newest_] = {now, value};
    return;
  }
  buckets_[newest_].peak = std::max(buckets_[newest_].peak, value);
}

Bytes PeakWindow::peak(MonotonicTime now, Nanoseconds window) const {
  Bytes peak;
  for (std::size_t age = 0; age < count_; ++age) {
    const Bucket& bucket = buckets_[(newest_ + buckets_.size() - age) % buckets_.size()];
    if (age > 0 && now - bucket.begin >= window) break;
    peak = std::max(peak, bucket.peak);
  }
  return peak;
}

}  // namespace plimsoll::agent
