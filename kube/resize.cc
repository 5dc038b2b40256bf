// SPDX-License-Identifier: Apache-2.0
#include "kube/resize.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "kube/pod_json.h"
#include "kube/quantity.h"

namespace plimsoll::kube {
namespace {

using nlohmann::json;

// RFC 3986 unreserved characters stay.
std::string percent_encoded(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

json amounts_json(const Amounts& amounts) {
  json out = json::object();
  if (amounts.memory) out["memory"] = format_memory(*amounts.memory);
  if (amounts.cpu) out["cpu"] = format_cpu(*amounts.cpu);
  return out;
}

json change_json(const ResizeChange& change) {
  json resources = json::object();
  if (json limits = amounts_json(change.limits); !limits.empty()) resources["limits"] = limits;
  if (json requests = amounts_json(change.requests); !requests.empty()) {
    resources["requests"] = requests;
  }
  return {{"name", change.container}, {"resources", resources}};
}

void merge(const Amounts& from, Amounts& to) {
  if (from.memory) to.memory = from.memory;
  if (from.cpu) to.cpu = from.cpu;
}

bool changes_memory(const ResizeChange& change) {
  return change.limits.memory.has_value() || change.requests.memory.has_value();
}
bool changes_cpu(const ResizeChange& change) {
  return change.limits.cpu.has_value() || change.requests.cpu.has_value();
}

// Any change of a resource whose policy is RestartContainer restarts, also of its request.
bool would_restart(const Container& container, const ResizeChange& change) {
  return (changes_memory(change) && container.memory_resize == ResizePolicy::kRestartContainer) ||
         (changes_cpu(change) && container.cpu_resize == ResizePolicy::kRestartContainer);
}

template <typename T>
bool above(const std::optional<T>& a, const std::optional<T>& b) {
  return a && b && *a > *b;
}

Resizability can_apply_one(const Pod& pod, const Container& before, const Container& after,
                           const ResizeChange& change, const ResizeAbility& ability,
                           Restarts restarts) {
  if (restarts == Restarts::kNone && would_restart(before, change)) return Resizability::kRestart;
  const Amounts& limits = after.resources.limits;
  const Amounts& requests = after.resources.requests;
  if (above(requests.memory, limits.memory)) return Resizability::kBelowRequest;
  if (above(requests.cpu, limits.cpu)) return Resizability::kBelowRequest;
  if (pod.resources && (above(limits.memory, pod.resources->limits.memory) ||
                        above(limits.cpu, pod.resources->limits.cpu))) {
    return Resizability::kAbovePod;
  }
  if (ability.minor == 33 && above(before.resources.limits.memory, limits.memory)) {
    return Resizability::kDecrease;
  }
  return Resizability::kYes;
}

template <typename T>
void add_up(const std::optional<T>& amount, std::uint64_t& sum) {
  if (amount) sum += amount->value;
}

}  // namespace

Request resize_request(const Resize& resize, ResizePath path, std::string_view field_manager) {
  json spec = json::object();
  for (const ResizeChange& change : resize.changes) {
    const char* list = change.kind == ContainerKind::kMain ? "containers" : "initContainers";
    spec[list].push_back(change_json(change));
  }
  Request request;
  request.method = Method::kPatch;
  request.path = "/api/v1/namespaces/" + percent_encoded(resize.pod.namespace_name) + "/pods/" +
                 percent_encoded(resize.pod.name);
  if (path == ResizePath::kSubresource) request.path += "/resize";
  request.path += "?fieldManager=" + percent_encoded(field_manager) + "&fieldValidation=Strict";
  if (resize.dry_run) request.path += "&dryRun=All";
  request.content_type = "application/strategic-merge-patch+json";
  request.body = json{{"metadata", {{"uid", resize.pod.uid}}}, {"spec", spec}}.dump(
      -1, ' ', false, json::error_handler_t::replace);
  return request;
}

Resizability can_resize(const Pod& pod, const ResizeAbility& ability, std::string_view node_name) {
  if (pod.node_name != node_name) return Resizability::kOtherNode;
  if (pod.windows) return Resizability::kWindows;
  if (pod.deleted_at) return Resizability::kTerminating;
  if (pod.phase == PodPhase::kSucceeded || pod.phase == PodPhase::kFailed) {
    return Resizability::kFinished;
  }
  if (pod.qos == QosClass::kBestEffort) return Resizability::kBestEffort;
  if (ability.path == ResizePath::kNone) return Resizability::kNoApi;
  if (is_mirror(pod)) return Resizability::kMirror;
  for (const Container& container : pod.containers) {
    if (container.resources.has_claims) return Resizability::kClaims;
  }
  if (pod.resources && (ability.minor < 35 || (ability.minor == 35 && !ability.pod_level))) {
    return Resizability::kPodLevel;
  }
  // The API server looks at the first container that runs.
  for (const Container& container : pod.containers) {
    if (container.kind != ContainerKind::kMain || !container.status) continue;
    if (container.status->state != ContainerState::kRunning) continue;
    if (!container.status->resources) return Resizability::kOldNode;
    break;
  }
  return Resizability::kYes;
}

namespace {

// Whatever of it is resized.
Resizability can_resize_container(const Pod& pod, const Container* container,
                                  const ResizeAbility& ability) {
  if (container == nullptr) return Resizability::kNoSuchContainer;
  const bool running = container->status && container->status->state == ContainerState::kRunning;
  if (container->kind == ContainerKind::kInit &&
      (ability.minor < 36 || !ability.init_containers || !running)) {
    return Resizability::kInit;
  }
  if (container->kind == ContainerKind::kSidecar && ability.minor < 33) return Resizability::kInit;
  if (container->status && container->status->state == ContainerState::kTerminated &&
      pod.restart_policy == RestartPolicy::kNever) {
    return Resizability::kNotRunning;
  }
  return Resizability::kYes;
}

}  // namespace

Resizability can_resize_memory(const Pod& pod, std::string_view name,
                               const ResizeAbility& ability) {
  const Container* container = find_container(pod, name);
  const Resizability why = can_resize_container(pod, container, ability);
  if (why != Resizability::kYes) return why;
  if (!container->resources.limits.memory) return Resizability::kNoLimit;
  if (!container->resources.requests.memory) return Resizability::kNoRequest;
  if (container->memory_resize == ResizePolicy::kRestartContainer) return Resizability::kRestart;
  // system-node-critical and system-cluster-critical begin here.
  constexpr std::int32_t kCriticalPriority = 2'000'000'000;
  if (pod.qos == QosClass::kGuaranteed && pod.priority.value_or(0) >= kCriticalPriority) {
    return Resizability::kCritical;
  }
  return Resizability::kYes;
}

Resizability can_resize_cpu(const Pod& pod, std::string_view name, const ResizeAbility& ability) {
  const Container* container = find_container(pod, name);
  const Resizability why = can_resize_container(pod, container, ability);
  if (why != Resizability::kYes) return why;
  if (!container->resources.limits.cpu) return Resizability::kNoLimit;
  if (!container->resources.requests.cpu) return Resizability::kNoRequest;
  if (container->cpu_resize == ResizePolicy::kRestartContainer) return Resizability::kRestart;
  if (pod.qos.value_or(qos_of(pod)) == QosClass::kGuaranteed) return Resizability::kQos;
  return Resizability::kYes;
}

Resizability can_apply(const Pod& pod, std::span<const ResizeChange> changes,
                       const ResizeAbility& ability, Restarts restarts) {
  const Pod after = applied(pod, changes);
  for (const ResizeChange& change : changes) {
    const Container* before = find_container(pod, change.container);
    if (before == nullptr || before->kind != change.kind) return Resizability::kNoSuchContainer;
    const Resizability one = can_apply_one(pod, *before, *find_container(after, change.container),
                                           change, ability, restarts);
    if (one != Resizability::kYes) return one;
  }
  if (qos_of(after) != qos_of(pod)) return Resizability::kQos;
  return Resizability::kYes;
}

std::optional<ResizeChange> memory_change(const Pod& pod, std::string_view name, Bytes limit) {
  const Container* container = find_container(pod, name);
  if (container == nullptr) return std::nullopt;
  const bool guaranteed =
      pod.qos ? pod.qos == QosClass::kGuaranteed : qos_of(pod) == QosClass::kGuaranteed;
  ResizeChange change{
      .container = container->name, .kind = container->kind, .requests = {}, .limits = {}};
  if (container->resources.limits.memory != limit) change.limits.memory = limit;
  if (guaranteed && container->resources.requests.memory != limit) change.requests.memory = limit;
  if (!changes_memory(change)) return std::nullopt;
  return change;
}

std::optional<ResizeChange> cpu_change(const Pod& pod, std::string_view name, MilliCpu limit) {
  const Container* container = find_container(pod, name);
  if (container == nullptr || container->resources.limits.cpu == limit) return std::nullopt;
  ResizeChange change{
      .container = container->name, .kind = container->kind, .requests = {}, .limits = {}};
  change.limits.cpu = limit;
  return change;
}

Pod applied(Pod pod, std::span<const ResizeChange> changes) {
  for (const ResizeChange& change : changes) {
    for (Container& container : pod.containers) {
      if (container.name != change.container) continue;
      merge(change.limits, container.resources.limits);
      merge(change.requests, container.resources.requests);
    }
  }
  return pod;
}

QosClass qos_of(const Pod& pod) {
  struct Sums {
    std::uint64_t memory = 0;
    std::uint64_t cpu = 0;
    bool operator==(const Sums&) const = default;
  };
  Sums requests;
  Sums limits;
  bool all_limited = true;
  const auto count = [&](const Resources& resources) {
    add_up(resources.requests.memory, requests.memory);
    add_up(resources.requests.cpu, requests.cpu);
    add_up(resources.limits.memory, limits.memory);
    add_up(resources.limits.cpu, limits.cpu);
    all_limited &= resources.limits.memory.value_or(Bytes{}).value > 0 &&
                   resources.limits.cpu.value_or(MilliCpu{}).value > 0;
  };
  if (pod.resources) {
    count(*pod.resources);
  } else {
    for (const Container& container : pod.containers) count(container.resources);
  }
  if (requests == Sums{} && limits == Sums{}) return QosClass::kBestEffort;
  return all_limited && requests == limits ? QosClass::kGuaranteed : QosClass::kBurstable;
}

namespace {

template <typename T>
std::optional<T> pod_limit(const Pod& pod, std::optional<T> Amounts::*of) {
  const T overhead = (pod.overhead.*of).value_or(T{});
  if (pod.resources && pod.resources->limits.*of) return *(pod.resources->limits.*of) + overhead;
  T running;   // of what runs as long as the pod
  T sidecars;  // of those that precede an init container, in the order of the spec
  T largest_init;
  for (const Container& container : pod.containers) {
    const std::optional<T>& limit = container.resources.limits.*of;
    if (!limit || limit->value == 0) return std::nullopt;
    if (container.kind == ContainerKind::kInit) {
      largest_init = std::max(largest_init, sidecars + *limit);
      continue;
    }
    running += *limit;
    if (container.kind == ContainerKind::kSidecar) sidecars += *limit;
  }
  if (pod.containers.empty()) return std::nullopt;
  return std::max(running, largest_init) + overhead;
}

}  // namespace

std::optional<Bytes> pod_memory_limit(const Pod& pod) { return pod_limit(pod, &Amounts::memory); }

std::optional<MilliCpu> pod_cpu_limit(const Pod& pod) { return pod_limit(pod, &Amounts::cpu); }

Result<Pod> parse_resize_reply(const Response& response) {
  if (response.status != 200) {
    return fail(Code::kMalformed,
                "the answer to a resize has status " + std::to_string(response.status));
  }
  return parse_pod(response.body);
}

}  // namespace plimsoll::kube
