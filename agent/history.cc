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

std::vector<PeakWindow::Bucket> PeakWindow::buckets() const {
  std::vector<Bucket> result;
  for (std::size_t age = count_; age-- > 0;) result.push_back(bucket(age));
  return result;
}

PeakWindow PeakWindow::of(std::span<const Bucket> buckets) {
  PeakWindow result;
  const std::size_t count = std::min(buckets.size(), result.buckets_.size());
  std::copy_n(buckets.end() - static_cast<std::ptrdiff_t>(count), count, result.buckets_.begin());
  result.count_ = count;
  result.newest_ = count == 0 ? 0 : count - 1;
  return result;
}

bool PeakWindow::operator==(const PeakWindow& other) const {
  if (count_ != other.count_) return false;
  for (std::size_t age = 0; age < count_; ++age) {
    if (bucket(age) != other.bucket(age)) return false;
  }
  return true;
}

std::size_t PeakWindow::within(MonotonicTime now, Nanoseconds window) const {
  std::size_t age = 0;
  while (age < count_ && (age == 0 || now - bucket(age).begin < window)) ++age;
  return age;
}

Bytes PeakWindow::peak(MonotonicTime now, Nanoseconds window) const {
  Bytes peak;
  for (std::size_t age = within(now, window); age-- > 0;) peak = std::max(peak, bucket(age).peak);
  return peak;
}

Bytes PeakWindow::lowest(MonotonicTime now, Nanoseconds window) const {
  Bytes lowest = earliest(now, window);
  for (std::size_t age = within(now, window); age-- > 0;) {
    lowest = std::min(lowest, bucket(age).peak);
  }
  return lowest;
}

Bytes PeakWindow::earliest(MonotonicTime now, Nanoseconds window) const {
  const std::size_t count = within(now, window);
  return count == 0 ? Bytes{} : bucket(count - 1).peak;
}

}  // namespace plimsoll::agent
