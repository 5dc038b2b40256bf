// SPDX-License-Identifier: Apache-2.0
#include "agent/node/limit_changes.h"

#include <string>
#include <utility>

#include "agent/pods/cgroup_name.h"

namespace plimsoll::agent {
namespace {

EngineWord::Kind word_of(Record::Kind kind) {
  switch (kind) {
    case Record::Kind::kGrant:
      return EngineWord::Kind::kGrant;
    case Record::Kind::kShrink:
      return EngineWord::Kind::kShrink;
    default:
      return EngineWord::Kind::kWish;
  }
}

bool is_written(const Record& record) {
  return record.kind == Record::Kind::kGrant || record.kind == Record::Kind::kShrink;
}

void on_memory(const MemoryChange& change, NodePod& pod, NodeContainer* container,
               SystemdUnits* systemd) {
  if (container == nullptr && !pod.slice) return;
  (container != nullptr ? container->written : pod.slice->written) = limit_of(change.to);
  const PodCgroup& cgroup = container != nullptr ? container->cgroup : pod.slice->cgroup;
  tell_systemd(systemd, cgroup, limit_of(change.to));
}

void on_cpu(const CpuChange& change, NodePod& pod, NodeContainer* container) {
  if (container == nullptr && !pod.slice) return;
  std::optional<GivenCpu>& cpu = container != nullptr ? container->cpu : pod.slice->cpu;
  if (cpu) cpu->written = change.to;
}

// `name`: empty of the pod's own cgroup.
void on_change(const Record& record, NodePod& pod, const std::string& name, SystemdUnits* systemd) {
  const bool cpu = is_cpu(record.change);
  if (cpu && record.burst) return;  // leaves the limit as it is
  NodeContainer* container = name.empty() ? nullptr : pod.find(name);
  if (!name.empty() && container == nullptr) return;
  if (is_written(record)) {
    if (cpu) {
      on_cpu(std::get<CpuChange>(record.change), pod, container);
    } else {
      on_memory(std::get<MemoryChange>(record.change), pod, container, systemd);
    }
  }
  if (container == nullptr || (cpu && !container->cpu)) return;
  const auto* memory = std::get_if<MemoryFacts>(&record.facts);
  pod.words.push_back({.kind = word_of(record.kind),
                       .container = name,
                       .change = record.change,
                       .rate_per_second = memory == nullptr ? Bytes{} : memory->rate_per_second,
                       .layer = record.layer,
                       .reason = record.reason,
                       .at = record.at});
  pod.due = true;
}

}  // namespace

void on_records(std::span<const Record> records, NodePods& pods, Reporter& reporter,
                SystemdUnits* systemd) {
  for (const Record& record : records) {
    reporter.count(record);
    const SlotOwner* owner = pods.slots().owner(record.slot);
    NodePod* pod = owner == nullptr ? nullptr : pods.find(owner->uid);
    if (pod == nullptr) continue;
    const bool wished = record.kind == Record::Kind::kWish;
    // A pod's own limit follows its containers': the kubelet raises both for one request.
    if (owner->container.empty() && wished) continue;
    reporter.record(ref_of(pod->pod.id, owner->container), record);
    if (!wished && !is_written(record)) continue;
    on_change(record, *pod, owner->container, systemd);
  }
}

void tell_systemd(SystemdUnits* systemd, const PodCgroup& cgroup, Limit limit) {
  if (systemd == nullptr || cgroup.name.driver != CgroupDriver::kSystemd) return;
  if (auto unit = unit_of_cgroup(cgroup.path)) {
    (void)systemd->tell({.unit = std::move(*unit), .path = cgroup.path, .memory_max = limit});
  }
}

}  // namespace plimsoll::agent
