// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/invariants.h"

#include <algorithm>

#include "kube/resize.h"

namespace plimsoll::sim {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr Bytes kMargin{16 * kMiB};
// After something has changed, this long nothing is expected of the agent.
constexpr Nanoseconds kGrace = seconds(60);
// A lease (fallback.lease) and what its end may take.
constexpr Nanoseconds kLongestLease = minutes(16);
constexpr std::size_t kMostRequestsAMinute = 30;  // of one pod
constexpr std::size_t kMostWakes = 100;
constexpr Bytes kMostGrowth{4 * kMiB};  // of the agent, by what one author does
constexpr Nanoseconds kSettled = seconds(20);
// As systemd rounds a quota.
constexpr MilliCpu kQuotaRounding{10};

Bytes needed(Bytes usage) { return std::max(scaled(usage, 1.06), usage + kMargin); }

std::string text_of(const kube::Pod& pod, const std::string& name) {
  return pod.id.namespace_name + "/" + pod.id.name + " " + name;
}

Violation broken(Rule rule, MonotonicTime now, std::string text) {
  return {.rule = rule, .at = now, .text = std::move(text)};
}

}  // namespace

std::string_view to_string(Rule rule) {
  constexpr std::array<std::string_view, 11> kNames{
      "allowed",      "lease-ends",     "leaves", "within",    "protected", "in-nobodys-way",
      "few-requests", "bounded-memory", "rests",  "explained", "alone"};
  return kNames.at(static_cast<std::size_t>(rule));
}

void Invariants::set_factor(double factor, MonotonicTime now) {
  factor_before_ = std::exchange(factor_, factor);
  factor_at_ = now;
}

void Invariants::declared(const kube::Pod& pod, MonotonicTime now) {
  for (const kube::Container& each : pod.containers) {
    Known& known = known_[{pod.id.uid, each.name}];
    const Bytes limit = each.resources.limits.memory.value_or(Bytes{});
    known.declared = std::max(known.declared, limit);
    if (known.declared_now == limit) continue;
    known.declared_now = limit;
    known.declared_at = now;
  }
}

void Invariants::told(const kube::Pod& pod) {
  for (const kube::Container& each : pod.containers) {
    known_[{pod.id.uid, each.name}].told = each.resources.limits;
  }
}

void Invariants::opted(const std::string& uid, bool in, MonotonicTime now) {
  KnownPod& pod = pods_[uid];
  if (pod.in != in) pod.opted_at = now;
  pod.in = in;
}

void Invariants::capped(const std::string& uid, Bytes ceiling) { pods_[uid].cap = ceiling; }

void Invariants::api_is(bool answers, bool resizes, MonotonicTime now) {
  outage_ |= !answers;
  answers_ = answers;
  answers_since_ = now;
  if (resizes == resizes_) return;
  resizes_ = resizes;
  if (resizes) could_not_ = now - resizes_since_;
  resizes_since_ = now;
}

void Invariants::admission_changed(MonotonicTime now) {
  admission_since_ = now;
  if (!admission_first_) admission_first_ = now;
}

void Invariants::watch_is(bool follows, MonotonicTime now) {
  follows_ = follows;
  follows_since_ = now;
}

void Invariants::answered(const agent::SendResize& send, const agent::ResizeOutcome& outcome,
                          MonotonicTime now) {
  for (const kube::ResizeChange& change : send.resize.changes) {
    Known& known = known_[{send.resize.pod.uid, change.container}];
    const kube::Container* stored =
        outcome.pod ? kube::find_container(*outcome.pod, change.container) : nullptr;
    const kube::Amounts limits = stored == nullptr ? kube::Amounts{} : stored->resources.limits;
    if (change.limits.memory) {
      note_answer(known.memory, *change.limits.memory, limits.memory, outcome, now);
    }
    if (change.limits.cpu) note_answer(known.cpu, *change.limits.cpu, limits.cpu, outcome, now);
  }
}

template <class Amount>
void Invariants::note_answer(Said<Amount>& said, Amount asked, const std::optional<Amount>& stored,
                             const agent::ResizeOutcome& outcome, MonotonicTime now) {
  if (stored) {
    said.yes[*stored] = MonotonicTime::max();
  } else if (outcome.refusal && kube::code_of(outcome.refusal->cause) == Code::kDenied) {
    for (auto& [value, until] : said.yes) {
      if (value >= asked) until = std::min(until, now + kGrace);
    }
  }
}

template <class Amount>
std::optional<Amount> Invariants::exceeds(Said<Amount>& said, Amount limit, Amount declared,
                                          Amount in_use, bool in_time, MonotonicTime now) const {
  // While the server does not answer, and until what was given then has ended, the agent may go as
  // far as was ever allowed, or by half where nobody could be asked.
  const bool emergency = !answers_ || (outage_ && now - answers_since_ < kLongestLease);
  Amount top = declared;
  Amount ever = top;
  for (const auto& [value, until] : said.yes) {
    ever = std::max(ever, value);
    if (now <= until) top = std::max(top, value);
  }
  if (emergency) {
    top = std::max(ever, declared + Amount{declared.value / 2});
    said.emergency = std::max(said.emergency, std::min(top, limit));
  }
  // What is in use cannot be taken back, but must have been allowed once.
  ever = std::max(ever, said.emergency);
  const bool over = limit > std::max(top, std::min(ever, in_use));
  const Amount before = std::exchange(said.before, limit);
  // What is not allowed, or not in use, any more goes soon, where there is an agent.
  if (!over || !in_time) said.over_since.reset();
  if (!over) return std::nullopt;
  if (!said.over_since) said.over_since = now;
  if (limit > before || now - *said.over_since > kSettled) return top;
  return std::nullopt;
}

void Invariants::asked(const agent::SendResize& send, MonotonicTime now) {
  std::deque<MonotonicTime>& times = requests_[send.resize.pod.uid];
  times.push_back(now);
  while (now - times.front() > minutes(1)) times.pop_front();
  if (times.size() > kMostRequestsAMinute) {
    too_many_ =
        broken(Rule::kFewRequests, now,
               std::to_string(times.size()) + " requests in a minute for " + send.resize.pod.name);
  }
}

std::optional<Violation> Invariants::check(const kube::Pod& pod, const RunningContainer& container,
                                           NodeAgent* agent, MonotonicTime now) {
  Known& known = known_[{pod.id.uid, container.name}];
  const KnownPod& author = pods_[pod.id.uid];
  const kube::Container* stored = kube::find_container(pod, container.name);
  const Bytes spec = stored->resources.limits.memory.value_or(Bytes{});
  const Limit limit = cgroups_.memory(container.path);
  const Limit written = cgroups_.written(container.path);
  const Bytes usage = cgroups_.usage(container.path);
  const std::string about = text_of(pod, container.name) + ": memory.max " + to_string(limit) +
                            ", spec " + to_string(spec) + ", in use " + to_string(usage) +
                            ", declared " + to_string(known.declared_now);
  const bool in_time = agent != nullptr && now - *agent_since_ > kGrace;

  const double factor = now - factor_at_ > kGrace ? factor_ : std::max(factor_, factor_before_);
  const Bytes most = scaled(known.declared, std::max(factor, 1.0));
  const bool ours = limit > written;
  if (ours && limit > limit_of(most) && limit > limit_of(needed(usage))) {
    return broken(Rule::kWithin, now, about + ", most " + to_string(most));
  }
  const Bytes most_now = scaled(known.declared_now, std::max(factor, 1.0));
  // What is in use, or cannot be asked for, comes later.
  if (!in_time || !answers_ || limit <= limit_of(most_now) || needed(usage) > most_now ||
      spec <= most_now) {
    known.too_high_since.reset();
  } else if (!known.too_high_since) {
    known.too_high_since = now;
  } else if (now - std::max(*known.too_high_since, known.declared_at) > minutes(2)) {
    return broken(Rule::kWithin, now, about + ", of what is declared now " + to_string(most_now));
  }

  const Bytes others = std::max({spec, container.actuated.limits.memory.value_or(Bytes{}),
                                 known.declared_now, known.told.memory.value_or(Bytes{})});
  const auto top = exceeds(known.memory, ours ? Bytes{limit.bytes} : Bytes{}, others, needed(usage),
                           in_time, now);
  if (top) return broken(Rule::kAllowed, now, about + ", allowed " + to_string(*top));
  if (const auto& spec_cpu = stored->resources.limits.cpu) {
    const MilliCpu cpu = cgroups_.cpu(container.path);
    const bool raised = cpu > cgroups_.cpu_written(container.path) + kQuotaRounding;
    const MilliCpu stands = container.actuated.limits.cpu.value_or(MilliCpu{});
    const auto most_cpu =
        exceeds(known.cpu, raised ? cpu : MilliCpu{},
                std::max({*spec_cpu, stands, known.told.cpu.value_or(MilliCpu{})}) + kQuotaRounding,
                MilliCpu{}, in_time, now);
    if (most_cpu) {
      return broken(Rule::kAllowed, now,
                    text_of(pod, container.name) + ": cpu.max " + to_string(cpu) + ", allowed " +
                        to_string(*most_cpu));
    }
  }

  const bool calm = ours && limit > limit_of(spec) && in_time && answers_ && needed(usage) < spec &&
                    now - answers_since_ > kGrace;
  if (!calm) {
    known.quiet_since.reset();
  } else if (!known.quiet_since) {
    known.quiet_since = now;
  } else if (now - *known.quiet_since > kLongestLease) {
    return broken(Rule::kLeaseEnds, now, about);
  }

  const bool left = !author.in && now - author.opted_at > kGrace;
  if (left && in_time && ours && limit > limit_of(std::max(spec, needed(usage)))) {
    return broken(Rule::kLeaves, now, about);
  }
  const auto& cpu = stored->resources.limits.cpu;
  if (left && in_time && cpu && cgroups_.cpu(container.path) > *cpu + kQuotaRounding &&
      cgroups_.cpu(container.path) > cgroups_.cpu_written(container.path) + kQuotaRounding) {
    return broken(Rule::kLeaves, now,
                  text_of(pod, container.name) + ": cpu.max " +
                      to_string(cgroups_.cpu(container.path)) + ", spec " + to_string(*cpu));
  }

  if (!ours || agent == nullptr) return std::nullopt;
  agent::NodePod* tracked = agent->pods().find(pod.id.uid);
  const agent::NodeContainer* entry = tracked == nullptr ? nullptr : tracked->find(container.name);
  // What the API stores is explained by it.
  if (limit <= limit_of(spec)) return std::nullopt;
  if (entry != nullptr && cgroups_.exists(entry->cgroup.path) &&
      entry->cgroup.path == container.path && !agent->state().covers(entry->cgroup.id, limit)) {
    return broken(Rule::kExplained, now, about);
  }
  return std::nullopt;
}

std::optional<Violation> Invariants::after_step(NodeAgent* agent, MonotonicTime now) {
  if (too_many_) return too_many_;
  for (const auto& [uid, running] : kubelet_.pods()) {
    const kube::Pod* pod = api_.find(uid);
    if (pod == nullptr) continue;
    for (const RunningContainer& each : running.containers) {
      if (auto violation = check(*pod, each, agent, now)) return violation;
    }
  }
  return std::nullopt;
}

std::optional<Violation> Invariants::killed(const std::string& uid, const std::string& name,
                                            Bytes need, MonotonicTime now) const {
  const kube::Pod* pod = api_.find(uid);
  const auto known = known_.find({uid, name});
  const auto author = pods_.find(uid);
  const RunningContainer* container = kubelet_.find(uid, name);
  if (pod == nullptr || known == known_.end() || author == pods_.end() || container == nullptr) {
    return std::nullopt;
  }
  const auto settled = [&](MonotonicTime since) { return now - since > kSettled; };
  if (!agent_since_ || !settled(*agent_since_) || !author->second.in ||
      !settled(author->second.opted_at) || !answers_ || !settled(answers_since_) ||
      !settled(factor_at_) || !settled(container->since) || !settled(known->second.declared_at) ||
      disk_full_ || pod->deleted_at || !kubelet_good_ || !settled(kubelet_since_) || !follows_ ||
      !settled(follows_since_) || !resizes_) {
    return std::nullopt;
  }
  // A refusal is respected for a while, and what was refused as long is asked for as late.
  if (admission_first_ &&
      now - admission_since_ < kGrace + (admission_since_ - *admission_first_) * 2) {
    return std::nullopt;
  }
  // What could not be asked is asked again after as long again.
  if (now - resizes_since_ < kSettled + could_not_) return std::nullopt;
  const auto foreign = foreign_.find(uid);
  if (foreign != foreign_.end() && !settled(foreign->second)) return std::nullopt;
  const kube::Container* stored = kube::find_container(*pod, name);
  if (stored->memory_resize != kube::ResizePolicy::kNotRequired || stored->resources.has_claims) {
    return std::nullopt;
  }
  Bytes ceiling = scaled(known->second.declared_now, factor_);
  if (author->second.cap) ceiling = std::min(ceiling, *author->second.cap);
  if (needed(need) + kMargin > ceiling) return std::nullopt;
  const auto change = kube::memory_change(*pod, name, ceiling);
  if (change && !api_.would_store({.pod = pod->id, .changes = {*change}})) return std::nullopt;
  return broken(Rule::kProtected, now,
                text_of(*pod, name) + ": killed at " + to_string(cgroups_.memory(container->path)) +
                    " when it needed " + to_string(need) + ", ceiling " + to_string(ceiling) +
                    ", spec " + to_string(stored->resources.limits.memory.value_or(Bytes{})));
}

std::optional<Violation> Invariants::failed(const FailedWrite& write, MonotonicTime now) const {
  return broken(Rule::kInNobodysWay, now,
                "cpu.max of " + write.uid + " " + write.container + ": EINVAL, the burst is above");
}

std::optional<Violation> Invariants::woke(MonotonicTime now) {
  wakes_.push_back(now);
  while (now - wakes_.front() > seconds(1)) wakes_.pop_front();
  if (wakes_.size() < kMostWakes) return std::nullopt;
  return broken(Rule::kRests, now,
                std::to_string(wakes_.size()) + " turns in a second for nothing");
}

Violation Invariants::both(MonotonicTime now) {
  return broken(Rule::kAlone, now, "two agents have the node");
}

std::optional<Violation> Invariants::grew(Bytes bytes, MonotonicTime now) {
  if (bytes <= kMostGrowth) return std::nullopt;
  return broken(Rule::kBoundedMemory, now, "the agent has grown by " + to_string(bytes));
}

}  // namespace plimsoll::sim
