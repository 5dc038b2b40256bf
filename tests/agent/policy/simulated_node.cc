// SPDX-License-Identifier: Apache-2.0
#include "tests/agent/policy/simulated_node.h"

#include <algorithm>
#include <utility>

namespace plimsoll::agent::simulation {
namespace {

constexpr int kStepsPerSecond = 100;
constexpr Nanoseconds kStep = std::chrono::milliseconds(10);
// How fast evicted file pages come back from the disk.
constexpr Bytes kDiskPerStep{2 * kMiB};

Bytes usage(const Container& c) { return c.anon + c.cold + c.hot; }

// Frees up to `bytes` of file pages, those that are read once first.
void reclaim(Container& c, Bytes bytes) {
  const Bytes cold = std::min(bytes, c.cold);
  c.cold -= cold;
  const Bytes hot = std::min(bytes - cold, c.hot);
  c.hot -= hot;
  c.hot_evicted += hot;
}

}  // namespace

std::size_t Container::count(ActionKind kind, double from) const {
  return static_cast<std::size_t>(std::count_if(
      changes.begin(), changes.end(),
      [&](const Change& change) { return change.kind == kind && change.seconds >= from; }));
}

Container& Node::add(Bytes floor, Bytes ceiling, Program program) {
  Container c;
  c.state.slot = static_cast<Slot>(containers_.size());
  c.state.id = CgroupId{containers_.size() + 1};
  c.state.bounds.floor = floor;
  c.state.bounds.ceiling = ceiling;
  c.state.facts.limit = floor;
  c.armed.denial = Reason::kNotArmed;
  c.program = std::move(program);
  containers_.push_back(std::move(c));
  return containers_.back();
}

double Node::seconds() const { return static_cast<double>(steps_) / kStepsPerSecond; }

MemoryFacts Node::facts(const Container& c) const {
  const Bytes rise = c.anon - c.anon_before;
  return {c.state.facts.limit, usage(c), c.cold + c.hot, {rise.value * kStepsPerSecond}};
}

Bytes Node::available() const {
  Bytes used;
  for (const Container& c : containers_) used += c.anon;
  return memory_ - used;
}

void Node::set_limit(Container& c, Bytes limit) {
  c.state.facts.limit = limit;
  reclaim(c, usage(c) - limit);
  if (usage(c) > limit) charge(c, {});
  Bytes granted;
  for (const Container& each : containers_)
    granted += each.state.facts.limit - each.state.bounds.floor;
  most_granted_ = std::max(most_granted_, granted);
}

bool Node::event(Container& c, Layer layer) {
  if (events_are_lost) {
    ++lost_;
    return false;
  }
  const Bytes limit = c.state.facts.limit;
  const Verdict verdict = grow_on_event(policy.memory, c.armed, facts(c), layer, budget_);
  if (!verdict.limit) {
    if (layer == Layer::kAtTheDoor) c.denials.push_back(verdict.reason);
    return false;
  }
  budget_ -= *verdict.limit - limit;
  ++c.state.grants;
  c.changes.push_back({seconds(), ActionKind::kGrow, limit, *verdict.limit, layer, verdict.reason});
  set_limit(c, *verdict.limit);
  return true;
}

// The kernel's way: reclaim, then the event at the limit, then the door, then the kill.
void Node::charge(Container& c, Bytes bytes) {
  c.anon += bytes;
  for (int tries = 0; usage(c) > c.state.facts.limit; ++tries) {
    reclaim(c, usage(c) - c.state.facts.limit);
    if (usage(c) <= c.state.facts.limit) break;
    // A task that fills its limit charges in pieces: the event sees it full, not over it.
    const Bytes over = usage(c) - c.state.facts.limit;
    c.anon -= over;
    const bool grown = event(c, Layer::kAtTheLimit) || event(c, Layer::kAtTheDoor);
    c.anon += over;
    if (grown && tries < 100) continue;
    c.anon = {};
    ++c.kills;
    c.started = seconds();
    ++c.state.oom_kills;
    return;
  }
}

void Node::foresee(Container& c) {
  if (foreseen(policy.memory, c.armed, facts(c))) event(c, Layer::kPredicted);
}

void Node::step(Container& c) {
  const Demand demand = c.program(seconds() - c.started);
  c.anon_before = c.anon;
  if (demand.anon <= c.anon) {
    c.anon = demand.anon;
  } else {
    charge(c, demand.anon - c.anon);
  }

  const Bytes room = c.state.facts.limit - usage(c);
  const Bytes read{demand.stream_per_second.value / kStepsPerSecond};
  if (read > room) reclaim(c, std::min(read - room, c.cold));
  c.cold += std::min(read, c.state.facts.limit - usage(c));

  if (c.hot > demand.hot) c.hot = demand.hot;
  if (c.hot < demand.hot) {
    const Bytes missing = std::min(demand.hot - c.hot, kDiskPerStep);
    if (usage(c) + missing > c.state.facts.limit) reclaim(c, std::min(missing, c.cold));
    const Bytes refaulted = std::min(missing, c.hot_evicted);
    // Where there is no room, the page comes in and another hot one goes out.
    const Bytes kept = std::min(missing, c.state.facts.limit - usage(c));
    c.hot += kept;
    c.hot_evicted = c.hot_evicted - refaulted + (missing - kept);
    c.state.refaults = c.state.refaults.value_or(0) + refaulted.value / 4096;
    c.state.activations = c.state.activations.value_or(0) + refaulted.value / 4096;
    if (refaulted > Bytes{}) c.stalled += kStep;
  }
  c.peak = std::max(c.peak, c.anon);
  foresee(c);
}

void Node::tick() {
  Snapshot snapshot;
  snapshot.now = MonotonicTime{kStep * steps_};
  snapshot.node = {memory_, available()};
  snapshot.lost_events = std::exchange(lost_, 0);
  for (Container& c : containers_) {
    c.state.facts = facts(c);
    c.state.peak = std::exchange(c.peak, Bytes{});
    c.state.stall_ratio =
        std::chrono::duration<double>(std::exchange(c.stalled, Nanoseconds{})).count();
    c.state.refaults = c.state.refaults.value_or(0);
    c.state.activations = c.state.activations.value_or(0);
    snapshot.containers.push_back(c.state);
    c.state.refaults = 0;
    c.state.activations = 0;
    c.state.grants = 0;
  }
  Decision decision = decide(snapshot, policy, std::move(history_));
  history_ = std::move(decision.history);
  budget_ = decision.plan.budget;
  for (std::size_t i = 0; i < containers_.size(); ++i) {
    containers_[i].armed = decision.plan.arming[i].armed;
  }
  for (const Action& action : decision.plan.actions) {
    Container& c = containers_.at(action.slot);
    c.changes.push_back(
        {seconds(), action.kind, action.from, action.to, Layer::kSlowLoop, action.reason});
    if (action.kind == ActionKind::kReclaim) {
      reclaim(c, usage(c) - action.to);
    } else {
      set_limit(c, action.to);
    }
  }
}

void Node::run_until(double seconds) {
  while (this->seconds() < seconds) {
    if (steps_ % kStepsPerSecond == 0) tick();
    for (Container& c : containers_) step(c);
    ++steps_;
  }
}

}  // namespace plimsoll::agent::simulation
