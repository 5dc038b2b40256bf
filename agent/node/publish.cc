// SPDX-License-Identifier: Apache-2.0
// The half of node_agent.h that tells what is so: metrics, health, explain.
#include <algorithm>
#include <utility>

#include "agent/node/node_agent.h"
#include "agent/telemetry/explain.h"
#include "base/clock.h"

namespace plimsoll::agent {
namespace {

std::size_t leases_of(const NodePod& pod) {
  return static_cast<std::size_t>(
      std::count_if(pod.resize.containers.begin(), pod.resize.containers.end(),
                    [](const ContainerResize& container) {
                      return container.lease.has_value() || container.cpu.leased();
                    }));
}

}  // namespace

void NodeAgent::publish(MonotonicTime now) {
  const PodWatcherStatus watcher = watcher_->status();
  stats_.version = PLIMSOLL_VERSION;
  stats_.node = options_.node_name;
  stats_.tier = engine_->tier();
  stats_.kernel = engine_->counters();
  stats_.reports_lost = engine_->lost();
  stats_.watch_relists = watcher.watch.lists;
  stats_.pods_malformed = watcher.watch.skipped;
  stats_.resizes_dropped = resizer_->dropped_total();
  stats_.log_overruns = log_->overruns();
  stats_.containers_tracked = pods_->tracked();
  stats_.pods_seen = pods_->pods().size();
  stats_.pods_managed = pods_->managed();
  stats_.leases_active = 0;
  for (const auto& [uid, pod] : pods_->pods()) stats_.leases_active += leases_of(pod);
  stats_.budget = engine_->plan().budget;
  stats_.namespaces = pods_->budgets(engine_->plan());
  stats_.announce = announce_->stats();
  stats_.startup = startup_->stats();
  publish_cpu();
  stats_.config = config_state_;
  stats_.api = tally_.totals();
  const EventPoster::Totals events = poster_->totals();
  stats_.events_posted = events.posted;
  stats_.events_suppressed = events.suppressed;
  stats_.events_dropped = events.dropped;
  stats_.events_failed = events.failed;

  const std::string& trouble = state_trouble_.empty() ? floors_trouble_ : state_trouble_;
  Health health{.ticked = now, .beat = engine_->beat()};
  health.conditions = {
      {"programs", true, "tier " + std::string(bpf::to_string(engine_->tier()))},
      {"pods", watcher.synced,
       watcher.synced ? std::to_string(watcher.pods) + " known"
                      : "the API server has not listed the node's pods yet"},
      {"state", trouble.empty(), trouble.empty() ? "saved" : trouble},
  };
  const bool config_good = !config_watch_ || !config_watch_->error();
  health.remarks = {
      {"config", config_good,
       config_good ? "generation " + std::to_string(config_state_.generation)
                   : config_watch_->error()->message},
      {"api", !watcher.failing, watcher.failing ? "cannot be watched" : "watched"},
      {"announced", announce_->trouble().empty(),
       announce_->trouble().empty() ? "no trouble" : announce_->trouble()},
  };
  if (engine_->cpu() != nullptr) {
    const std::string& refusal = engine_->cpu()->refusal();
    health.remarks.push_back(
        {"throttling", refusal.empty(),
         refusal.empty() ? "told by the kernel" : "read from cpu.stat: " + refusal});
  }
  board_.publish({stats_, std::move(health)});
}

void NodeAgent::publish_cpu() {
  CpuStats& cpu = stats_.cpu;
  cpu.containers = 0;
  cpu.granted = {};
  for (const ContainerSnapshot& seen : engine_->snapshot().containers) {
    if (!seen.cpu) continue;
    ++cpu.containers;
    // A pod's own limit has risen for its containers'.
    if (!seen.covers_children)
      cpu.granted += seen.cpu->limit.value_or(MilliCpu{}) - seen.cpu->floor;
  }
  if (cpu.containers > 0) cpu.budget = engine_->plan().cpu.budget;
  if (engine_->cpu() == nullptr) return;
  cpu.throttled_periods = engine_->cpu()->throttled_periods();
  cpu.lost = engine_->cpu()->lost();
}

std::string NodeAgent::explain(const ExplainRequest& request) const {
  std::vector<ExplainedContainer> states;
  for (const auto& [uid, pod] : pods_->pods()) {
    if (pod.pod.id.namespace_name != request.name_space || pod.pod.id.name != request.pod) {
      continue;
    }
    for (const kube::Container& container : pod.pod.containers) {
      ExplainedContainer& state = states.emplace_back(pods_->explain(pod, container.name));
      const auto tracked = std::find_if(
          pod.containers.begin(), pod.containers.end(),
          [&](const NodeContainer& each) { return each.policy.name == container.name; });
      if (tracked == pod.containers.end()) continue;
      const std::vector<std::string> announced = announce_->explain(tracked->slot);
      state.notes.insert(state.notes.end(), announced.begin(), announced.end());
      if (auto boost = startup_->explain(tracked->slot); !boost.empty()) {
        state.notes.push_back(std::move(boost));
      }
    }
  }
  const auto now = monotonic_now();
  const auto wall =
      std::chrono::time_point_cast<kube::WallTime::duration>(std::chrono::system_clock::now());
  return explain_json(timelines_, states, request.name_space, request.pod, request.container, now,
                      wall);
}

}  // namespace plimsoll::agent
