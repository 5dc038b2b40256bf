// SPDX-License-Identifier: Apache-2.0
//
// The thread that writes Kubernetes Events. post() never blocks and never fails: the queue is
// bounded, the oldest notice gives way and is counted. What may be written is agent/event_policy's
// decision. Refused for lack of rights, it falls silent for a while instead of asking again.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "agent/event_policy.h"
#include "base/result.h"
#include "base/units.h"
#include "kube/http.h"

namespace plimsoll::agent {

struct EventPosterOptions {
  EventLimits limits;
  std::size_t queue = 256;
  std::string instance;  // the node's name
  Nanoseconds silence_when_denied = std::chrono::minutes(10);
  Nanoseconds pause_when_unavailable = std::chrono::seconds(5);  // unless the server says how long
};

class EventPoster {
 public:
  // Sends one request and waits for its reply: kube::Client::send. Called on the poster's thread
  // only.
  using Send = std::function<Result<kube::Response>(const kube::Request&)>;

  struct Totals {
    std::uint64_t posted = 0;      // writes that were stored
    std::uint64_t suppressed = 0;  // notices that became part of another write or wait for one
    std::uint64_t dropped = 0;     // by the full queue
    std::uint64_t failed = 0;      // writes that were refused or given up
    std::uint64_t denied = 0;      // notices while silent for lack of rights

    bool operator==(const Totals&) const = default;
  };

  EventPoster(EventPosterOptions options, Send send);
  // Stops and joins; a request under way is waited for (its deadline bounds it). What is still
  // queued is not written.
  ~EventPoster();
  EventPoster(const EventPoster&) = delete;
  EventPoster& operator=(const EventPoster&) = delete;

  // From any thread but the reaction's.
  void post(Notice notice);
  Totals totals() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace plimsoll::agent
