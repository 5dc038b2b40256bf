// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/admission.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "tests/fake_api/pod_resources.h"
#include "tests/fake_api/quantity.h"

namespace plimsoll::test {
namespace {

std::string bracketed(const std::vector<std::string>& reasons) {
  std::string text;
  for (const std::string& reason : reasons) text += (text.empty() ? "" : ", ") + reason;
  return reasons.size() == 1 ? text : "[" + text + "]";
}

double ratio(const Quantity& limit, const Quantity& request) {
  return static_cast<double>(limit.nano) / static_cast<double>(request.nano);
}

void container_against(const Json& item, const Json& resources, std::vector<std::string>& reasons) {
  const Json& limits = member(resources, "limits");
  const Json& requests = member(resources, "requests");
  for (const auto& [name, value] : member(item, "min").items()) {
    const auto least = quantity_of(value);
    const auto request = quantity_of(member(requests, name));
    if (least && request && *request < *least) {
      reasons.push_back("minimum " + name + " usage per Container is " + to_string(*least) +
                        ", but request is " + to_string(*request));
    }
  }
  for (const auto& [name, value] : member(item, "max").items()) {
    const auto most = quantity_of(value);
    const auto limit = quantity_of(member(limits, name));
    if (most && limit && *limit > *most) {
      reasons.push_back("maximum " + name + " usage per Container is " + to_string(*most) +
                        ", but limit is " + to_string(*limit));
    }
  }
  for (const auto& [name, value] : member(item, "maxLimitRequestRatio").items()) {
    const auto most = quantity_of(value);
    const auto limit = quantity_of(member(limits, name));
    const auto request = quantity_of(member(requests, name));
    if (!most || !limit || !request || request->nano == 0) continue;
    if (ratio(*limit, *request) > static_cast<double>(most->nano) / 1e9) {
      std::array<char, 64> provided{};
      std::snprintf(provided.data(), provided.size(), "%f", ratio(*limit, *request));
      reasons.push_back(name + " max limit to request ratio per Container is " + to_string(*most) +
                        ", but provided ratio is " + provided.data());
    }
  }
}

// The whole pod is looked at again, also what did not change.
std::optional<Reply> refused_by_limit_range(const AdmissionRequest& request,
                                            const AdmissionWorld& world) {
  std::vector<std::string> reasons;
  for (const Json& range : world.limit_ranges) {
    for (const Json& item : member(member(range, "spec"), "limits")) {
      if (text_at(item, "type") != "Container") continue;
      for (const std::string_view list : {kContainers, kInitContainers}) {
        for (const Json& container : member(member(request.changed, "spec"), list)) {
          container_against(item, member(container, "resources"), reasons);
        }
      }
    }
  }
  if (reasons.empty()) return std::nullopt;
  return forbidden_reply("pods", request.pod, bracketed(reasons));
}

bool differs_in(const Json& old, const Json& changed, bool init_containers) {
  if (!init_containers) {
    return !same(member(member(old, "spec"), "resources"),
                 member(member(changed, "spec"), "resources"));
  }
  const Json& before = member(member(old, "spec"), kInitContainers);
  const Json& after = member(member(changed, "spec"), kInitContainers);
  for (std::size_t i = 0; i < before.size() && i < after.size(); ++i) {
    if (!is_sidecar(before[i]) && !same(before[i], after[i])) return true;
  }
  return false;
}

std::optional<Reply> refused_by_node_features(const AdmissionRequest& request, const Json& node) {
  const Json& declared = member(member(node, "status"), "declaredFeatures");
  const auto declares = [&](const char* feature) {
    return std::find(declared.begin(), declared.end(), Json(feature)) != declared.end();
  };
  std::string missing;
  const auto needs = [&](bool needed, const char* feature) {
    if (needed && !declares(feature))
      missing += (missing.empty() ? "" : ", ") + std::string(feature);
  };
  needs(differs_in(request.old, request.changed, false), "InPlacePodLevelResourcesVerticalScaling");
  needs(differs_in(request.old, request.changed, true), "InPlacePodVerticalScalingInitContainers");
  if (missing.empty()) return std::nullopt;
  return forbidden_reply("pods", request.pod,
                         "pod update requires features " + missing +
                             " which are not available on node " +
                             in_quotes(text_at(member(node, "metadata"), "name")));
}

std::optional<Reply> refused_by_capacity(const AdmissionRequest& request, const Json& node) {
  const Json& allocatable = member(member(node, "status"), "allocatable");
  for (const char* name : {"cpu", "memory"}) {
    auto most = quantity_of(member(allocatable, name));
    if (!most) continue;
    if (std::string_view(name) == "cpu") most->nano *= 1000;
    const long long requested = pod_total(request.changed, "requests", name);
    if (requested <= whole(*most)) continue;
    return forbidden_reply("pods", request.pod,
                           "node didn't have enough allocatable resources: " + std::string(name) +
                               ", requested: " + std::to_string(requested) +
                               ", allocatable: " + std::to_string(whole(*most)),
                           Json::array({{{"reason", "NodeCapacity"}}}));
  }
  return std::nullopt;
}

std::optional<Reply> refused_by_policy(const AdmissionRequest& request,
                                       const AdmissionWorld& world) {
  const auto& users = world.node_bound_users;
  if (std::find(users.begin(), users.end(), request.user) == users.end()) return std::nullopt;
  const std::string node = text_at(member(request.old, "spec"), "nodeName");
  std::string why;
  if (request.user_node.empty()) {
    why = "no node association in the token; it must be bound to a pod or node";
  } else if (request.user_node != node) {
    why = "agent of node " + request.user_node + " may not resize a pod on node" +
          (node.empty() ? "" : " " + node);
  } else {
    return std::nullopt;
  }
  const std::string message =
      "ValidatingAdmissionPolicy 'resize-own-node-only' with binding 'resize-own-node-only' denied "
      "request: " +
      why;
  return forbidden_reply("pods", request.pod, message, Json::array({{{"message", message}}}));
}

// Only what grows is counted against the quota.
std::optional<Reply> refused_by_quota(const AdmissionRequest& request,
                                      const AdmissionWorld& world) {
  for (const Json& quota : world.resource_quotas) {
    std::string asked;
    std::string used;
    std::string limited;
    for (const auto& [name, value] : member(member(quota, "spec"), "hard").items()) {
      const auto before = quota_usage(request.old, name);
      const auto after = quota_usage(request.changed, name);
      const auto hard = quantity_of(value);
      auto in_use = quantity_of(member(member(member(quota, "status"), "used"), name));
      if (!before || !after || !hard || *after <= *before) continue;
      const Int128 unit = name.find("cpu") != std::string::npos ? 1'000'000 : 1'000'000'000;
      const Quantity grows{(*after - *before) * unit, hard->format};
      if (!in_use) in_use = Quantity{0, hard->format};
      if (in_use->nano + grows.nano <= hard->nano) continue;
      const std::string comma = asked.empty() ? "" : ",";
      asked += comma + name + "=" + to_string(grows);
      used += comma + name + "=" + to_string(*in_use);
      limited += comma + name + "=" + to_string(*hard);
    }
    if (asked.empty()) continue;
    return forbidden_reply("pods", request.pod,
                           "exceeded quota: " + text_at(member(quota, "metadata"), "name") +
                               ", requested: " + asked + ", used: " + used +
                               ", limited: " + limited);
  }
  return std::nullopt;
}

}  // namespace

std::optional<long long> quota_usage(const Json& pod, const std::string& name) {
  const std::string phase = text_at(member(pod, "status"), "phase");
  if (phase == "Succeeded" || phase == "Failed") return 0;
  if (name == "pods" || name == "count/pods") return 1;
  const std::size_t dot = name.find('.');
  if (dot == std::string::npos) {
    if (name != "cpu" && name != "memory") return std::nullopt;
    return pod_total(pod, "requests", name);
  }
  const std::string kind = name.substr(0, dot);
  if (kind != "limits" && kind != "requests") return std::nullopt;
  return pod_total(pod, kind, name.substr(dot + 1));
}

std::optional<Reply> refused_by_admission(const AdmissionRequest& request,
                                          const AdmissionWorld& world, const VersionRules& rules) {
  if (auto refused = refused_by_limit_range(request, world)) return refused;
  const std::string node = text_at(member(request.old, "spec"), "nodeName");
  if (rules.checks_node_capacity() && !node.empty()) {
    if (!world.node) {
      return forbidden_reply("pods", request.pod, "node " + in_quotes(node) + " not found");
    }
    if (auto refused = refused_by_node_features(request, *world.node)) return refused;
    if (auto refused = refused_by_capacity(request, *world.node)) return refused;
  }
  if (auto refused = refused_by_policy(request, world)) return refused;
  return refused_by_quota(request, world);
}

}  // namespace plimsoll::test
