// SPDX-License-Identifier: Apache-2.0
//
// Reporter: what happened to containers, told once to everything that shows it: the decision log,
// the timelines of `plimsoll explain`, Kubernetes Events, the counts of the metrics. Owned by the
// slow loop; nothing blocks.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "agent/config/node_config.h"
#include "agent/engine/engine.h"
#include "agent/pods/container_ref.h"
#include "agent/resize/resize_event.h"
#include "agent/telemetry/event_notice.h"
#include "agent/telemetry/event_poster.h"
#include "agent/telemetry/log.h"
#include "agent/telemetry/stats.h"
#include "agent/telemetry/timeline.h"

namespace plimsoll::agent {

class Reporter {
 public:
  // Both outlive it.
  Reporter(DecisionLog& log, EventPoster& poster) : log_(log), poster_(poster) {}

  // Every record counts, whomever it is about.
  void count(const Record& record) { activity_.add(record); }
  void record(const ContainerRef& subject, const Record& record);
  void event(const ContainerRef& subject, const ResizeEvent& event);
  // `known`: the pod is there still, so that it has a timeline.
  void note(LogLevel level, std::string_view sentence, ContainerNote note, bool known);
  void watched(const ContainerRef& subject);
  // Something of its annotations is wrong.
  void problem(const ContainerRef& subject, const std::string& text);
  void ended(std::span<const ContainerRef> subjects);
  // What concerns the agent itself, and an Event that is about no container.
  void log(LogLevel level, std::string_view sentence, std::initializer_list<LogField> fields) {
    log_.write(level, sentence, fields);
  }
  void post(Notice notice) { poster_.post(std::move(notice)); }

  void reconfigure(const NodeConfig& config);
  const Activity& activity() const { return activity_; }
  const Timelines& timelines() const { return timelines_; }

 private:
  DecisionLog& log_;
  EventPoster& poster_;
  Timelines timelines_;
  Activity activity_;
};

}  // namespace plimsoll::agent
