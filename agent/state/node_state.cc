// SPDX-License-Identifier: Apache-2.0
#include "agent/state/node_state.h"

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

// About the spec of this container; nullptr: none.
const LimitState* spec_record(const NodeState& state, std::string_view uid,
                              std::string_view container) {
  for (const PodState& pod : state.pods) {
    if (pod.uid != uid) continue;
    for (const ContainerState& each : pod.containers) {
      if (each.name == container && each.limit.id == CgroupId{}) return &each.limit;
    }
  }
  return nullptr;
}

// Of one cgroup: what may be written under `next`, and where it goes back to then.
bool explains_writes(const LimitState* saved, const LimitState& next) {
  const bool memory = next.direct_ceiling > Limit{0};
  const bool cpu = next.cpu && next.cpu->direct_ceiling > MilliCpu{};
  if (!memory && !cpu) return true;  // nobody writes to it
  if (saved == nullptr || saved->path != next.path) return false;
  const auto covers = [](const auto& known, const auto& wanted) {
    return known.first_seen == wanted.first_seen && known.confirmed == wanted.confirmed &&
           known.direct_ceiling >= wanted.direct_ceiling;
  };
  return (!memory || covers(*saved, next)) &&
         (!cpu || (saved->cpu && covers(*saved->cpu, *next.cpu)));
}

// Of one spec: the floors that it hides under `next`.
bool explains_floors(const LimitState* saved, const LimitState& next) {
  if (saved == nullptr) return next.first_seen.is_max() && !next.cpu;
  return (next.first_seen.is_max() || saved->first_seen == next.first_seen) &&
         (!next.cpu || (saved->cpu && saved->cpu->first_seen == next.cpu->first_seen));
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

Limit restore_target(const LimitState& limit) { return limit.confirmed.value_or(limit.first_seen); }
MilliCpu restore_target(const CpuLimitState& limit) {
  return limit.confirmed.value_or(limit.first_seen);
}

const LimitState* find_limit(const NodeState& state, CgroupId id) {
  const LimitState* found = nullptr;
  for_each_limit(state, [&](const LimitState& limit) {
    if (limit.id == id && found == nullptr) found = &limit;
  });
  return found;
}

bool explains(const NodeState& saved, const NodeState& next) {
  std::unordered_map<CgroupId, const LimitState*> known;
  for_each_limit(saved, [&](const LimitState& limit) { known.emplace(limit.id, &limit); });
  bool explained = saved.boot_id == next.boot_id;
  for_each_limit(next, [&](const LimitState& limit) {
    const auto found = known.find(limit.id);
    explained = explained && explains_writes(found == known.end() ? nullptr : found->second, limit);
  });
  for (const PodState& pod : next.pods) {
    for (const ContainerState& container : pod.containers) {
      if (container.limit.id != CgroupId{}) continue;
      explained = explained &&
                  explains_floors(spec_record(saved, pod.uid, container.name), container.limit);
    }
  }
  return explained;
}

std::unordered_map<CgroupId, DirectCeiling> direct_ceilings(const NodeState& state) {
  std::unordered_map<CgroupId, DirectCeiling> ceilings;
  for_each_limit(state, [&](const LimitState& limit) {
    ceilings.emplace(limit.id,
                     DirectCeiling{.memory = limit.direct_ceiling,
                                   .cpu = limit.cpu ? limit.cpu->direct_ceiling : MilliCpu{}});
  });
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
