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

void on_memory(const Record& record, NodePod& pod, const std::string& name, SystemdUnits* systemd) {
  const MemoryChange& change = std::get<MemoryChange>(record.change);
  if (name.empty()) {
    if (!pod.slice || !is_written(record)) return;
    pod.slice->written = limit_of(change.to);
    tell_systemd(systemd, pod.slice->cgroup, limit_of(change.to));
    return;
  }
  NodeContainer* container = pod.find(name);
  if (container == nullptr) return;
  if (is_written(record)) {
    container->written = limit_of(change.to);
    tell_systemd(systemd, container->cgroup, limit_of(change.to));
  }
  pod.words.push_back({.kind = word_of(record.kind),
                       .container = name,
                       .from = change.from,
                       .to = change.to,
                       .rate_per_second = std::get<MemoryFacts>(record.facts).rate_per_second,
                       .layer = record.layer,
                       .reason = record.reason,
                       .at = record.at});
  pod.due = true;
}

void on_cpu(const Record& record, NodePod& pod, const std::string& name) {
  const CpuChange& change = std::get<CpuChange>(record.change);
  if (record.burst) return;  // leaves the limit as it is
  if (name.empty()) {
    if (pod.slice && pod.slice->cpu && is_written(record)) pod.slice->cpu->written = change.to;
    return;
  }
  NodeContainer* container = pod.find(name);
  if (container == nullptr || !container->cpu) return;
  if (is_written(record)) container->cpu->written = change.to;
  pod.cpu_words.push_back({.kind = word_of(record.kind),
                           .container = name,
                           .from = change.from,
                           .to = change.to,
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
    if (is_cpu(record.change)) {
      on_cpu(record, *pod, owner->container);
    } else {
      on_memory(record, *pod, owner->container, systemd);
    }
  }
}

void tell_systemd(SystemdUnits* systemd, const PodCgroup& cgroup, Limit limit) {
  if (systemd == nullptr || cgroup.name.driver != CgroupDriver::kSystemd) return;
  if (auto unit = unit_of_cgroup(cgroup.path)) {
    (void)systemd->tell({.unit = std::move(*unit), .path = cgroup.path, .memory_max = limit});
  }
}

}  // namespace plimsoll::agent
