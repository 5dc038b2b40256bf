// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/reporter.h"

#include <utility>

#include "base/clock.h"

namespace plimsoll::agent {

void Reporter::record(const ContainerRef& subject, const Record& record) {
  log_.record(subject, record);
  timelines_.add(subject, record);
  if (auto notice = notice_of(subject, record)) poster_.post(std::move(*notice));
}

void Reporter::event(const ContainerRef& subject, const ResizeEvent& event) {
  activity_.add(event);
  log_.answer(subject, event);
  timelines_.add(subject, event);
  if (auto notice = notice_of(subject, event)) poster_.post(std::move(*notice));
}

void Reporter::note(LogLevel level, std::string_view sentence, ContainerNote note, bool known) {
  log_.write(level, sentence,
             {{"what", note.what},
              {"namespace", note.subject.name_space},
              {"pod", note.subject.pod},
              {"container", note.subject.container},
              {"detail", note.detail}});
  if (known) timelines_.note(note.subject, monotonic_now(), note.what, std::move(note.detail));
}

void Reporter::watched(const ContainerRef& subject) {
  timelines_.note(subject, monotonic_now(), "watched", "");
}

void Reporter::problem(const ContainerRef& subject, const std::string& text) {
  timelines_.note(subject, monotonic_now(), "annotation", text);
  poster_.post(annotation_notice(subject, text));
}

void Reporter::ended(std::span<const ContainerRef> subjects) {
  for (const ContainerRef& subject : subjects) {
    log_.forget(subject);
    timelines_.ended(subject);
  }
}

void Reporter::reconfigure(const NodeConfig& config) {
  log_.set_level(config.log_level);
  timelines_.set_bounds({.entries = config.explain_history});
}

}  // namespace plimsoll::agent
