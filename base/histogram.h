// SPDX-License-Identifier: Apache-2.0
//
// Distribution: a histogram's counts, as whoever measures keeps them and a scrape shows them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace plimsoll {

// How many values were at most each bound, and their sum.
class Distribution {
 public:
  explicit Distribution(std::span<const double> bounds)  // rising; must outlive this
      : bounds_(bounds), counts_(bounds.size() + 1) {}

  void add(double value) {
    const auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), value);
    ++counts_[static_cast<std::size_t>(bound - bounds_.begin())];
    sum_ += value;
  }
  std::span<const double> bounds() const { return bounds_; }
  // One more than the bounds; not cumulative.
  std::span<const std::uint64_t> counts() const { return counts_; }
  double sum() const { return sum_; }

 private:
  std::span<const double> bounds_;
  std::vector<std::uint64_t> counts_;
  double sum_ = 0;
};

}  // namespace plimsoll
