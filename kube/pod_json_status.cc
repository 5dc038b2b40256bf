// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include "kube/api_time.h"
#include "kube/pod_json.h"
#include "kube/pod_json_parts.h"

namespace plimsoll::kube {

std::optional<ApiTime> read_time(JsonValue value) {
  if (!value.present()) return std::nullopt;
  const auto time = parse_api_time(value.text());
  if (!time) value.problem("is not a time");
  return time;
}

std::optional<std::int64_t> read_generation(JsonValue value) {
  const auto generation = value.integer();
  return generation && *generation > 0 ? generation : std::nullopt;
}

Amounts read_amounts(JsonValue value) {
  Amounts amounts;
  if (const JsonValue memory = value["memory"]; memory.present()) {
    if (const auto bytes = parse_memory(memory.text_or_number())) {
      amounts.memory = *bytes;
    } else {
      memory.problem(bytes.error().message);
    }
  }
  if (const JsonValue cpu = value["cpu"]; cpu.present()) {
    if (const auto milli = parse_cpu(cpu.text_or_number())) {
      amounts.cpu = *milli;
    } else {
      cpu.problem(milli.error().message);
    }
  }
  return amounts;
}

Resources read_resources(JsonValue value) {
  return {.requests = read_amounts(value["requests"]),
          .limits = read_amounts(value["limits"]),
          .has_claims = value["claims"].size() > 0};
}

std::optional<Resources> read_resources_if_present(JsonValue value) {
  return value.present() ? std::optional(read_resources(value)) : std::nullopt;
}

namespace {

std::optional<Amounts> read_amounts_if_present(JsonValue value) {
  return value.present() ? std::optional(read_amounts(value)) : std::nullopt;
}

Termination read_termination(JsonValue value) {
  // 0 when absent is also what the API means by it.
  const auto code = value["exitCode"].integer().value_or(0);
  return {.reason = value["reason"].text(),
          .exit_code = static_cast<std::int32_t>(std::clamp<std::int64_t>(code, -256, 256)),
          .finished_at = read_time(value["finishedAt"])};
}

ContainerStatus read_container_status(JsonValue value) {
  ContainerStatus status{.id = value["containerID"].text()};
  const JsonValue state = value["state"];
  if (state["running"].present()) {
    status.state = ContainerState::kRunning;
    status.started_at = read_time(state["running"]["startedAt"]);
  } else if (state["terminated"].present()) {
    status.state = ContainerState::kTerminated;
    status.reason = state["terminated"]["reason"].text();
  } else {
    status.reason = state["waiting"]["reason"].text();
  }
  if (const JsonValue last = value["lastState"]["terminated"]; last.present()) {
    status.last_state = read_termination(last);
  }
  status.ready = value["ready"].boolean();
  status.started = value["started"].boolean();
  const auto restarts = value["restartCount"].integer().value_or(0);
  status.restart_count =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(restarts, 0, INT32_MAX));
  status.resources = read_resources_if_present(value["resources"]);
  status.allocated = read_amounts_if_present(value["allocatedResources"]);
  return status;
}

void read_container_statuses(JsonValue list, bool init, Pod& pod) {
  if (list.size() > kMostContainers) return list.problem("has too many containers");
  list.for_each_element([&](JsonValue value) {
    const std::string name = value["name"].text();
    const auto container =
        std::find_if(pod.containers.begin(), pod.containers.end(), [&](const Container& known) {
          return known.name == name && (known.kind != ContainerKind::kMain) == init;
        });
    if (container != pod.containers.end()) container->status = read_container_status(value);
  });
}

ResizeCondition read_condition(JsonValue value) {
  std::string message = value["message"].text();
  if (message.size() > kLongestMessage) {
    std::size_t end = kLongestMessage;
    // Not in the middle of a UTF-8 character.
    while (end > 0 && (static_cast<unsigned char>(message[end]) & 0xc0) == 0x80) --end;
    message.resize(end);
  }
  return {.reason = value["reason"].text(),
          .message = std::move(message),
          .observed_generation = read_generation(value["observedGeneration"])};
}

std::optional<LegacyResize> read_legacy_resize(JsonValue value) {
  const std::string text = value.text();
  if (text == "Proposed") return LegacyResize::kProposed;
  if (text == "InProgress") return LegacyResize::kInProgress;
  if (text == "Deferred") return LegacyResize::kDeferred;
  if (text == "Infeasible") return LegacyResize::kInfeasible;
  return std::nullopt;
}

PodPhase read_phase(JsonValue value) {
  constexpr std::array kPhases{PodPhase::kPending, PodPhase::kRunning, PodPhase::kSucceeded,
                               PodPhase::kFailed};
  const std::string text = value.text();
  for (const PodPhase phase : kPhases) {
    if (to_string(phase) == text) return phase;
  }
  return PodPhase::kUnknown;
}

std::optional<QosClass> read_qos(JsonValue value) {
  constexpr std::array kClasses{QosClass::kGuaranteed, QosClass::kBurstable, QosClass::kBestEffort};
  const std::string text = value.text();
  for (const QosClass qos : kClasses) {
    if (to_string(qos) == text) return qos;
  }
  return std::nullopt;
}

}  // namespace

void read_status(JsonValue status, Pod& pod) {
  pod.phase = read_phase(status["phase"]);
  pod.qos = read_qos(status["qosClass"]);
  pod.observed_generation = read_generation(status["observedGeneration"]);
  pod.resize.legacy = read_legacy_resize(status["resize"]);
  status["conditions"].for_each_element([&](JsonValue condition) {
    if (condition["status"].text() != "True") return;
    const std::string type = condition["type"].text();
    if (type == "PodResizePending") pod.resize.pending = read_condition(condition);
    if (type == "PodResizeInProgress") pod.resize.in_progress = read_condition(condition);
  });
  read_container_statuses(status["containerStatuses"], false, pod);
  read_container_statuses(status["initContainerStatuses"], true, pod);
  pod.status_resources = read_resources_if_present(status["resources"]);
  pod.allocated = read_amounts_if_present(status["allocatedResources"]);
}

}  // namespace plimsoll::kube
