// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/pod_resources.h"

#include <algorithm>
#include <array>

namespace plimsoll::test {
namespace {

constexpr std::array<std::string_view, 2> kLists{"limits", "requests"};
constexpr std::array<std::string_view, 2> kComputed{"cpu", "memory"};

std::optional<std::string> normalize(Json& resources) {
  for (const std::string_view kind : kLists) {
    if (!resources.is_object() || !resources.contains(kind)) continue;
    for (auto& [name, value] : resources[std::string(kind)].items()) {
      const std::optional<Quantity> quantity = quantity_of(value);
      if (!quantity) return value.is_string() ? value.get<std::string>() : value.dump();
      value = to_string(*quantity);
    }
  }
  return std::nullopt;
}

// The pod's containers that take part in `total`, without ordinary init containers.
std::vector<const Json*> running_together(const Json& spec) {
  std::vector<const Json*> found;
  for (const Json& container : member(spec, kContainers)) found.push_back(&container);
  for (const Json& container : member(spec, kInitContainers)) {
    if (is_sidecar(container)) found.push_back(&container);
  }
  return found;
}

bool is_none_or_zero(const Json& list, std::string_view name) {
  const std::optional<Quantity> quantity = quantity_of(member(list, name));
  return !quantity || quantity->nano == 0;
}

// Guaranteed as far as this list of resources goes; `any` learns whether it asks for anything.
bool is_guaranteed(const Json& resources, bool& any) {
  const Json& limits = member(resources, "limits");
  const Json& requests = member(resources, "requests");
  bool guaranteed = true;
  for (const std::string_view name : kComputed) {
    const bool no_limit = is_none_or_zero(limits, name);
    const bool no_request = is_none_or_zero(requests, name);
    any = any || !no_limit || !no_request;
    if (no_limit || (!no_request &&
                     *quantity_of(member(limits, name)) != *quantity_of(member(requests, name)))) {
      guaranteed = false;
    }
    if (no_request && !no_limit) guaranteed = false;
  }
  return guaranteed;
}

bool same_list(const Json& a, const Json& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, value] : a.items()) {
    const std::optional<Quantity> left = quantity_of(value);
    const std::optional<Quantity> right = quantity_of(member(b, name));
    if (!left || !right || *left != *right) return false;
  }
  return true;
}

// The spec without amounts, and the amounts by place.
Json without_amounts(Json spec, std::vector<Json>& amounts) {
  const auto take = [&](Json& holder) {
    for (const std::string_view kind : kLists) {
      const Json& resources = member(holder, "resources");
      amounts.push_back(member(resources, kind).is_object() ? member(resources, kind)
                                                            : Json::object());
    }
    holder.erase("resources");
  };
  for (const std::string_view list : {kContainers, kInitContainers}) {
    if (!spec.contains(list)) continue;
    for (Json& container : spec[std::string(list)]) take(container);
  }
  take(spec);
  return spec;
}

}  // namespace

bool is_sidecar(const Json& init_container) {
  return text_at(init_container, "restartPolicy") == "Always";
}

std::optional<std::string> normalize_quantities(Json& pod) {
  if (!pod.contains("spec") || !pod["spec"].is_object()) return std::nullopt;
  Json& spec = pod["spec"];
  for (const char* list : {"containers", "initContainers", "ephemeralContainers"}) {
    if (!spec.contains(list)) continue;
    for (Json& container : spec[list]) {
      if (!container.is_object()) continue;
      if (!container.contains("resources")) container["resources"] = Json::object();
      if (const auto bad = normalize(container["resources"])) return bad;
    }
  }
  if (spec.contains("resources")) return normalize(spec["resources"]);
  return std::nullopt;
}

void default_resources(Json& pod, const VersionRules& rules) {
  for (const std::string_view list : {kContainers, kInitContainers}) {
    if (!pod["spec"].contains(list)) continue;
    for (Json& container : pod["spec"][std::string(list)]) {
      Json& resources = container["resources"];
      const Json limits = member(resources, "limits");
      for (const auto& [name, value] : limits.items()) {
        if (member(member(resources, "requests"), name).is_null()) {
          resources["requests"][name] = value;
        }
      }
      if (!rules.defaults_resize_policy() || list != kContainers) continue;
      for (const std::string_view name : kComputed) {
        Json& policies = container["resizePolicy"];
        const bool there = std::any_of(policies.begin(), policies.end(), [&](const Json& policy) {
          return text_at(policy, "resourceName") == name;
        });
        if (there) continue;
        policies.push_back({{"resourceName", name}, {"restartPolicy", "NotRequired"}});
      }
    }
  }
}

std::string qos_class(const Json& pod) {
  const Json& spec = member(pod, "spec");
  bool any = false;
  if (member(spec, "resources").is_object()) {
    const bool guaranteed = is_guaranteed(member(spec, "resources"), any);
    if (any) return guaranteed ? "Guaranteed" : "Burstable";
  }
  bool guaranteed = true;
  for (const std::string_view list : {kContainers, kInitContainers}) {
    for (const Json& container : member(spec, list)) {
      guaranteed = is_guaranteed(member(container, "resources"), any) && guaranteed;
    }
  }
  if (!any) return "BestEffort";
  return guaranteed ? "Guaranteed" : "Burstable";
}

bool same_amounts(const Json& a, const Json& b) {
  std::vector<Json> left;
  std::vector<Json> right;
  if (!same(without_amounts(a, left), without_amounts(b, right))) return false;
  return std::equal(left.begin(), left.end(), right.begin(), right.end(), same_list);
}

long long pod_total(const Json& pod, std::string_view kind, std::string_view resource) {
  const Json& spec = member(pod, "spec");
  const bool in_milli = resource == "cpu";
  const auto amount = [&](const Json& holder) -> std::optional<long long> {
    auto quantity = quantity_of(member(member(member(holder, "resources"), kind), resource));
    if (!quantity) return std::nullopt;
    if (in_milli) quantity->nano *= 1000;
    return whole(*quantity);
  };
  if (const auto pod_level = amount(spec)) return *pod_level;
  long long sum = 0;
  for (const Json* container : running_together(spec)) sum += amount(*container).value_or(0);
  long long largest = 0;
  for (const Json& container : member(spec, kInitContainers)) {
    if (!is_sidecar(container)) largest = std::max(largest, amount(container).value_or(0));
  }
  return std::max(sum, largest);
}

}  // namespace plimsoll::test
