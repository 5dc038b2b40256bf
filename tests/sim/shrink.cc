// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/shrink.h"

#include <algorithm>
#include <cstddef>

namespace plimsoll::sim {
namespace {

History without(const History& history, std::size_t from, std::size_t count) {
  History less(history.begin(), history.begin() + static_cast<std::ptrdiff_t>(from));
  const std::size_t rest = std::min(from + count, history.size());
  less.insert(less.end(), history.begin() + static_cast<std::ptrdiff_t>(rest), history.end());
  return less;
}

// Gaps between acts, halved and halved again.
History sooner(const History& history, std::size_t from, std::int64_t ms) {
  History moved = history;
  for (std::size_t i = from; i < moved.size(); ++i) moved[i].at_ms -= ms;
  return moved;
}

}  // namespace

History shrink(History history, const std::function<bool(const History&)>& breaks) {
  for (std::size_t count = std::max<std::size_t>(history.size() / 2, 1); count > 0;) {
    bool shorter = false;
    for (std::size_t from = 0; from < history.size();) {
      History less = without(history, from, count);
      if (breaks(less)) {
        history = std::move(less);
        shorter = true;
      } else {
        from += count;
      }
    }
    if (count > 1) {
      count /= 2;
    } else if (!shorter) {
      count = 0;
    }
  }
  for (std::size_t i = 0; i < history.size(); ++i) {
    const std::int64_t before = i == 0 ? 0 : history[i - 1].at_ms;
    for (std::int64_t gap = history[i].at_ms - before; gap > 1000; gap /= 2) {
      History moved = sooner(history, i, gap / 2);
      if (breaks(moved)) history = std::move(moved);
    }
  }
  return history;
}

}  // namespace plimsoll::sim
