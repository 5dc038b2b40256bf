// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/decide_cpu.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "agent/policy/cgroup_tree.h"

namespace plimsoll::agent {
namespace {

// A node that uses this share of its CPUs has none idle to speak of. Pressure alone says little: a
// task that waits for its own quota counts as waiting, too.
constexpr double kBusy = 0.9;

struct Candidate {
  const ContainerSnapshot* container = nullptr;
  const CpuSnapshot* cpu = nullptr;
  CpuHistory past;
  std::optional<CpuAction> lower;
  std::optional<CpuAction> wish;

  MilliCpu limit() const { return cpu->limit.value_or(MilliCpu{}); }
  // A pod slice is raised with its containers only.
  bool may_grow() const {
    return cpu->limit && !container->covers_children && *cpu->limit < cpu->bounds.ceiling;
  }
  // It would take more at once.
  bool is_hot() const { return may_grow() && (cpu->starved > MilliCpu{} || cpu->throttled > 0); }
};

CpuHistory observe(const CpuPolicy& policy, MonotonicTime now, const CpuSnapshot& cpu,
                   const CpuHistory* before) {
  const MilliCpu limit = cpu.limit.value_or(MilliCpu{});
  CpuHistory past = before == nullptr ? CpuHistory{.quiet_since = now, .limit = limit} : *before;
  if (cpu.raises > 0 || limit > past.limit) past.quiet_since = now;
  past.peaks.add(now, std::max(cpu.peak, cpu.use), policy.lower_after);
  past.limit = limit;
  return past;
}

CpuAction lowering(const Candidate& each, MilliCpu to, Reason reason) {
  return {.slot = each.container->slot,
          .id = each.container->id,
          .from = each.limit(),
          .to = to,
          .reason = reason};
}

// What stands above what is written by us: the limit that the API knows.
void give_back(const CpuPolicy& policy, MonotonicTime now, Candidate& each) {
  const MilliCpu limit = each.limit();
  const MilliCpu floor = each.cpu->bounds.floor;
  const MilliCpu known = direct_floor(each.cpu->bounds);
  if (known <= floor || limit > known || now - each.past.quiet_since < policy.lower_after) return;
  const MilliCpu needed = round_up(
      scaled(each.past.peaks.peak(now, policy.lower_after), 1 + policy.margin), policy.round_to);
  const MilliCpu to = std::max(floor, needed);
  if (to >= limit || (to > floor && to > scaled(limit, policy.lower_below))) return;
  each.wish = lowering(each, to, Reason::kLeaseEnded);
  each.past.quiet_since = now;
}

// What a container that is hot asks for next.
MilliCpu next_of(const CpuPolicy& policy, const Candidate& each) {
  const CpuFacts facts{.limit = each.limit()};
  return std::max(each.cpu->starved,
                  std::min(wanted_cpu(policy, facts), each.cpu->bounds.ceiling) - each.limit());
}

struct Hot {
  Rank rank;
  MilliCpu next;
};

MilliCpu reserved_for_higher(const std::vector<Hot>& hot, const Rank& rank) {
  MilliCpu kept;
  for (const Hot& other : hot) {
    if (other.rank > rank) kept += other.next;
  }
  return kept;
}

// What those that come first are short of is taken from what lower ones use above their floor and
// their request, the lowest first.
void take_back(const CpuPolicy& policy, MilliCpu budget, std::vector<Candidate>& candidates) {
  std::vector<Candidate*> order;
  order.reserve(candidates.size());
  for (Candidate& each : candidates) order.push_back(&each);
  std::stable_sort(order.begin(), order.end(), [](const Candidate* a, const Candidate* b) {
    return a->container->rank < b->container->rank;
  });
  for (auto needy = order.rbegin(); needy != order.rend(); ++needy) {
    if (!(*needy)->is_hot()) continue;
    const MilliCpu next = next_of(policy, **needy);
    MilliCpu missing = next - budget;
    budget -= next;
    for (Candidate* each : order) {
      if (missing == MilliCpu{} || each->container->rank >= (*needy)->container->rank) break;
      const MilliCpu least = std::max(direct_floor(each->cpu->bounds), each->cpu->promised);
      const MilliCpu spare = std::min(each->cpu->use, each->limit()) - least;
      if (spare == MilliCpu{} || each->lower) continue;
      const MilliCpu taken = std::min(spare, missing);
      const MilliCpu to =
          round_up(std::min(each->cpu->use, each->limit()) - taken, policy.round_to);
      if (to >= each->limit()) continue;
      each->lower = lowering(*each, to, Reason::kTakenBack);
      missing -= taken;
    }
  }
}

}  // namespace

MilliCpu cpu_budget_of(const Snapshot& snapshot, const CpuPolicy& policy) {
  if (!snapshot.node.cpu) return {};
  const NodeCpuSnapshot& node = *snapshot.node.cpu;
  // A pod's use is its containers', and so is its request: only those without a parent count.
  const Tree tree(snapshot);
  MilliCpu tracked;
  MilliCpu taken;
  for (std::size_t i = 0; i < snapshot.containers.size(); ++i) {
    const auto& cpu = snapshot.containers[i].cpu;
    const std::optional<std::size_t> parent = tree.parent(i);
    if (!cpu || (parent && snapshot.containers[*parent].cpu)) continue;
    tracked += cpu->use;
    taken += std::max(cpu->use, cpu->promised);
  }
  const MilliCpu reserve = scaled(node.capacity, policy.reserve);
  return node.capacity - reserve - taken - (node.use - tracked);
}

CpuDecision decide_cpu(const Snapshot& snapshot, const CpuPolicy& policy,
                       std::map<CgroupId, CpuHistory> history) {
  CpuDecision result;
  std::vector<Candidate> candidates;
  for (const ContainerSnapshot& container : snapshot.containers) {
    if (!container.cpu) continue;
    const auto before = history.find(container.id);
    candidates.push_back({.container = &container,
                          .cpu = &*container.cpu,
                          .past = observe(policy, snapshot.now, *container.cpu,
                                          before == history.end() ? nullptr : &before->second)});
  }
  if (candidates.empty()) return result;
  result.plan.budget = cpu_budget_of(snapshot, policy);
  for (Candidate& each : candidates) {
    if (each.cpu->limit) give_back(policy, snapshot.now, each);
  }
  take_back(policy, result.plan.budget, candidates);

  std::vector<Hot> hot;
  for (const Candidate& each : candidates) {
    if (each.is_hot()) hot.push_back({each.container->rank, next_of(policy, each)});
  }
  const auto& node = snapshot.node.cpu;
  const bool busy =
      node && node->pressure >= policy.node_pressure && node->use >= scaled(node->capacity, kBusy);
  for (Candidate& each : candidates) {
    CpuArmed armed{.bounds = each.cpu->bounds,
                   .burst = each.cpu->burst,
                   .average = round_up(each.cpu->use, policy.round_to),
                   .kept = reserved_for_higher(hot, each.container->rank)};
    if (!each.cpu->limit) armed.denial = Reason::kEnoughHeadroom;
    if (each.container->covers_children) {
      armed.follows = true;
      armed.burst = {};
    }
    if (busy) armed.denial = Reason::kNodeBusy;
    result.plan.arming.push_back({each.container->slot, each.container->id, armed});
    if (each.lower) result.plan.lowers.push_back(*each.lower);
    if (each.wish) result.plan.wishes.push_back(*each.wish);
    result.history.insert_or_assign(each.container->id, std::move(each.past));
  }
  return result;
}

}  // namespace plimsoll::agent
