// SPDX-License-Identifier: Apache-2.0
//
// A bound on requests per time, with a burst: no bug and no storm on the node makes one agent a
// load on the API server. Pure: time is given. One thread.
#pragma once

#include "base/units.h"

namespace plimsoll::kube {

class TokenBucket {
 public:
  // `per_second` tokens come in, at most `burst` are kept; it starts full. Both above 0.
  TokenBucket(double per_second, double burst);

  // Takes one token if there is one. A clock that goes back adds none.
  bool take(MonotonicTime now);

  // Until take() may succeed; 0: now.
  Nanoseconds wait(MonotonicTime now) const;

 private:
  double tokens_at(MonotonicTime now) const;

  double per_second_;
  double burst_;
  double tokens_;
  MonotonicTime at_;  // of `tokens_`
};

}  // namespace plimsoll::kube
