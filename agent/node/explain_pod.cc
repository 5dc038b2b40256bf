// SPDX-License-Identifier: Apache-2.0
#include "agent/node/explain_pod.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "agent/telemetry/explain.h"
#include "base/clock.h"

namespace plimsoll::agent {
namespace {

// How its limits stand, and why. Reads its files.
ExplainedContainer explain_container(const NodePod& pod, const std::string& container,
                                     const NodeContainer* found, const Engine& engine) {
  ExplainedContainer shown{.subject = ref_of(pod.pod.id, container)};
  const auto policy =
      std::find_if(pod.policy.containers.begin(), pod.policy.containers.end(),
                   [&](const ContainerPolicy& each) { return each.name == container; });
  if (pod.policy.managed != Managed::kYes) {
    shown.notes.push_back("the pod is not managed: " + std::string(to_string(pod.policy.managed)));
  } else if (policy != pod.policy.containers.end() && policy->managed != Managed::kYes) {
    shown.notes.push_back("not managed: " + std::string(to_string(policy->managed)));
  }
  if (policy != pod.policy.containers.end() && policy->leaving) {
    shown.notes.push_back("what it was given is taken back, as far as its usage allows");
  }
  for (const PolicyProblem& problem : pod.policy.problems) shown.notes.push_back(problem.text);
  if (found == nullptr) {
    if (shown.notes.empty()) shown.notes.push_back("its cgroup has not been seen");
    return shown;
  }
  shown.floor = found->bounds.floor;
  shown.ceiling = found->bounds.ceiling;
  shown.actuation = to_string(found->policy.actuation);
  shown.limit = found->group.read_memory_max().value_or(kNoLimit);
  if (const auto usage = found->group.read_memory_current()) shown.usage = *usage;
  for (const Arming& arming : engine.plan().arming) {
    if (arming.slot == found->slot) shown.denial = arming.armed.denial;
  }
  for (const ContainerSnapshot& seen : engine.snapshot().containers) {
    if (seen.slot == found->slot) shown.reclaimable = seen.facts.reclaimable;
  }
  if (found->cpu && found->policy.cpu) {
    const auto max = found->group.read_cpu_max();
    const auto limit = max ? cgroup::cpus_of(*max) : std::nullopt;
    shown.notes.push_back("CPU limit " + (limit ? to_string(*limit) : std::string("unknown")) +
                          ", declared " + to_string(found->policy.cpu->floor) + ", at most " +
                          to_string(found->policy.cpu->ceiling) + " when throttled");
  }
  const ContainerResize* resize = pod.resize_of(container);
  if (resize == nullptr) return shown;
  if (resize->memory.lease) {
    shown.notes.push_back("a lease of " + to_string(resize->memory.lease->limit) + ": " +
                          std::string(to_string(resize->memory.lease->why)));
  }
  if (const auto& refused = resize->memory.allowance.refused) {
    shown.notes.push_back("refused: " + refused->message);
  }
  if (resize->memory.resizable != kube::Resizability::kYes) {
    shown.notes.push_back(std::string(kube::explain(resize->memory.resizable)));
  }
  return shown;
}

}  // namespace

std::string explain_pod(const ExplainRequest& request, const NodePods& pods, const Engine& engine,
                        const NodeAnnounce& announce, const NodeStartup& startup,
                        const Timelines& timelines) {
  std::vector<ExplainedContainer> states;
  for (const auto& [uid, pod] : pods.pods()) {
    if (pod.pod.id.namespace_name != request.name_space || pod.pod.id.name != request.pod) {
      continue;
    }
    for (const kube::Container& container : pod.pod.containers) {
      const auto found = std::find_if(
          pod.containers.begin(), pod.containers.end(),
          [&](const NodeContainer& each) { return each.policy.name == container.name; });
      const NodeContainer* tracked = found == pod.containers.end() ? nullptr : &*found;
      ExplainedContainer& state =
          states.emplace_back(explain_container(pod, container.name, tracked, engine));
      if (tracked == nullptr) continue;
      const std::vector<std::string> announced = announce.explain(tracked->slot);
      state.notes.insert(state.notes.end(), announced.begin(), announced.end());
      if (auto boost = startup.explain(tracked->slot); !boost.empty()) {
        state.notes.push_back(std::move(boost));
      }
    }
  }
  const auto wall =
      std::chrono::time_point_cast<kube::WallTime::duration>(std::chrono::system_clock::now());
  return explain_json(timelines, states, request.name_space, request.pod, request.container,
                      monotonic_now(), wall);
}

}  // namespace plimsoll::agent
