// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/event_policy.h"

#include <algorithm>
#include <utility>

namespace plimsoll::agent {
namespace {

std::string key_of(const kube::EventSubject& subject, EventReason reason) {
  return subject.uid + "/" + subject.container + "/" + std::string(to_string(reason));
}

kube::TokenBucket bucket(double per_minute, double burst) {
  constexpr double kNone = 1e-9;  // not asked, see may_write()
  return {std::max(per_minute, kNone) / 60, std::max(burst, 1.0)};
}

}  // namespace

EventPolicy::EventPolicy(const EventLimits& limits)
    : limits_(limits), node_(bucket(limits.node_per_minute, limits.node_burst)) {}

std::optional<EventWrite> EventPolicy::take(const Notice& notice, MonotonicTime now,
                                            kube::WallTime wall) {
  const std::string key = key_of(notice.subject, notice.reason);
  auto found = series_.find(key);
  const bool is_new = found == series_.end();
  if (is_new) {
    make_room();
    found = series_.emplace(key, Series{.subject = notice.subject, .reason = notice.reason}).first;
    found->second.until = now + limits_.window;
  }
  Series& series = found->second;
  if (series.waiting++ == 0) series.waiting_since = wall;
  series.waiting_note = notice.note;
  series.waiting_time = wall;
  if (is_new && may_write(series.subject.uid, now)) return write_waiting(series, now);
  ++suppressed_;
  return std::nullopt;
}

std::vector<EventWrite> EventPolicy::due(MonotonicTime now) {
  std::vector<EventWrite> writes;
  for (auto each = series_.begin(); each != series_.end();) {
    Series& series = each->second;
    if (series.until > now) {
      ++each;
    } else if (series.waiting == 0) {
      each = series_.erase(each);
    } else {
      if (may_write(series.subject.uid, now)) {
        if (auto write = write_waiting(series, now)) writes.push_back(std::move(*write));
      } else {
        series.until = now + limits_.window;
      }
      ++each;
    }
  }
  return writes;
}

std::optional<MonotonicTime> EventPolicy::next() const {
  if (series_.empty()) return std::nullopt;
  const auto first = std::min_element(series_.begin(), series_.end(), [](auto& a, auto& b) {
    return a.second.until < b.second.until;
  });
  return first->second.until;
}

void EventPolicy::stored(const EventWrite& write, std::string_view name) {
  const auto found = series_.find(key_of(write.subject, write.reason));
  if (found != series_.end()) found->second.name = name;
}

std::optional<EventWrite> EventPolicy::write_waiting(Series& series, MonotonicTime now) {
  EventWrite write{.subject = series.subject,
                   .reason = series.reason,
                   .note = series.waiting_note,
                   .time = series.waiting_time};
  // The note of a stored Event cannot be changed, so only the same words continue it.
  if (!series.name.empty() && series.waiting_note == series.note) {
    series.count += series.waiting;
    write.series_of = series.name;
    write.count = series.count;
  } else {
    if (series.waiting > 1) {
      write.note += " (the last of " + std::to_string(series.waiting) + " since " +
                    kube::micro_time(series.waiting_since).substr(11, 8) + ")";
    }
    series.name.clear();
    series.count = 1;
  }
  series.note = series.waiting_note;
  series.waiting = 0;
  series.until = now + limits_.window;
  return write;
}

bool EventPolicy::may_write(const std::string& pod, MonotonicTime now) {
  if (limits_.node_per_minute <= 0) return false;
  if (pods_.size() > limits_.most_series) {
    std::erase_if(pods_, [&](const auto& each) {
      return std::none_of(series_.begin(), series_.end(), [&](const auto& series) {
        return series.second.subject.uid == each.first;
      });
    });
  }
  kube::TokenBucket& own =
      pods_.try_emplace(pod, bucket(limits_.pod_per_minute, limits_.pod_burst)).first->second;
  // The node's token is not spent on a pod that has none.
  return own.wait(now) == Nanoseconds(0) && node_.take(now) && own.take(now);
}

// The series that has nothing to say and ends first; where all have, the one that ends first.
void EventPolicy::make_room() {
  if (series_.size() < limits_.most_series) return;
  const auto first = std::min_element(series_.begin(), series_.end(), [](auto& a, auto& b) {
    return std::pair(a.second.waiting > 0, a.second.until) <
           std::pair(b.second.waiting > 0, b.second.until);
  });
  series_.erase(first);
}

}  // namespace plimsoll::agent
