// SPDX-License-Identifier: Apache-2.0
#include "kube/token_bucket.h"

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cmath>

namespace plimsoll::kube {

TokenBucket::TokenBucket(double per_second, double burst)
    : per_second_(per_second), burst_(burst), tokens_(burst) {
  assert(per_second > 0 && burst >= 1);
}

double TokenBucket::tokens_at(MonotonicTime now) const {
  const double seconds = std::chrono::duration<double>(now - at_).count();
  return std::min(burst_, tokens_ + std::max(seconds, 0.0) * per_second_);
}

bool TokenBucket::take(MonotonicTime now) {
  tokens_ = tokens_at(now);
  at_ = std::max(at_, now);
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

Nanoseconds TokenBucket::wait(MonotonicTime now) const {
  const double missing = 1 - tokens_at(now);
  if (missing <= 0) return Nanoseconds(0);
  // A nanosecond more than computed, so that rounding does not ask for a second wait.
  return Nanoseconds(static_cast<Nanoseconds::rep>(std::ceil(missing / per_second_ * 1e9)) + 1);
}

}  // namespace plimsoll::kube
