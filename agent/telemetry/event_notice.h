// SPDX-License-Identifier: Apache-2.0
//
// What deserves a Kubernetes Event, and its words. Pure; agent/telemetry/event_policy.h says which
// of them are written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/engine/engine.h"
#include "agent/resize/resize_event.h"
#include "kube/event.h"

namespace plimsoll::agent {

enum class EventReason : std::uint8_t {
  kMemoryLimitRaised,
  kMemoryLimitLowered,
  kCpuLimitRaised,
  kCpuLimitLowered,
  kResizeRefused,
  kResizeWithdrawn,
  kCgroupFallback,
  kBridgeWithdrawn,
  kLeakSuspected,
  kOutOfBudget,
  kCeilingReached,
  kOomKilled,
  kSteppedBack,
  kAnnotationInvalid,
  kConfigRejected,
};
std::string_view to_string(EventReason reason);  // "MemoryLimitRaised"
std::string_view action_of(EventReason reason);  // "Resize"
bool is_warning(EventReason reason);

// Something that deserves an Event.
struct Notice {
  kube::EventSubject subject;
  EventReason reason = EventReason::kMemoryLimitRaised;
  std::string note;

  bool operator==(const Notice&) const = default;
};

// What a record or an answer is worth saying on the pod; nothing for most of them.
std::optional<Notice> notice_of(const ContainerRef& subject, const Record& record);
std::optional<Notice> notice_of(const ContainerRef& subject, const ResizeEvent& answer);
// `what` quotes the value and says what is allowed.
Notice annotation_notice(const ContainerRef& subject, std::string_view what);
// On the Node: the file was refused, the last good one stays.
Notice config_notice(std::string_view node, std::string_view what);

}  // namespace plimsoll::agent
