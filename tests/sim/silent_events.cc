// SPDX-License-Identifier: Apache-2.0
//
// In the place of agent/telemetry/event_poster.cc: Events go nowhere, for nothing in the cluster
// answers to them and their thread has no part in virtual time.
#include "agent/telemetry/event_poster.h"

namespace plimsoll::agent {

struct EventPoster::Impl {
  Totals totals;
};

EventPoster::EventPoster(EventPosterOptions, Send) : impl_(std::make_unique<Impl>()) {}
EventPoster::~EventPoster() = default;
void EventPoster::post(Notice) { ++impl_->totals.posted; }
EventPoster::Totals EventPoster::totals() const { return impl_->totals; }

}  // namespace plimsoll::agent
