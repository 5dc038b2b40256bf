// SPDX-License-Identifier: Apache-2.0
//
// How long to wait before the next try: exponential with full jitter, as the API server's own
// clients do, so that the agents of a cluster do not all come back in the same moment. Pure: time
// and randomness are given.
#pragma once

#include <optional>

#include "base/units.h"

namespace plimsoll::kube {

struct BackoffBounds {
  Nanoseconds first = std::chrono::milliseconds(800);
  Nanoseconds largest = std::chrono::seconds(30);
  double factor = 2;
  Nanoseconds reset_after = std::chrono::minutes(2);  // without a failure

  bool operator==(const BackoffBounds&) const = default;
};

class Backoff {
 public:
  explicit Backoff(BackoffBounds bounds = {}) : bounds_(bounds) {}

  // After a failure at `now`: `random` (0 to 1) of a bound that doubles from `first` to `largest`.
  // Where the server said Retry-After, that comes before: it is the least, not the whole wait.
  Nanoseconds next(MonotonicTime now, double random,
                   std::optional<Nanoseconds> retry_after = std::nullopt);

  // After a success that proves more than one exchange does.
  void reset() { bound_ = Nanoseconds(0); }

 private:
  BackoffBounds bounds_;
  Nanoseconds bound_{};  // of the last wait; 0: none yet
  MonotonicTime failed_at_;
};

}  // namespace plimsoll::kube
