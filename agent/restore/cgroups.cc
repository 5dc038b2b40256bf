// SPDX-License-Identifier: Apache-2.0
#include "agent/restore/cgroups.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>
#include <utility>

#include "base/enum_table.h"
#include "cgroup/cpu_max.h"

namespace plimsoll::agent {
namespace {

constexpr auto kOutcomes = std::to_array<EnumWord<RestoreItem::Outcome>>({
    {RestoreItem::Outcome::kRestored, "restored"},
    {RestoreItem::Outcome::kWouldRestore, "would-restore"},
    {RestoreItem::Outcome::kAlready, "already"},
    {RestoreItem::Outcome::kGone, "gone"},
    {RestoreItem::Outcome::kInUse, "in-use"},
    {RestoreItem::Outcome::kForeign, "foreign"},
    {RestoreItem::Outcome::kHeldUp, "held-up"},
    {RestoreItem::Outcome::kRefused, "refused"},
    {RestoreItem::Outcome::kStored, "stored"},
    {RestoreItem::Outcome::kFailed, "failed"},
});
static_assert(has_row_for_each(kOutcomes, RestoreItem::Outcome::kFailed));

using Clock = std::chrono::steady_clock;
using Outcome = RestoreItem::Outcome;

constexpr Nanoseconds kBetweenRounds = std::chrono::milliseconds(100);

bool is_pending(Outcome outcome) {
  return outcome == Outcome::kInUse || outcome == Outcome::kHeldUp || outcome == Outcome::kFailed;
}

// What may stand in the way of a lower limit.
struct Use {
  Bytes current;
  Bytes working;  // less the file pages on the LRU lists
};

Result<Use> read_use(const cgroup::Group& group) {
  const auto current = group.read_memory_current();
  if (!current) return tl::unexpected(current.error());
  const auto stat = group.read_memory_stat();
  if (!stat) return tl::unexpected(stat.error());
  return Use{*current, *current - (stat->inactive_file + stat->active_file)};
}

// Its value for RestoreItem.
LimitValue value_of(const cgroup::CpuMax& max) {
  const auto cpus = cgroup::cpus_of(max);
  return cpus ? LimitValue(*cpus) : LimitValue(kNoLimit);
}

// Compared as quotas, since a file has no less than the kernel's least.
bool is_at_most(const cgroup::CpuMax& max, MilliCpu cpus) {
  return max.quota && *max.quota <= *cgroup::cpu_max_of(cpus, max.period).quota;
}

// cpu.max.burst, if it may be from here: ours is never above the floor.
bool has_our_burst(const cgroup::Group& group, const CpuLimitState& record,
                   std::chrono::microseconds period) {
  const auto burst = group.read_cpu_max_burst();
  return burst && record.burst && *burst > *record.burst &&
         *burst <= *cgroup::cpu_max_of(record.first_seen, period).quota;
}

std::string foreign(const LimitValue& now, const LimitValue& most) {
  return "the limit is " + to_string(now) + ", and at most " + to_string(most) +
         " can be from here: somebody else set it";
}

// One attempt at one limit.
class Attempt {
 public:
  Attempt(const cgroup::Root& root, const cgroup::Writer* writer, const RestorePolicy& policy)
      : root_(root), writer_(writer), policy_(policy) {}

  void make(const LimitState& record, RestoreItem& item) const {
    const auto done = lower(record, item);
    if (done) return;
    // Without the file there is no limit either.
    const Code code = done.error().code;
    const bool gone = code == Code::kGone || (item.is_cpu() && code == Code::kUnsupported);
    item.outcome = gone ? Outcome::kGone : Outcome::kFailed;
    item.why = done.error().message;
  }

 private:
  Result<void> lower(const LimitState& record, RestoreItem& item) const {
    const auto group = root_.open_group(record.path);
    if (!group) return tl::unexpected(group.error());
    if (group->id() != record.id) {
      return fail(Code::kGone, "another cgroup has this name now, with limits that are not ours");
    }
    return item.is_cpu() ? lower_cpu(*group, *record.cpu, item)
                         : lower_memory(*group, record, item);
  }

  Result<void> lower_memory(const cgroup::Group& group, const LimitState& record,
                            RestoreItem& item) const {
    const auto now = group.read_memory_max();
    if (!now) return tl::unexpected(now.error());
    saw(*now, item);
    const Limit target = std::get<Limit>(item.target);
    if (*now <= target) {
      item.outcome = Outcome::kAlready;
      return {};
    }
    if (*now > record.direct_ceiling) {
      item.outcome = Outcome::kForeign;
      item.why = foreign(*now, record.direct_ceiling);
      return {};
    }
    const auto room = make_room(group, writer_, Bytes{target.bytes}, policy_, item.why);
    if (!room) return tl::unexpected(room.error());
    if (!*room) {
      item.outcome = Outcome::kInUse;
      return {};
    }
    if (writer_ == nullptr) {
      item.outcome = Outcome::kWouldRestore;
      return {};
    }
    const auto change = writer_->set_memory_max(group, target);
    if (!change) return tl::unexpected(change.error());
    item.after = change->after;
    item.outcome = Outcome::kRestored;
    return {};
  }

  Result<void> lower_cpu(const cgroup::Group& group, const CpuLimitState& record,
                         RestoreItem& item) const {
    const auto now = group.read_cpu_max();
    if (!now) return tl::unexpected(now.error());
    saw(value_of(*now), item);
    const MilliCpu target = std::get<MilliCpu>(item.target);
    const bool is_low = is_at_most(*now, target);
    const bool burst = has_our_burst(group, record, now->period);
    if (is_low && !burst) {
      item.outcome = Outcome::kAlready;
      return {};
    }
    if (!is_low && !is_at_most(*now, record.direct_ceiling)) {
      item.outcome = Outcome::kForeign;
      item.why = foreign(value_of(*now), record.direct_ceiling);
      return {};
    }
    if (writer_ == nullptr) {
      item.outcome = Outcome::kWouldRestore;
      return {};
    }
    if (burst) {
      auto back = writer_->set_cpu_burst(group, *record.burst);
      if (!back) return back;
    }
    if (!is_low) {
      const auto change = writer_->set_cpu_max(group, cgroup::cpu_max_of(target, now->period));
      if (!change) return tl::unexpected(change.error());
      item.after = value_of(change->after);
    }
    item.outcome = Outcome::kRestored;
    return {};
  }

  // A later round sees what the first one saw.
  static void saw(const LimitValue& now, RestoreItem& item) {
    if (!item.before) item.before = now;
    item.after = now;
    item.why.clear();
  }

  const cgroup::Root& root_;
  const cgroup::Writer* writer_;
  const RestorePolicy& policy_;
};

// One limit, and what is known of it.
struct LimitWork {
  const LimitState* record = nullptr;
  RestoreItem item;

  bool pending() const { return is_pending(item.outcome); }
};

// Memory or CPU of one pod: its containers, then its slice.
struct NestedWork {
  std::vector<LimitWork> containers;
  std::optional<LimitWork> slice;

  bool pending() const {
    return std::any_of(containers.begin(), containers.end(),
                       [](const LimitWork& work) { return work.pending(); }) ||
           (slice && slice->pending());
  }
  bool pending(const LimitState& record) const {
    const auto is_it = [&](const LimitWork& work) {
      return work.record == &record && work.pending();
    };
    return std::any_of(containers.begin(), containers.end(), is_it) || (slice && is_it(*slice));
  }
};

// Either may go back without the other.
struct PodWork {
  const PodState* pod = nullptr;
  NestedWork memory;
  NestedWork cpu;

  bool pending() const { return memory.pending() || cpu.pending(); }
};

// Nothing of its memory was ever ours to change.
bool is_cpu_only(const LimitState& record) {
  return record.first_seen.is_max() && record.direct_ceiling == Limit{0};
}

PodWork work_of(const PodState& pod) {
  PodWork work{.pod = &pod, .memory = {}, .cpu = {}};
  const auto work_on = [&](const LimitState& record, const std::string& container,
                           const LimitValue& target) {
    LimitWork one{.record = &record, .item = {}};
    one.item.pod = pod.name.empty() ? pod.uid : pod.name_space + "/" + pod.name;
    one.item.container = container;
    one.item.path = record.path;
    one.item.target = target;
    one.item.outcome = Outcome::kFailed;  // until it was tried
    return one;
  };
  for (const ContainerState& each : pod.containers) {
    const LimitState& record = each.limit;
    const std::string& name = each.name.empty() ? each.container_id : each.name;
    if (!is_cpu_only(record)) {
      work.memory.containers.push_back(work_on(record, name, restore_target(record)));
    }
    if (record.cpu) {
      work.cpu.containers.push_back(work_on(record, name, restore_target(*record.cpu)));
    }
  }
  if (pod.slice && !is_cpu_only(*pod.slice)) {
    work.memory.slice = work_on(*pod.slice, "", restore_target(*pod.slice));
  }
  if (pod.slice && pod.slice->cpu) {
    work.cpu.slice = work_on(*pod.slice, "", restore_target(*pod.slice->cpu));
  }
  return work;
}

// Containers first: lowered before them, the pod's limit would bite while theirs do not.
void attempt_nested(const Attempt& attempt, NestedWork& work) {
  bool held_up = false;
  bool foreign = false;
  for (LimitWork& one : work.containers) {
    if (one.pending()) attempt.make(*one.record, one.item);
    held_up = held_up || one.pending();
    foreign = foreign || one.item.outcome == Outcome::kForeign;
  }
  if (!work.slice || !work.slice->pending()) return;
  RestoreItem& slice = work.slice->item;
  if (held_up) {
    slice.outcome = Outcome::kHeldUp;
    slice.why = "a container of this pod is still raised";
  } else if (foreign) {
    slice.outcome = Outcome::kForeign;
    slice.why = "somebody else set the limit of a container of this pod";
  } else {
    attempt.make(*work.slice->record, slice);
  }
}

// What is still to be put back of it; nullopt: nothing.
std::optional<LimitState> left_of(const PodWork& work, const LimitState& record) {
  const bool memory = work.memory.pending(record);
  const bool cpu = work.cpu.pending(record);
  if (!memory && !cpu) return std::nullopt;
  LimitState left = record;
  if (!memory) left.direct_ceiling = Limit{0};  // whatever it is from here on, it is not ours
  if (!cpu) left.cpu.reset();
  return left;
}

NodeState left_of(const NodeState& state, const std::vector<PodWork>& work) {
  NodeState left{.boot_id = state.boot_id, .generation = state.generation, .pods = {}};
  for (const PodWork& one : work) {
    if (!one.pending()) continue;
    PodState pod = *one.pod;
    pod.containers.clear();
    for (const ContainerState& container : one.pod->containers) {
      const auto limit = left_of(one, container.limit);
      if (limit) pod.containers.emplace_back(container).limit = *limit;
    }
    if (pod.slice) pod.slice = left_of(one, *one.pod->slice);
    left.pods.push_back(std::move(pod));
  }
  return left;
}

}  // namespace

std::string to_string(const LimitValue& value) {
  return std::visit([](const auto& of) { return plimsoll::to_string(of); }, value);
}

std::string_view to_string(RestoreItem::Outcome outcome) { return word_of(kOutcomes, outcome); }

Result<bool> make_room(const cgroup::Group& group, const cgroup::Writer* writer, Bytes target,
                       const RestorePolicy& policy, std::string& why) {
  const Bytes margin{std::min(policy.margin.value, target.value / 4)};
  auto use = read_use(group);
  if (!use) return tl::unexpected(use.error());
  Bytes counted = use->current;
  if (use->current + margin > target && writer != nullptr) {
    const auto reclaimed = writer->reclaim(group, use->current + margin - target);
    if (!reclaimed && reclaimed.error().code == Code::kGone) {
      return tl::unexpected(reclaimed.error());
    }
    use = read_use(group);
    if (!use) return tl::unexpected(use.error());
    // Before 5.19 there is no reclaim on request; the write itself then reclaims file pages first,
    // as it does where a reclaim could not keep up with a reader.
    counted = reclaimed ? use->current : use->working;
  } else if (writer == nullptr) {
    counted = use->working;
  }
  if (counted + margin <= target) return true;
  why = to_string(counted) + " are in use, and " + to_string(margin) +
        " must stay free below the limit of " + to_string(target);
  return false;
}

RestoreReport restore_limits(const NodeState& state, const cgroup::Root& root,
                             const cgroup::Writer* writer, const RestorePolicy& policy) {
  const Attempt attempt(root, writer, policy);
  std::vector<PodWork> work;
  for (const PodState& pod : state.pods) work.push_back(work_of(pod));
  const auto deadline = Clock::now() + policy.patience;
  while (true) {
    for (PodWork& one : work) {
      attempt_nested(attempt, one.memory);
      attempt_nested(attempt, one.cpu);
    }
    const bool pending =
        std::any_of(work.begin(), work.end(), [](const PodWork& one) { return one.pending(); });
    if (!pending || writer == nullptr || Clock::now() + kBetweenRounds > deadline) break;
    std::this_thread::sleep_for(kBetweenRounds);
  }
  RestoreReport report;
  report.left = left_of(state, work);
  for (PodWork& one : work) {
    for (NestedWork* nested : {&one.memory, &one.cpu}) {
      for (LimitWork& each : nested->containers) report.items.push_back(std::move(each.item));
      if (nested->slice) report.items.push_back(std::move(nested->slice->item));
    }
  }
  return report;
}

}  // namespace plimsoll::agent
