// SPDX-License-Identifier: Apache-2.0
//
// Kubernetes Events (events.k8s.io/v1) as values: what a POST of one and a PATCH of its series look
// like. Used by agent/telemetry/event_poster. Whatever is put in, what comes out is within the
// bounds that the API server enforces (lengths in bytes, a name that is a DNS subdomain, the pod's
// namespace).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "kube/http.h"

namespace plimsoll::kube {

// The precision of the API's MicroTime.
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;
// "2026-11-21T21:31:32.123456Z"
std::string micro_time(WallTime time);

// What an event is about.
struct EventSubject {
  std::string kind = "Pod";
  std::string name_space;  // empty for a Node: its events live in "default"
  std::string name;
  std::string uid;
  std::string container;  // may be empty

  bool operator==(const EventSubject&) const = default;
};

inline constexpr std::size_t kLongestNote = 1024;
inline constexpr std::size_t kLongestReason = 128;  // of action and reporting instance as well
inline constexpr std::size_t kLongestName = 253;

struct Event {
  std::string name;  // event_name()
  EventSubject subject;
  std::string reason;  // CamelCase, why
  std::string action;  // CamelCase, what was done
  std::string note;    // for people
  bool warning = false;
  WallTime time;
  std::string controller;  // a qualified name: "plimsoll.dev/agent"
  std::string instance;    // which of them: the node's name

  bool operator==(const Event&) const = default;
};

// "<object>.<16 hex digits>", shortened to kLongestName. `unique` must differ between two events of
// one object: nanoseconds of the wall clock, say.
std::string event_name(std::string_view object, std::uint64_t unique);

// The namespace that events about `subject` must be in.
std::string_view event_namespace(const EventSubject& subject);

Request create_event(const Event& event);

// The event `name` was seen `count` times (2 or more), last at `last`. Its note cannot change any
// more: the API server refuses that.
Request update_series(std::string_view name_space, std::string_view name, std::uint32_t count,
                      WallTime last);

}  // namespace plimsoll::kube
