// SPDX-License-Identifier: Apache-2.0
#include "agent/restore.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>
#include <utility>

#include "agent/cgroup_names.h"

namespace plimsoll::agent {
namespace {

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

// One attempt at one limit.
class Attempt {
 public:
  Attempt(const cgroup::Root& root, const cgroup::Writer* writer, const RestorePolicy& policy)
      : root_(root), writer_(writer), policy_(policy) {}

  void make(const LimitState& limit, RestoreItem& item) const {
    const auto done = lower(limit, item);
    if (done) return;
    item.outcome = done.error().code == Code::kGone ? Outcome::kGone : Outcome::kFailed;
    item.why = done.error().message;
  }

 private:
  Result<void> lower(const LimitState& limit, RestoreItem& item) const {
    const auto group = root_.open_group(limit.path);
    if (!group) return tl::unexpected(group.error());
    if (group->id() != limit.id) {
      return fail(Code::kGone, "another cgroup has this name now, with limits that are not ours");
    }
    const auto now = group->read_memory_max();
    if (!now) return tl::unexpected(now.error());
    // A later round sees what the first one saw.
    if (!item.before) item.before = *now;
    item.after = *now;
    item.why.clear();
    if (*now <= item.target) {
      item.outcome = Outcome::kAlready;
      return {};
    }
    if (*now > limit.direct_ceiling) {
      item.outcome = Outcome::kForeign;
      item.why = "the limit is " + to_string(*now) + ", and at most " +
                 to_string(limit.direct_ceiling) + " can be from here: somebody else set it";
      return {};
    }
    const auto room = make_room(*group, writer_, Bytes{item.target.bytes}, policy_, item.why);
    if (!room) return tl::unexpected(room.error());
    if (!*room) {
      item.outcome = Outcome::kInUse;
      return {};
    }
    if (writer_ == nullptr) {
      item.outcome = Outcome::kWouldRestore;
      return {};
    }
    const auto change = writer_->set_memory_max(*group, item.target);
    if (!change) return tl::unexpected(change.error());
    item.after = change->after;
    item.outcome = Outcome::kRestored;
    return {};
  }

  const cgroup::Root& root_;
  const cgroup::Writer* writer_;
  const RestorePolicy& policy_;
};

// The items of one pod: its containers, then its slice.
struct PodWork {
  const PodState* pod = nullptr;
  std::vector<RestoreItem> containers;
  std::optional<RestoreItem> slice;

  bool pending() const {
    const auto is_item_pending = [](const RestoreItem& item) { return is_pending(item.outcome); };
    return std::any_of(containers.begin(), containers.end(), is_item_pending) ||
           (slice && is_item_pending(*slice));
  }
};

RestoreItem item_of(const PodState& pod, const std::string& container, const LimitState& limit) {
  RestoreItem item;
  item.pod = pod.name.empty() ? pod.uid : pod.name_space + "/" + pod.name;
  item.container = container;
  item.path = limit.path;
  item.target = restore_target(limit);
  item.outcome = Outcome::kFailed;  // until it was tried
  return item;
}

std::vector<PodWork> work_of(const NodeState& state) {
  std::vector<PodWork> work;
  for (const PodState& pod : state.pods) {
    PodWork& one = work.emplace_back();
    one.pod = &pod;
    for (const ContainerState& container : pod.containers) {
      const std::string& name = container.name.empty() ? container.container_id : container.name;
      one.containers.push_back(item_of(pod, name, container.limit));
    }
    if (pod.slice) one.slice = item_of(pod, "", *pod.slice);
  }
  return work;
}

// Containers first: lowered before them, the pod's limit would bite while theirs do not.
void attempt_pod(const Attempt& attempt, PodWork& work) {
  bool held_up = false;
  bool foreign = false;
  for (std::size_t i = 0; i < work.containers.size(); ++i) {
    RestoreItem& item = work.containers[i];
    if (is_pending(item.outcome)) attempt.make(work.pod->containers[i].limit, item);
    held_up = held_up || is_pending(item.outcome);
    foreign = foreign || item.outcome == Outcome::kForeign;
  }
  if (!work.slice || !is_pending(work.slice->outcome)) return;
  if (held_up) {
    work.slice->outcome = Outcome::kHeldUp;
    work.slice->why = "a container of this pod is still raised";
  } else if (foreign) {
    work.slice->outcome = Outcome::kForeign;
    work.slice->why = "somebody else set the limit of a container of this pod";
  } else {
    attempt.make(*work.pod->slice, *work.slice);
  }
}

NodeState left_of(const NodeState& state, const std::vector<PodWork>& work) {
  NodeState left{.boot_id = state.boot_id, .generation = state.generation, .pods = {}};
  for (const PodWork& one : work) {
    if (!one.pending()) continue;
    PodState pod = *one.pod;
    pod.containers.clear();
    for (std::size_t i = 0; i < one.containers.size(); ++i) {
      if (!is_pending(one.containers[i].outcome)) continue;
      pod.containers.push_back(one.pod->containers[i]);
    }
    if (one.slice && !is_pending(one.slice->outcome)) pod.slice.reset();
    left.pods.push_back(std::move(pod));
  }
  return left;
}

}  // namespace

std::string_view to_string(RestoreItem::Outcome outcome) {
  switch (outcome) {
    case Outcome::kRestored:
      return "restored";
    case Outcome::kWouldRestore:
      return "would-restore";
    case Outcome::kAlready:
      return "already";
    case Outcome::kGone:
      return "gone";
    case Outcome::kInUse:
      return "in-use";
    case Outcome::kForeign:
      return "foreign";
    case Outcome::kHeldUp:
      return "held-up";
    case Outcome::kRefused:
      return "refused";
    case Outcome::kStored:
      return "stored";
    case Outcome::kFailed:
      return "failed";
  }
  return "unknown";
}

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
  std::vector<PodWork> work = work_of(state);
  const auto deadline = Clock::now() + policy.patience;
  while (true) {
    for (PodWork& one : work) attempt_pod(attempt, one);
    const bool pending =
        std::any_of(work.begin(), work.end(), [](const PodWork& one) { return one.pending(); });
    if (!pending || writer == nullptr || Clock::now() + kBetweenRounds > deadline) break;
    std::this_thread::sleep_for(kBetweenRounds);
  }
  RestoreReport report;
  report.left = left_of(state, work);
  for (PodWork& one : work) {
    for (RestoreItem& item : one.containers) report.items.push_back(std::move(item));
    if (one.slice) report.items.push_back(std::move(*one.slice));
  }
  return report;
}

std::size_t tell_restored(const RestoreReport& report, const cgroup::Root& root,
                          const SystemdUnitsConfig& systemd) {
  SystemdUnitsConfig at_once = systemd;
  at_once.settle = Nanoseconds(0);
  std::map<std::string, UnitLimits> waiting;
  for (const RestoreItem& item : report.items) {
    if (item.outcome != Outcome::kRestored) continue;
    const auto unit = unit_of_cgroup(item.path);
    if (!unit) continue;
    waiting.emplace(*unit, UnitLimits{.unit = *unit,
                                      .path = item.path,
                                      .memory_max = item.target,
                                      .cpu_quota_us_per_second = {}});
  }
  if (waiting.empty()) return 0;
  const auto units = SystemdUnits::start(root, at_once);
  if (!units) return waiting.size();
  std::size_t refused = 0;
  for (const auto& [unit, limits] : waiting) (void)(*units)->tell(limits);
  const auto deadline = Clock::now() + systemd.timeout;
  while (!waiting.empty() && Clock::now() < deadline) {
    pollfd ready{(*units)->outcome_fd(), POLLIN, 0};
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    ::poll(&ready, 1, static_cast<int>(rest.count()));
    for (const UnitOutcome& outcome : (*units)->collect()) {
      if (waiting.erase(outcome.limits.unit) > 0 && outcome.error &&
          outcome.error->code != Code::kGone) {
        ++refused;
      }
    }
  }
  return waiting.size() + refused;
}

}  // namespace plimsoll::agent
