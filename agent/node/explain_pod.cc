// SPDX-License-Identifier: Apache-2.0
#include "agent/node/explain_pod.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "agent/node/explain_container.h"
#include "agent/telemetry/explain.h"
#include "base/clock.h"

namespace plimsoll::agent {

std::string explain_pod(const ExplainRequest& request, const NodePods& pods, const Engine& engine,
                        const NodeAnnounce& announce, const NodeStartup& startup,
                        const Timelines& timelines) {
  std::vector<ExplainedContainer> states;
  for (const auto& [uid, pod] : pods.pods()) {
    if (pod.pod.id.namespace_name != request.name_space || pod.pod.id.name != request.pod) {
      continue;
    }
    for (const kube::Container& container : pod.pod.containers) {
      ExplainedContainer& state =
          states.emplace_back(explain_container(pod, container.name, engine));
      const auto tracked = std::find_if(
          pod.containers.begin(), pod.containers.end(),
          [&](const NodeContainer& each) { return each.policy.name == container.name; });
      if (tracked == pod.containers.end()) continue;
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
