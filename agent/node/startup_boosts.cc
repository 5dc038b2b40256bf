// SPDX-License-Identifier: Apache-2.0
#include "agent/node/startup_boosts.h"

#include <algorithm>
#include <optional>
#include <set>

#include "agent/policy/reason.h"

namespace plimsoll::agent {
namespace {

bool may_boost(const NodeContainer& container) {
  return container.cpu && container.policy.cpu && !container.policy.dry_run &&
         container.policy.cpu->boost > container.policy.cpu->floor;
}

}  // namespace

void NodeStartup::follow(const std::map<std::string, NodePod>& pods, const StartupConfig& config,
                         kube::ApiTime wall, MonotonicTime now, bool ticked) {
  std::set<Slot> seen;
  std::optional<MilliCpu> free;  // counted where something starts
  for (const auto& [uid, pod] : pods) {
    for (const NodeContainer& container : pod.containers) {
      if (!may_boost(container)) continue;
      seen.insert(container.slot);
      const auto known = boosts_.find(container.slot);
      if (known == boosts_.end() || known->second.id != container.cgroup.id) {
        begin(pod, container, wall, now);
      }
      Boost& boost = boosts_.at(container.slot);
      if (boost.state.ended || !engine_.has_cpu()) continue;
      if (!free) free = unpromised(pods);
      // Whatever others use now: of what they were not promised, the weights give each its share.
      const MilliCpu most =
          std::min(container.policy.cpu->boost, *free + container.policy.cpu->promised);
      look_at(pod, container, config, most, now, ticked, boost);
    }
  }
  std::erase_if(boosts_, [&](const auto& each) {
    if (seen.contains(each.first)) return false;
    if (!each.second.state.ended) (void)engine_.keep(each.first, {}, Reason::kStarted);
    return true;
  });
}

void NodeStartup::begin(const NodePod& pod, const NodeContainer& container, kube::ApiTime wall,
                        MonotonicTime now) {
  // One that ran before we came is as old as the kubelet says.
  Nanoseconds age{};
  const kube::Container* seen = kube::find_container(pod.pod, container.policy.name);
  if (seen != nullptr && seen->status && seen->status->started_at) {
    age = std::max<Nanoseconds>(wall - *seen->status->started_at, Nanoseconds{});
  }
  boosts_.insert_or_assign(container.slot, Boost{.id = container.cgroup.id, .created = now - age});
}

void NodeStartup::look_at(const NodePod& pod, const NodeContainer& container,
                          const StartupConfig& config, MilliCpu most, MonotonicTime now,
                          bool ticked, Boost& boost) {
  const ContainerCpuPolicy& policy = *container.policy.cpu;
  const kube::Container* seen = kube::find_container(pod.pod, container.policy.name);
  const StartupFacts facts{.age = now - boost.created,
                           .has_probe = seen != nullptr && seen->has_probe,
                           .ready = seen != nullptr && seen->status && seen->status->ready,
                           .use = ticked ? use_of(container.slot) : MilliCpu{},
                           .floor = policy.floor};
  look(boost.state, facts, {.time = policy.boost_for, .settle_after = config.settle_after}, ticked,
       now);
  const bool began = boost.limit > MilliCpu{};
  if (!boost.state.ended) {
    if (most <= policy.floor || !engine_.keep(container.slot, most, Reason::kStarting)) {
      return;
    }
    boost.limit = most;
    if (began) return;
    ++totals_.begun;
    notes_.push_back({container.subject, kBoostBegins, "to " + to_string(most)});
    return;
  }
  if (!began) return;  // it had started before we came
  (void)engine_.keep(container.slot, {}, Reason::kStarted);
  ++totals_.ended[static_cast<std::size_t>(*boost.state.ended)];
  notes_.push_back(
      {container.subject, kBoostEnded,
       std::string(to_string(*boost.state.ended)) + " after " + in_seconds(facts.age)});
}

// Of the node's CPUs, what no pod requests; 0 while they are not known.
MilliCpu NodeStartup::unpromised(const std::map<std::string, NodePod>& pods) const {
  const auto& node = engine_.snapshot().node.cpu;
  MilliCpu requested;
  for (const auto& [uid, pod] : pods) requested += kube::requested_cpu(pod.pod);
  return node ? node->capacity - requested : MilliCpu{};
}

MilliCpu NodeStartup::use_of(Slot slot) const {
  const auto& containers = engine_.snapshot().containers;
  const auto found = std::find_if(containers.begin(), containers.end(),
                                  [&](const auto& each) { return each.slot == slot; });
  return found == containers.end() || !found->cpu ? MilliCpu{} : found->cpu->use;
}

StartupStats NodeStartup::stats() const {
  StartupStats stats = totals_;
  stats.boosted =
      static_cast<std::size_t>(std::count_if(boosts_.begin(), boosts_.end(), [](const auto& each) {
        return !each.second.state.ended && each.second.limit > MilliCpu{};
      }));
  return stats;
}

std::string NodeStartup::explain(Slot slot) const {
  const auto found = boosts_.find(slot);
  if (found == boosts_.end() || found->second.limit == MilliCpu{}) return {};
  const Boost& boost = found->second;
  if (boost.state.ended) {
    return "was boosted while it started, until " + std::string(to_string(*boost.state.ended));
  }
  return "starts, with up to " + to_string(boost.limit) + " CPU";
}

}  // namespace plimsoll::agent
