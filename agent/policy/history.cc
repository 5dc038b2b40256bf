// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/history.h"

#include <algorithm>

namespace plimsoll::agent {

template <typename Value>
void PeakWindowOf<Value>::add(MonotonicTime now, Value value, Nanoseconds window) {
  const Nanoseconds width = window / static_cast<std::int64_t>(kParts);
  if (count_ == 0 || now - buckets_[newest_].begin >= width) {
    newest_ = (newest_ + 1) % buckets_.size();
    count_ = std::min(count_ + 1, buckets_.size());
    buckets_[newest_] = {now, value};
    return;
  }
  buckets_[newest_].peak = std::max(buckets_[newest_].peak, value);
}

template <typename Value>
std::vector<typename PeakWindowOf<Value>::Bucket> PeakWindowOf<Value>::buckets() const {
  std::vector<Bucket> result;
  for (std::size_t age = count_; age-- > 0;) result.push_back(bucket(age));
  return result;
}

template <typename Value>
PeakWindowOf<Value> PeakWindowOf<Value>::of(std::span<const Bucket> buckets) {
  PeakWindowOf result;
  const std::size_t count = std::min(buckets.size(), result.buckets_.size());
  std::copy_n(buckets.end() - static_cast<std::ptrdiff_t>(count), count, result.buckets_.begin());
  result.count_ = count;
  result.newest_ = count == 0 ? 0 : count - 1;
  return result;
}

template <typename Value>
bool PeakWindowOf<Value>::operator==(const PeakWindowOf& other) const {
  if (count_ != other.count_) return false;
  for (std::size_t age = 0; age < count_; ++age) {
    if (bucket(age) != other.bucket(age)) return false;
  }
  return true;
}

template <typename Value>
std::size_t PeakWindowOf<Value>::within(MonotonicTime now, Nanoseconds window) const {
  std::size_t age = 0;
  while (age < count_ && (age == 0 || now - bucket(age).begin < window)) ++age;
  return age;
}

template <typename Value>
Value PeakWindowOf<Value>::peak(MonotonicTime now, Nanoseconds window) const {
  Value peak{};
  for (std::size_t age = within(now, window); age-- > 0;) peak = std::max(peak, bucket(age).peak);
  return peak;
}

template <typename Value>
Value PeakWindowOf<Value>::lowest(MonotonicTime now, Nanoseconds window) const {
  Value lowest = earliest(now, window);
  for (std::size_t age = within(now, window); age-- > 0;) {
    lowest = std::min(lowest, bucket(age).peak);
  }
  return lowest;
}

template <typename Value>
Value PeakWindowOf<Value>::earliest(MonotonicTime now, Nanoseconds window) const {
  const std::size_t count = within(now, window);
  return count == 0 ? Value{} : bucket(count - 1).peak;
}

template class PeakWindowOf<Bytes>;
template class PeakWindowOf<MilliCpu>;

}  // namespace plimsoll::agent
