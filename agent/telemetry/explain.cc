// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/explain.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/policy/reason.h"

namespace plimsoll::agent {
namespace {

using Json = nlohmann::ordered_json;

double seconds(Nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

Json limit_json(Limit limit) { return limit.is_max() ? Json("max") : Json(limit.bytes); }

Json state_json(const ExplainedContainer& state) {
  Json json{{"limit_bytes", limit_json(state.limit)},
            {"floor_bytes", state.floor.value},
            {"ceiling_bytes", state.ceiling.value}};
  if (state.usage) json["usage_bytes"] = state.usage->value;
  if (state.reclaimable) json["reclaimable_bytes"] = state.reclaimable->value;
  if (!state.actuation.empty()) json["actuation"] = state.actuation;
  if (state.denial) {
    json["denial"] = to_string(*state.denial);
    json["denial_why"] = sentence_of(*state.denial);
  }
  if (!state.notes.empty()) json["notes"] = state.notes;
  return json;
}

class Clock {
 public:
  Clock(MonotonicTime now, kube::WallTime wall) : now_(now), wall_(wall) {}

  std::string at(MonotonicTime time) const {
    return kube::micro_time(wall_ -
                            std::chrono::duration_cast<std::chrono::microseconds>(now_ - time));
  }

 private:
  MonotonicTime now_;
  kube::WallTime wall_;
};

Json entry_json(const TimelineEntry& entry, const Clock& clock) {
  Json json{{"at", clock.at(entry.at)}, {"what", entry.what}};
  if (entry.repeats > 1) {
    json["repeats"] = entry.repeats;
    json["last"] = clock.at(entry.last);
  }
  if (entry.layer) json["layer"] = to_string(*entry.layer);
  if (entry.change) {
    const std::string unit = is_cpu(*entry.change) ? "millicpu" : "bytes";
    std::visit(
        [&](const auto& change) {
          json["from_" + unit] = change.from.value;
          json["to_" + unit] = change.to.value;
        },
        *entry.change);
  }
  if (entry.reason) {
    json["reason"] = to_string(*entry.reason);
    json["why"] = sentence_of(*entry.reason);
  }
  if (entry.facts && *entry.facts != MemoryFacts{}) {
    json["limit_bytes"] = entry.facts->limit.value;
    json["usage_bytes"] = entry.facts->usage.value;
    json["reclaimable_bytes"] = entry.facts->reclaimable.value;
    json["rate_bytes_per_second"] = entry.facts->rate_per_second.value;
    json["numbers"] = numbers_of(*entry.facts);
  }
  if (entry.took) json["took_seconds"] = seconds(*entry.took);
  if (entry.status) json["status"] = *entry.status;
  if (!entry.detail.empty()) json["detail"] = entry.detail;
  return json;
}

Json container_json(const ContainerRef& subject, const ExplainedContainer* state,
                    const Timeline* timeline, const Clock& clock) {
  Json entries = Json::array();
  if (timeline != nullptr) {
    for (const TimelineEntry& entry : timeline->entries) {
      entries.push_back(entry_json(entry, clock));
    }
  }
  return {{"name", subject.container},
          {"uid", subject.uid},
          {"gone", timeline != nullptr && timeline->gone},
          {"state", state != nullptr ? state_json(*state) : Json()},
          {"forgotten", timeline != nullptr ? timeline->forgotten : 0},
          {"timeline", entries}};
}

}  // namespace

std::string explain_json(const Timelines& timelines, const std::vector<ExplainedContainer>& states,
                         std::string_view name_space, std::string_view pod,
                         std::string_view container, MonotonicTime now, kube::WallTime wall) {
  const Clock clock(now, wall);
  const auto wanted = [&](const ContainerRef& subject) {
    return subject.name_space == name_space && subject.pod == pod &&
           (container.empty() || subject.container == container);
  };
  std::vector<const Timeline*> told = timelines.of(name_space, pod);
  Json containers = Json::array();
  for (const ExplainedContainer& state : states) {
    if (!wanted(state.subject)) continue;
    const auto own = std::find_if(told.begin(), told.end(), [&](const Timeline* each) {
      return !each->gone && each->subject == state.subject;
    });
    const Timeline* const timeline = own == told.end() ? nullptr : *own;
    containers.push_back(container_json(state.subject, &state, timeline, clock));
    if (own != told.end()) told.erase(own);
  }
  for (const Timeline* timeline : told) {
    if (!wanted(timeline->subject)) continue;
    containers.push_back(container_json(timeline->subject, nullptr, timeline, clock));
  }
  const Json json{
      {"namespace", name_space}, {"pod", pod}, {"at", clock.at(now)}, {"containers", containers}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace plimsoll::agent
