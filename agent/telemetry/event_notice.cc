// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/event_notice.h"

#include <array>

#include "agent/policy/reason.h"

namespace plimsoll::agent {
namespace {

struct EventRow {
  std::string_view name;
  std::string_view action;
  bool warning;
};
// In the order of EventReason.
constexpr std::array kRows{EventRow{"MemoryLimitRaised", "Resize", false},
                           EventRow{"MemoryLimitLowered", "Resize", false},
                           EventRow{"CpuLimitRaised", "Resize", false},
                           EventRow{"CpuLimitLowered", "Resize", false},
                           EventRow{"ResizeRefused", "Resize", true},
                           EventRow{"ResizeWithdrawn", "Withdraw", false},
                           EventRow{"CgroupFallback", "WriteCgroup", true},
                           EventRow{"BridgeWithdrawn", "Withdraw", true},
                           EventRow{"LeakSuspected", "Hold", true},
                           EventRow{"OutOfBudget", "Hold", true},
                           EventRow{"CeilingReached", "Hold", true},
                           EventRow{"OomKilled", "Watch", true},
                           EventRow{"SteppedBack", "Hold", false},
                           EventRow{"AnnotationInvalid", "Configure", true},
                           EventRow{"ConfigRejected", "Configure", true}};
static_assert(kRows.size() == static_cast<std::size_t>(EventReason::kConfigRejected) + 1);

const EventRow& row_of(EventReason reason) { return kRows[static_cast<std::size_t>(reason)]; }

kube::EventSubject on_pod(const ContainerRef& subject) {
  return {.name_space = subject.name_space,
          .name = subject.pod,
          .uid = subject.uid,
          .container = subject.container};
}

std::string whom(const ContainerRef& subject) {
  return subject.container.empty() ? "the pod" : "container " + subject.container;
}

// "memory limit of container app"
std::string limit_of_whom(const ContainerRef& subject, std::string_view resource = "memory") {
  return std::string(resource) + " limit of " + whom(subject);
}

std::string from_to(const LimitChange& change) {
  return std::visit(
      [](const auto& each) { return "from " + to_string(each.from) + " to " + to_string(each.to); },
      change);
}

// "memory limit of container app raised from ... to ...: why"
std::string moved(const std::string& limit, const LimitChange& change, Reason reason) {
  return limit + (is_raise(change) ? " raised " : " lowered ") + from_to(change) + ": " +
         std::string(sentence_of(reason));
}

std::string not_grown(const ContainerRef& subject, const Record& record) {
  return limit_of_whom(subject) + " is not raised: " + std::string(sentence_of(record.reason)) +
         " (" + numbers_of(std::get<MemoryFacts>(record.facts)) + ")";
}

std::optional<EventReason> reason_of_denial(Reason reason) {
  switch (reason) {
    case Reason::kCeiling:
      return EventReason::kCeilingReached;
    case Reason::kBudget:
    case Reason::kGroupBudget:
    case Reason::kPriority:
      return EventReason::kOutOfBudget;
    case Reason::kLeak:
      return EventReason::kLeakSuspected;
    default:
      return std::nullopt;
  }
}

EventReason reason_of_move(const LimitChange& change) {
  const bool raise = is_raise(change);
  if (is_cpu(change)) return raise ? EventReason::kCpuLimitRaised : EventReason::kCpuLimitLowered;
  return raise ? EventReason::kMemoryLimitRaised : EventReason::kMemoryLimitLowered;
}

// "quota: exceeded quota: q, ..." - who decided, in whose words.
std::string words_of(const ResizeEvent& answer) {
  if (answer.message.empty()) return answer.cause;
  return answer.cause.empty() ? answer.message : answer.cause + ": " + answer.message;
}

}  // namespace

std::string_view to_string(EventReason reason) { return row_of(reason).name; }
std::string_view action_of(EventReason reason) { return row_of(reason).action; }
bool is_warning(EventReason reason) { return row_of(reason).warning; }

std::optional<Notice> notice_of(const ContainerRef& subject, const Record& record) {
  // CPU limits change several times a second; `explain` and the metrics have them.
  if (is_cpu(record.change)) return std::nullopt;
  const auto notice = [&](EventReason reason, std::string note) {
    return Notice{on_pod(subject), reason, std::move(note)};
  };
  switch (record.kind) {
    case Record::Kind::kGrant:
    case Record::Kind::kShrink:
      return notice(reason_of_move(record.change),
                    moved(limit_of_whom(subject), record.change, record.reason));
    case Record::Kind::kDenial:
      if (const auto reason = reason_of_denial(record.reason)) {
        return notice(*reason, not_grown(subject, record));
      }
      return std::nullopt;
    case Record::Kind::kOomKill:
      return notice(EventReason::kOomKilled,
                    "the kernel's OOM killer ended a process of " + whom(subject) +
                        " at a limit of " + to_string(std::get<MemoryFacts>(record.facts).limit));
    case Record::Kind::kReclaim:
    case Record::Kind::kFailure:
    case Record::Kind::kWish:
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<Notice> notice_of(const ContainerRef& subject, const ResizeEvent& answer) {
  const auto notice = [&](EventReason reason, std::string note) {
    return Notice{on_pod(subject), reason, std::move(note)};
  };
  const auto [moves, to] = std::visit(
      [](const auto& each) { return std::pair(each.from != each.to, to_string(each.to)); },
      answer.change);
  const std::string limit = limit_of_whom(subject, is_cpu(answer.change) ? "CPU" : "memory");
  const std::string change = from_to(answer.change);
  switch (answer.kind) {
    case ResizeEvent::Kind::kApplied:
      // What was written ahead of the request was told of then.
      if (answer.bridged || !moves) return std::nullopt;
      return notice(reason_of_move(answer.change), moved(limit, answer.change, answer.reason));
    case ResizeEvent::Kind::kRefused:
      return notice(EventReason::kResizeRefused,
                    limit + " cannot be set " + change + ", refused by " + words_of(answer));
    case ResizeEvent::Kind::kWithdrawn:
      return notice(EventReason::kResizeWithdrawn, "the resize of the " + limit + " to " + to +
                                                       " was taken back: " + words_of(answer));
    case ResizeEvent::Kind::kBridgeWithdrawn:
      return notice(EventReason::kBridgeWithdrawn,
                    limit + " put back " + change +
                        " as far as nothing has to be killed for it: the API refused the raise (" +
                        words_of(answer) + ")");
    case ResizeEvent::Kind::kFallback:
      return notice(EventReason::kCgroupFallback, limit + " written to the cgroup only, " + change +
                                                      ", for the API is of no use now (" +
                                                      words_of(answer) + ")");
    case ResizeEvent::Kind::kSteppedBack:
      if (answer.cause == "share") {
        return notice(EventReason::kSteppedBack, limit + " set " + change + " by somebody else (" +
                                                     answer.message +
                                                     "): that is what it declares from now on");
      }
      return notice(EventReason::kSteppedBack, limit + " is left alone for a while, " +
                                                   answer.message +
                                                   " again after we had raised it");
    // The kubelet tells of these itself (ResizeDeferred, ResizeInfeasible, ResizeError), or they
    // are steps on the way to one of the above.
    case ResizeEvent::Kind::kSent:
    case ResizeEvent::Kind::kAccepted:
    case ResizeEvent::Kind::kDeferred:
    case ResizeEvent::Kind::kInfeasible:
    case ResizeEvent::Kind::kFailed:
    case ResizeEvent::Kind::kUnavailable:
    case ResizeEvent::Kind::kLeaseEnded:
    case ResizeEvent::Kind::kReasserted:
    case ResizeEvent::Kind::kRepaired:
      return std::nullopt;
  }
  return std::nullopt;
}

Notice annotation_notice(const ContainerRef& subject, std::string_view what) {
  return {on_pod(subject), EventReason::kAnnotationInvalid, std::string(what)};
}

Notice config_notice(std::string_view node, std::string_view what) {
  return {
      {.kind = "Node", .name = std::string(node), .uid = std::string(node)},
      EventReason::kConfigRejected,
      "the configuration file was refused, the one before stays in force: " + std::string(what)};
}

}  // namespace plimsoll::agent
