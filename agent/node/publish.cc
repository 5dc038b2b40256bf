// SPDX-License-Identifier: Apache-2.0
#include "agent/node/publish.h"

#include <algorithm>
#include <utility>

// A member that is not named here would be 0 in every scrape.
#pragma GCC diagnostic error "-Wmissing-field-initializers"

namespace plimsoll::agent {
namespace {

PodsStats pods_stats_of(const NodePods& pods, const Plan& plan) {
  std::size_t leases = 0;
  std::size_t unanswered = 0;
  for (const auto& [uid, pod] : pods.pods()) {
    unanswered += pod.resize.unanswered_containers;
    leases += static_cast<std::size_t>(
        std::count_if(pod.resize.containers.begin(), pod.resize.containers.end(),
                      [](const ContainerResize& container) {
                        return container.memory.lease.has_value() || container.cpu.leased();
                      }));
  }
  return {.known = pods.pods().size(),
          .managed = pods.managed(),
          .unanswered = unanswered,
          .tracked = pods.slots().tracked(),
          .leases = leases,
          .namespaces = pods.slots().budgets().left(plan)};
}

CpuStats cpu_stats_of(const Engine& engine) {
  std::size_t containers = 0;
  MilliCpu granted;
  for (const ContainerSnapshot& seen : engine.snapshot().containers) {
    if (!seen.cpu) continue;
    ++containers;
    // A pod's own limit has risen for its containers'.
    if (!seen.covers_children)
      granted += seen.cpu->limit.value_or(MilliCpu{}) - seen.cpu->bounds.floor;
  }
  return {.containers = containers,
          .granted = granted,
          .budget = containers > 0 ? std::optional(engine.plan().cpu.budget) : std::nullopt};
}

}  // namespace

AgentStats stats_of(const Published& parts) {
  const Engine& engine = parts.engine;
  const kube::PodWatchCounters& watch = parts.watcher.watch;
  return {.version = PLIMSOLL_VERSION,
          .node = parts.node,
          .activity = parts.activity,
          .engine = parts.status,
          .budget = engine.plan().budget,
          .cpu = cpu_stats_of(engine),
          .pods = pods_stats_of(parts.pods, engine.plan()),
          .announce = parts.announce.stats(),
          .startup = parts.startup.stats(),
          .api = parts.api.totals(),
          .watch = {.relists = watch.relists, .pods_malformed = watch.skipped},
          .resizes_dropped = parts.resizer.dropped_total(),
          .events = parts.poster.totals(),
          .config = parts.config,
          .state = parts.state,
          .log_overruns = parts.log.overruns()};
}

Health health_of(const Published& parts, const Troubles& troubles, MonotonicTime now) {
  const auto said = [](std::string name, const std::string& trouble, std::string good) {
    return Condition{std::move(name), trouble.empty(), trouble.empty() ? std::move(good) : trouble};
  };
  const PodWatcherStatus& watcher = parts.watcher;
  Health health{
      .ticked = now,
      .beat = parts.status.beat,
      .conditions = {{"programs", true, "tier " + std::string(bpf::to_string(parts.status.tier))},
                     {"pods", watcher.synced,
                      watcher.synced ? std::to_string(watcher.pods) + " known"
                                     : "the API server has not listed the node's pods yet"},
                     said("state", troubles.state, "saved")},
      .remarks = {
          said("config", troubles.config, "generation " + std::to_string(parts.config.generation)),
          said("api", watcher.failing ? "cannot be watched" : "", "watched"),
          said("announced", parts.announce.trouble(), "no trouble")}};
  if (const auto& cpu = parts.status.cpu) {
    const std::string& refusal = cpu->refusal;
    health.remarks.push_back(said("throttling",
                                  refusal.empty() ? "" : "read from cpu.stat: " + refusal,
                                  "told by the kernel"));
  }
  return health;
}

}  // namespace plimsoll::agent
