// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/api_server.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/support/resize_scene.h"

namespace plimsoll::sim {
namespace {

using kube::Resizability;

std::string mebi(Bytes bytes) { return std::to_string(bytes.value / kMiB) + "Mi"; }

template <class Amount>
Amount limits_of(const kube::Pod& pod, std::optional<Amount> kube::Amounts::*limit) {
  Amount sum;
  for (const kube::Container& each : pod.containers) {
    sum += (each.resources.limits.*limit).value_or(Amount{});
  }
  return sum;
}

std::string spelled(Bytes bytes) { return mebi(bytes); }
std::string spelled(MilliCpu cpu) { return std::to_string(cpu.value) + "m"; }

// What ValidatePodResize says, where it says no.
std::string invalid(Resizability why) {
  switch (why) {
    case Resizability::kQos:
    case Resizability::kBestEffort:
      return "Pod QOS Class may not change as a result of resizing";
    case Resizability::kClaims:
      return "only cpu and memory resources are mutable";
    case Resizability::kMirror:
      return "static pods cannot be resized";
    case Resizability::kOldNode:
      return "Pod running on node without support for resize";
    case Resizability::kPodLevel:
      return "pods with pod-level resources cannot be resized";
    case Resizability::kAbovePod:
      return "must be less than or equal to pod limits of the container";
    case Resizability::kBelowRequest:
      return "must be less than or equal to memory limit of the container";
    default:
      return std::string(kube::explain(why));
  }
}

}  // namespace

kube::Response status_of(int code, std::string_view reason, const std::string& message,
                         std::string_view pod) {
  nlohmann::json body{{"kind", "Status"},
                      {"apiVersion", "v1"},
                      {"status", "Failure"},
                      {"code", code},
                      {"reason", std::string(reason)},
                      {"message", message}};
  if (!pod.empty()) body["details"] = {{"name", std::string(pod)}, {"kind", "pods"}};
  return {.status = code, .content_type = "application/json", .body = body.dump()};
}

const kube::Pod& ApiServer::create(kube::Pod pod) {
  pod.generation = 1;
  pod.resource_version = std::to_string(++version_);
  return pods_.insert_or_assign(pod.id.uid, std::move(pod)).first->second;
}

const kube::Pod* ApiServer::find(const std::string& uid) const {
  const auto found = pods_.find(uid);
  return found == pods_.end() ? nullptr : &found->second;
}

void ApiServer::restore(const kube::Pod& pod) {
  const auto found = pods_.find(pod.id.uid);
  if (found == pods_.end()) return;
  const kube::Pod now = std::exchange(found->second, pod);
  for (kube::Container& each : found->second.containers) {
    if (const kube::Container* is = kube::find_container(now, each.name)) each.status = is->status;
  }
  found->second.phase = now.phase;
  found->second.resource_version = std::to_string(++version_);
}

Answer ApiServer::judge(const kube::Resize& resize) const {
  const kube::Pod* stored = find(resize.pod.uid);
  const std::string& name = resize.pod.name;
  const auto no = [&](int code, std::string_view reason, const std::string& message) {
    return Answer{.response = status_of(code, reason, message, name)};
  };
  const std::string forbidden = "pods \"" + name + "\" is forbidden: ";
  if (stored == nullptr) return no(404, "NotFound", "pods \"" + name + "\" not found");
  const kube::ResizeAbility ability{.path = kube::ResizePath::kSubresource,
                                    .minor = 36,
                                    .init_containers = true,
                                    .pod_level = true};
  Resizability possible = kube::can_resize(*stored, ability, stored->node_name);
  if (possible == Resizability::kYes || possible == Resizability::kTerminating) {
    possible = kube::can_apply(*stored, resize.changes, ability);
  }
  if (possible != Resizability::kYes) {
    return no(422, "Invalid",
              "Pod \"" + name + "\" is invalid: spec: Forbidden: " + invalid(possible));
  }
  kube::Pod wanted = kube::applied(*stored, resize.changes);
  const auto found = admission_.find(stored->id.namespace_name);
  if (found == admission_.end()) return {.pod = std::move(wanted)};
  const Admission& admission = found->second;
  switch (admission.webhook) {
    case kNoWebhook:
      break;
    case kDenies:
      return no(403, "Forbidden", "admission webhook \"cap.example.com\" denied the request: no");
    case kDeniesContainer: {
      const std::string denied = "c" + std::to_string(admission.webhook_value);
      const bool touched = std::any_of(resize.changes.begin(), resize.changes.end(),
                                       [&](const auto& each) { return each.container == denied; });
      if (!touched) break;
      return no(403, "Forbidden",
                "admission webhook \"cap.example.com\" denied the request: not " + denied);
    }
    case kClamps: {
      const Bytes most{static_cast<std::uint64_t>(admission.webhook_value) * kMiB};
      for (kube::Container& each : wanted.containers) {
        const kube::Container* before = kube::find_container(*stored, each.name);
        auto& limit = each.resources.limits.memory;
        if (limit && *limit > most) limit = std::max(most, *before->resources.limits.memory);
      }
      break;
    }
    case kTimesOut:
      return no(500, "InternalError",
                "Internal error occurred: failed calling webhook \"cap.example.com\": failed to "
                "call webhook: Post \"https://cap.policy.svc:443/?timeout=10s\": context deadline "
                "exceeded");
    case kIsDown:
      return no(500, "InternalError",
                "Internal error occurred: failed calling webhook \"cap.example.com\": failed to "
                "call webhook: Post \"https://cap.policy.svc:443/?timeout=10s\": no endpoints "
                "available for service \"cap\"");
  }
  if (admission.range) {
    for (const kube::Container& each : wanted.containers) {
      const auto& limit = each.resources.limits.memory;
      if (!limit || *limit <= *admission.range) continue;
      return no(403, "Forbidden",
                forbidden + "maximum memory usage per Container is " + mebi(*admission.range) +
                    ", but limit is " + mebi(*limit));
    }
  }
  const auto beyond = [&](const auto& quota, auto limit, const std::string& resource) {
    const auto before = limits_of(*stored, limit);
    const auto after = limits_of(wanted, limit);
    if (!quota || after <= before) return std::string();
    auto used = before - before;
    for (const auto& [uid, pod] : pods_) {
      if (pod.id.namespace_name == stored->id.namespace_name) used += limits_of(pod, limit);
    }
    const auto more = after - before;
    if (used + more <= *quota) return std::string();
    return "exceeded quota: rq, requested: " + resource + "=" + spelled(more) +
           ", used: " + resource + "=" + spelled(used) + ", limited: " + resource + "=" +
           spelled(*quota);
  };
  for (const std::string& why : {beyond(admission.quota, &kube::Amounts::memory, "limits.memory"),
                                 beyond(admission.cpu_quota, &kube::Amounts::cpu, "limits.cpu")}) {
    if (!why.empty()) return no(403, "Forbidden", forbidden + why);
  }
  return {.pod = std::move(wanted)};
}

bool ApiServer::would_store(const kube::Resize& resize) const {
  const Answer answer = judge(resize);
  return answer.pod && *answer.pod == kube::applied(*find(resize.pod.uid), resize.changes);
}

Answer ApiServer::resize(const kube::Resize& resize, std::string_view manager, MonotonicTime now) {
  Answer answer = judge(resize);
  if (!answer.pod) return answer;
  kube::Pod& stored = pods_.at(resize.pod.uid);
  if (*answer.pod == stored) return answer;
  *answer.pod->generation += 1;
  agent::resize_test::own_limits(*answer.pod, stored, std::string(manager), now);
  if (resize.dry_run) return answer;
  answer.pod->resource_version = std::to_string(++version_);
  stored = *answer.pod;
  return answer;
}

}  // namespace plimsoll::sim
