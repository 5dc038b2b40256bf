// SPDX-License-Identifier: Apache-2.0
//
// What the agent says about one pod, as one JSON object: what is so now, and the timelines. The
// slow loop makes it for agent/telemetry/explain_server; `plimsoll explain` prints it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/resize/resize_event.h"
#include "agent/telemetry/timeline.h"
#include "base/units.h"
#include "kube/event.h"

namespace plimsoll::agent {

// What is so now, beside what happened: filled in by who knows it, also for a container that is not
// managed (the notes say why).
struct ExplainedContainer {
  ContainerRef subject;
  Bytes floor;
  Bytes ceiling;
  Limit limit;
  std::optional<Bytes> usage;
  std::optional<Bytes> reclaimable;
  std::string actuation;           // "resize-then-cgroup"
  std::optional<Reason> denial;    // why it may not grow now
  std::vector<std::string> notes;  // lease, preflight, annotations
};

// {"namespace", "pod", "at", "containers": [{"name", "uid", "gone", "state", "forgotten",
// "timeline": [...]}]}; no containers: nobody knows that pod. Only `container` if that is not
// empty. Times are those of the wall clock, by `now` and `wall`, which are the same moment.
std::string explain_json(const Timelines& timelines, const std::vector<ExplainedContainer>& states,
                         std::string_view name_space, std::string_view pod,
                         std::string_view container, MonotonicTime now, kube::WallTime wall);

}  // namespace plimsoll::agent
