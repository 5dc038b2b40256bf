// SPDX-License-Identifier: Apache-2.0
#include "kube/backoff.h"

#include <algorithm>

namespace plimsoll::kube {
namespace {

Nanoseconds scaled(Nanoseconds duration, double by) {
  return Nanoseconds(static_cast<Nanoseconds::rep>(static_cast<double>(duration.count()) * by));
}

}  // namespace

Nanoseconds Backoff::next(MonotonicTime now, double random,
                          std::optional<Nanoseconds> retry_after) {
  if (bound_ > Nanoseconds(0) && now - failed_at_ >= bounds_.reset_after) reset();
  bound_ = bound_ == Nanoseconds(0) ? bounds_.first
                                    : std::min(scaled(bound_, bounds_.factor), bounds_.largest);
  failed_at_ = now;
  return retry_after.value_or(Nanoseconds(0)) + scaled(bound_, std::clamp(random, 0.0, 1.0));
}

}  // namespace plimsoll::kube
