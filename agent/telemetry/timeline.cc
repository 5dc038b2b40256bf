// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/timeline.h"

#include <algorithm>
#include <utility>

namespace plimsoll::agent {
namespace {

// Raises and lowerings of a CPU limit are one entry until something else happens: there can be
// several in a second.
constexpr std::string_view kCpuLimit = "cpu_limit";

std::string_view cpu_what(const Record& record) {
  switch (record.kind) {
    case Record::Kind::kGrant:
    case Record::Kind::kShrink:
      return record.burst ? "cpu_burst" : kCpuLimit;
    case Record::Kind::kWish:
      return "cpu_wish";
    case Record::Kind::kDenial:
      return "cpu_denial";
    default:
      return "cpu_failure";
  }
}

TimelineEntry cpu_entry_of(const Record& record) {
  TimelineEntry entry{.at = record.at,
                      .last = record.at,
                      .what = cpu_what(record),
                      .layer = record.layer,
                      .reason = record.reason,
                      .change = record.change,
                      .detail = record.error};
  if (record.kind == Record::Kind::kGrant) entry.took = record.reaction;
  return entry;
}

TimelineEntry entry_of(const Record& record) {
  if (is_cpu(record.change)) return cpu_entry_of(record);
  TimelineEntry entry{.at = record.at,
                      .last = record.at,
                      .what = to_string(record.kind),
                      .layer = record.layer,
                      .reason = record.reason,
                      .facts = std::get<MemoryFacts>(record.facts),
                      .detail = record.error};
  switch (record.kind) {
    case Record::Kind::kGrant:
      entry.took = record.reaction;
      [[fallthrough]];
    case Record::Kind::kShrink:
    case Record::Kind::kReclaim:
    case Record::Kind::kWish:
      entry.change = record.change;
      break;
    case Record::Kind::kOomKill:
      // The kernel's verdict, not one of ours.
      entry.layer.reset();
      entry.reason.reset();
      break;
    case Record::Kind::kDenial:
    case Record::Kind::kFailure:
      break;
  }
  return entry;
}

TimelineEntry entry_of(const ResizeEvent& answer) {
  TimelineEntry entry{.at = answer.at,
                      .last = answer.at,
                      .what = to_string(answer.kind),
                      .layer = answer.layer,
                      .reason = answer.reason,
                      .change = answer.change,
                      .took = answer.patch_to_limit,
                      .status = answer.status,
                      .detail = answer.cause};
  if (!answer.message.empty()) {
    entry.detail += (entry.detail.empty() ? "" : ": ") + answer.message.substr(0, kLongestDetail);
  }
  return entry;
}

// The same thing once more: its numbers may have moved a little.
bool repeats(const TimelineEntry& earlier, const TimelineEntry& later) {
  if (earlier.what == kCpuLimit && later.what == kCpuLimit) return true;
  return earlier.what == later.what && earlier.reason == later.reason &&
         earlier.layer == later.layer && earlier.change == later.change &&
         earlier.status == later.status && earlier.detail == later.detail;
}

}  // namespace

void Timelines::add(const ContainerRef& subject, const Record& record) {
  append(subject, entry_of(record));
}

void Timelines::add(const ContainerRef& subject, const ResizeEvent& answer) {
  append(subject, entry_of(answer));
}

void Timelines::note(const ContainerRef& subject, MonotonicTime at, std::string_view what,
                     std::string detail) {
  append(subject, {.at = at, .last = at, .what = what, .detail = std::move(detail)});
}

void Timelines::ended(const ContainerRef& subject) {
  const auto found = living_.find(key_of(subject));
  if (found == living_.end()) return;
  gone_.push_back(std::move(found->second));
  gone_.back().gone = true;
  living_.erase(found);
  while (gone_.size() > bounds_.gone) {
    entries_ -= gone_.front().entries.size();
    gone_.pop_front();
  }
}

std::vector<const Timeline*> Timelines::of(std::string_view name_space,
                                           std::string_view pod) const {
  std::vector<const Timeline*> found;
  const auto take = [&](const Timeline& timeline) {
    if (timeline.subject.name_space == name_space && timeline.subject.pod == pod) {
      found.push_back(&timeline);
    }
  };
  for (const auto& [key, timeline] : living_) take(timeline);
  // The one that ended last is the one that people ask for.
  std::for_each(gone_.rbegin(), gone_.rend(), take);
  return found;
}

std::string Timelines::key_of(const ContainerRef& subject) {
  return subject.uid + "/" + subject.container;
}

void Timelines::append(const ContainerRef& subject, TimelineEntry entry) {
  Timeline& timeline = living_[key_of(subject)];
  if (timeline.subject.uid.empty()) timeline.subject = subject;
  std::vector<TimelineEntry>& entries = timeline.entries;
  if (!entries.empty() && repeats(entries.back(), entry)) {
    entries.back().last = entry.at;
    entries.back().facts = entry.facts;
    if (entry.what == kCpuLimit) {
      std::get<CpuChange>(*entries.back().change).to = std::get<CpuChange>(*entry.change).to;
    }
    entries.back().reason = entry.reason;
    ++entries.back().repeats;
    return;
  }
  entries.push_back(std::move(entry));
  ++entries_;
  while (entries.size() > std::max<std::size_t>(bounds_.entries, 1)) drop_oldest(timeline);
  while (entries_ > std::max<std::size_t>(bounds_.all, 1)) drop_oldest(*with_oldest());
}

void Timelines::drop_oldest(Timeline& timeline) {
  timeline.entries.erase(timeline.entries.begin());
  ++timeline.forgotten;
  --entries_;
}

// Not null while there are entries.
Timeline* Timelines::with_oldest() {
  Timeline* oldest = nullptr;
  const auto look_at = [&](Timeline& each) {
    if (each.entries.empty()) return;
    if (oldest == nullptr || each.entries.front().last < oldest->entries.front().last) {
      oldest = &each;
    }
  };
  for (auto& [key, timeline] : living_) look_at(timeline);
  for (Timeline& timeline : gone_) look_at(timeline);
  return oldest;
}

}  // namespace plimsoll::agent
