// SPDX-License-Identifier: Apache-2.0
//
// The thread that writes Kubernetes Events. post() never blocks and never fails: the queue is
// bounded, the oldest notice gives way and is counted. What may be written is
// agent/telemetry/event_policy's decision. Refused for lack of rights, it falls silent for a while
// instead of asking again.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "agent/telemetry/event_policy.h"
#include "base/units.h"
#include "kube/client.h"

namespace plimsoll::agent {

// Whose Events they are; deploy/daemonset.yaml binds the agent to it.
inline constexpr const char* kReportingController = "plimsoll.dev/agent";

struct EventPosterOptions {
  EventLimits limits;
  std::size_t queue = 256;
  std::string instance;  // the node's name
  Nanoseconds silence_when_denied = std::chrono::minutes(10);
  // An API server that is away is asked again, later each time; the server's own wish comes first.
  Nanoseconds pause = std::chrono::seconds(2);
  Nanoseconds pause_max = std::chrono::minutes(1);
  std::uint32_t attempts = 10;  // for one write
};

class EventPoster {
 public:
  // Sends one request and waits for its reply: kube::Client::send. Called on the poster's thread
  // only.
  using Send = std::function<kube::Reply(const kube::Request&)>;

  struct Totals {
    std::uint64_t posted = 0;      // writes that were stored
    std::uint64_t suppressed = 0;  // notices that became part of another write or wait for one
    std::uint64_t dropped = 0;     // notices that gave way in the full queue
    std::uint64_t failed = 0;      // writes that were refused, given up, or due while silent

    bool operator==(const Totals&) const = default;
  };

  EventPoster(EventPosterOptions options, Send send);
  // Stops and joins; a request under way is waited for (kube::Client::stop() ends it at once).
  // What is still queued is not written.
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
