// SPDX-License-Identifier: Apache-2.0
#include "agent/node_state.h"

#include <algorithm>
#include <unordered_map>

#include "base/file.h"

namespace plimsoll::agent {
namespace {

template <typename Visit>
void for_each_limit(const NodeState& state, const Visit& visit) {
  for (const PodState& pod : state.pods) {
    if (pod.slice) visit(*pod.slice);
    for (const ContainerState& container : pod.containers) visit(container.limit);
  }
}

}  // namespace

std::string_view to_string(Backing backing) {
  switch (backing) {
    case Backing::kSpec:
      return "spec";
    case Backing::kBridge:
      return "bridge";
    case Backing::kLease:
      return "lease";
    case Backing::kCgroup:
      return "cgroup";
  }
  return "unknown";
}

Limit restore_target(const LimitState& limit) { return limit.confirmed.value_or(limit.floor); }

const LimitState* find_limit(const NodeState& state, CgroupId id) {
  const LimitState* found = nullptr;
  for_each_limit(state, [&](const LimitState& limit) {
    if (limit.id == id && found == nullptr) found = &limit;
  });
  return found;
}

std::optional<Limit> find_floor(const NodeState& state, std::string_view uid,
                                std::string_view container) {
  for (const PodState& pod : state.pods) {
    if (pod.uid != uid) continue;
    for (const ContainerState& each : pod.containers) {
      if (each.name == container && each.limit.id == CgroupId{}) return each.limit.floor;
    }
  }
  return std::nullopt;
}

bool explains(const NodeState& saved, const NodeState& next) {
  std::unordered_map<CgroupId, const LimitState*> known;
  for_each_limit(saved, [&](const LimitState& limit) { known.emplace(limit.id, &limit); });
  bool explained = saved.boot_id == next.boot_id;
  for_each_limit(next, [&](const LimitState& limit) {
    if (limit.direct_ceiling == Limit{0}) return;  // nobody writes to it
    const auto found = known.find(limit.id);
    explained = explained && found != known.end() && found->second->path == limit.path &&
                found->second->floor == limit.floor &&
                found->second->confirmed == limit.confirmed &&
                found->second->direct_ceiling >= limit.direct_ceiling;
  });
  for (const PodState& pod : next.pods) {
    for (const ContainerState& container : pod.containers) {
      if (container.limit.id != CgroupId{}) continue;
      explained = explained && find_floor(saved, pod.uid, container.name) == container.limit.floor;
    }
  }
  return explained;
}

std::unordered_map<CgroupId, Limit> direct_ceilings(const NodeState& state) {
  std::unordered_map<CgroupId, Limit> ceilings;
  for_each_limit(
      state, [&](const LimitState& limit) { ceilings.emplace(limit.id, limit.direct_ceiling); });
  return ceilings;
}

Result<std::string> read_boot_id() {
  auto text = read_file("/proc/sys/kernel/random/boot_id");
  if (!text) return text;
  text->erase(std::min(text->find('\n'), text->size()));
  if (text->empty()) return fail(Code::kMalformed, "the kernel's boot_id is empty");
  return text;
}

}  // namespace plimsoll::agent
