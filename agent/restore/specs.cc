// SPDX-License-Identifier: Apache-2.0
#include "agent/restore/specs.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <thread>
#include <utility>

#include "agent/apiserver/probe.h"
#include "agent/pods/ownership.h"
#include "agent/pods/pod_cgroups.h"
#include "agent/restore/stored.h"
#include "agent/state/declared_limits.h"
#include "base/clock.h"
#include "cgroup/cpu_max.h"
#include "kube/pod_watch.h"
#include "kube/resize.h"
#include "kube/status.h"

namespace plimsoll::agent {
namespace {

using Clock = std::chrono::steady_clock;
using Outcome = RestoreItem::Outcome;

constexpr Nanoseconds kBetweenRounds = std::chrono::seconds(1);

// Worth another look.
bool is_open(Outcome outcome) {
  return outcome == Outcome::kFailed || outcome == Outcome::kInUse || outcome == Outcome::kStored;
}
bool is_left(Outcome outcome) {
  return outcome == Outcome::kFailed || outcome == Outcome::kInUse || outcome == Outcome::kRefused;
}

// Nobody runs under that limit any more.
bool is_over(kube::Resizability why) {
  return why == kube::Resizability::kTerminating || why == kube::Resizability::kFinished ||
         why == kube::Resizability::kNotRunning;
}

// The limit that `item` is about, of those.
std::optional<LimitValue> value_in(const kube::Amounts& limits, const RestoreItem& item) {
  if (item.is_cpu()) return limits.cpu ? std::optional<LimitValue>(*limits.cpu) : std::nullopt;
  return limits.memory ? std::optional<LimitValue>(limit_of(*limits.memory)) : std::nullopt;
}

// The kubelet carries the spec out, as far as it tells.
bool in_force(const kube::Pod& pod, const kube::Container& container, const RestoreItem& item) {
  if (kube::resize_phase(pod) != kube::ResizePhase::kNone) return false;
  const bool runs = container.status && container.status->state == kube::ContainerState::kRunning;
  return !runs || !container.status->resources ||
         value_in(container.status->resources->limits, item) == item.target;
}

std::string kubelet_says(const kube::Pod& pod) {
  const auto& says = pod.resize.pending ? pod.resize.pending : pod.resize.in_progress;
  if (says && !says->message.empty()) return says->reason + ": " + says->message;
  return std::string(kube::to_string(kube::resize_phase(pod)));
}

// `changes` with what one more item needs.
void add_change(std::vector<kube::ResizeChange>& changes, const kube::ResizeChange& change) {
  const auto same = std::find_if(
      changes.begin(), changes.end(),
      [&](const kube::ResizeChange& each) { return each.container == change.container; });
  if (same == changes.end()) {
    changes.push_back(change);
    return;
  }
  if (change.limits.memory) same->limits.memory = change.limits.memory;
  if (change.requests.memory) same->requests.memory = change.requests.memory;
  if (change.limits.cpu) same->limits.cpu = change.limits.cpu;
}

// One restore of specs: what it was given, and what it knows by now.
class Specs {
 public:
  Specs(const NodeState& floors, kube::Client& client, std::string node_name,
        const cgroup::Root& root, const cgroup::Writer* writer, const RestorePolicy& policy,
        NodeState& state)
      : client_(client),
        node_name_(std::move(node_name)),
        root_(root),
        writer_(writer),
        policy_(policy),
        state_(state) {
    for (const PodState& pod : floors.pods) work_.push_back({&pod, items_of(pod)});
  }

  static std::vector<RestoreItem> items_of(const PodState& pod) {
    std::vector<RestoreItem> items;
    const auto add = [&](const std::string& container, const LimitValue& target) {
      RestoreItem& item = items.emplace_back();
      item.pod = pod.name_space + "/" + pod.name;
      item.container = container;
      item.target = target;
      item.outcome = Outcome::kFailed;  // until it was tried
    };
    for (const ContainerState& container : pod.containers) {
      const LimitState& floor = container.limit;
      if (!floor.first_seen.is_max()) add(container.name, floor.first_seen);
      if (floor.cpu) add(container.name, floor.cpu->first_seen);
    }
    return items;
  }

  void run() {
    const auto deadline = Clock::now() + policy_.patience;
    while (true) {
      if (const auto looked = look(); !looked) {
        for_each_open([&](RestoreItem& item) { item.why = looked.error().message; });
      } else {
        for (Work& work : work_) attempt(work);
      }
      bool open = false;
      for_each_open([&](RestoreItem&) { open = true; });
      if (!open || writer_ == nullptr || Clock::now() + kBetweenRounds > deadline) return;
      std::this_thread::sleep_for(kBetweenRounds);
    }
  }

  SpecReport report() {
    SpecReport report;
    for (Work& work : work_) {
      PodState left = *work.floors;
      const auto is_over = [&](const ContainerState& container, bool cpu) {
        return std::none_of(work.items.begin(), work.items.end(), [&](const RestoreItem& item) {
          return item.container == container.name && item.is_cpu() == cpu && is_left(item.outcome);
        });
      };
      for (ContainerState& container : left.containers) {
        if (is_over(container, false)) {
          container.limit.first_seen = kNoLimit;
          container.limit.confirmed.reset();
        }
        if (is_over(container, true)) container.limit.cpu.reset();
      }
      std::erase_if(left.containers, [&](const ContainerState& container) {
        return container.limit.first_seen.is_max() && !container.limit.cpu;
      });
      if (!left.containers.empty()) report.left.pods.push_back(std::move(left));
      for (RestoreItem& item : work.items) report.items.push_back(std::move(item));
    }
    return report;
  }

 private:
  struct Work {
    const PodState* floors;
    std::vector<RestoreItem> items;
  };

  template <typename Visit>
  void for_each_open(const Visit& visit) {
    for (Work& work : work_) {
      for (RestoreItem& item : work.items) {
        if (is_open(item.outcome)) visit(item);
      }
    }
  }

  // Both pictures anew. An error: there is nothing to be done now.
  Result<void> look() {
    if (!facts_) {
      auto facts = ask_api([this](const kube::Request& request) { return client_.send(request); },
                           node_name_);
      if (!facts) return tl::unexpected(facts.error());
      facts_ = std::move(*facts);
    }
    auto cgroups = PodCgroups::open(root_);
    if (!cgroups) return tl::unexpected(cgroups.error());
    cgroups_.emplace(std::move(*cgroups));
    return list();
  }

  Result<void> list() {
    std::map<std::string, kube::Pod> pods;
    Error failed{.code = Code::kUnavailable, .message = "the node's pods could not be listed"};
    kube::PodWatch watch(node_name_, 1, [&](kube::PodChange&& change) {
      if (change.kind == kube::PodChange::Kind::kFailed) failed = change.error;
      if (change.kind != kube::PodChange::Kind::kPresent) return;
      const auto uid = canonical_pod_uid(kube::cgroup_uid(change.pod));
      const bool ours = uid && std::any_of(work_.begin(), work_.end(), [&](const Work& work) {
                          return work.floors->uid == *uid;
                        });
      if (ours) pods.insert_or_assign(*uid, std::move(change.pod));
    });
    while (!watch.synced() && !watch.failing()) {
      const kube::Request request = watch.next_request(monotonic_now());
      const auto take = [&](std::string_view piece) {
        return watch.on_data(piece, monotonic_now());
      };
      watch.on_end(client_.stream(request, take, watch.idle_deadline()), monotonic_now());
    }
    if (!watch.synced()) return tl::unexpected(failed);
    pods_ = std::move(pods);
    return {};
  }

  void attempt(Work& work) {
    const auto found = pods_.find(work.floors->uid);
    if (found == pods_.end()) {
      for (RestoreItem& item : work.items) {
        if (is_open(item.outcome)) item.outcome = Outcome::kGone;
      }
      return;
    }
    const kube::Pod& pod = found->second;
    const DeclaredLimits declared = declared_limits(pod, work.floors);
    const PodGroups groups = groups_of(*cgroups_, pod);
    std::vector<kube::ResizeChange> changes;
    std::vector<RestoreItem*> asking;
    for (RestoreItem& item : work.items) {
      if (!is_open(item.outcome)) continue;
      auto more = changes_with(pod, declared, groups, changes, item);
      if (!more) continue;
      changes = *std::move(more);
      asking.push_back(&item);
    }
    if (changes.empty()) return;
    if (writer_ == nullptr) {
      for (RestoreItem* item : asking) item->outcome = Outcome::kWouldRestore;
      return;
    }
    const kube::Resize resize{.pod = pod.id, .changes = changes, .dry_run = false};
    const kube::Reply reply =
        client_.send(kube::resize_request(resize, facts_->path, kFieldManager));
    if (reply && kube::is_success(reply->status)) {
      note_stored(state_, *work.floors, pod, kube::applied(pod, changes), groups, changes);
      for (RestoreItem* item : asking) {
        item->outcome = Outcome::kStored;
        item->after = item->target;
        item->why = "the API server has it, the kubelet has not carried it out";
      }
      return;
    }
    note_refused(reply ? kube::classify(*reply) : kube::classify(reply.error()), asking);
  }

  static void note_refused(const kube::Refusal& refusal, const std::vector<RestoreItem*>& asked) {
    const bool again = refusal.code == Code::kUnavailable || refusal.code == Code::kConflict;
    for (RestoreItem* item : asked) {
      item->outcome = refusal.code == Code::kGone ? Outcome::kGone
                      : again                     ? Outcome::kFailed
                                                  : Outcome::kRefused;
      item->why = refusal.message;
    }
  }

  // What is to be asked for with it, beside `changes` of the same pod; nullopt: nothing more, and
  // `item` says why.
  std::optional<std::vector<kube::ResizeChange>> changes_with(
      const kube::Pod& pod, const DeclaredLimits& declared, const PodGroups& groups,
      std::vector<kube::ResizeChange> changes, RestoreItem& item) const {
    item.why.clear();
    const kube::Container* container = find_container(pod, item.container);
    const std::optional<LimitValue> spec =
        container == nullptr ? std::nullopt : value_in(container->resources.limits, item);
    if (!spec) {
      item.outcome = Outcome::kGone;
      return std::nullopt;
    }
    if (!item.before) item.before = *spec;
    item.after = *spec;
    if (*spec == item.target) {
      if (item.outcome != Outcome::kStored) {
        item.outcome = Outcome::kAlready;
      } else if (in_force(pod, *container, item) || file_shows(groups, item)) {
        item.outcome = Outcome::kRestored;
      } else {
        item.why =
            "the API server has it, the kubelet has not carried it out: " + kubelet_says(pod);
      }
      return std::nullopt;
    }
    const auto known = declared.find(item.container);
    const kube::Amounts ours =
        known == declared.end()
            ? kube::Amounts{}
            : kube::Amounts{.memory = known->second.memory, .cpu = known->second.cpu};
    if (value_in(ours, item) != item.target) {
      item.outcome = Outcome::kForeign;
      item.why = "somebody else has resized the pod since then";
      return std::nullopt;
    }
    const auto change = item.is_cpu()
                            ? kube::cpu_change(pod, item.container, std::get<MilliCpu>(item.target))
                            : kube::memory_change(pod, item.container, memory_target(item));
    if (change) add_change(changes, *change);
    const kube::Resizability why_not = can_ask(pod, item, changes);
    if (!change || why_not != kube::Resizability::kYes) {
      item.outcome = is_over(why_not) ? Outcome::kGone : Outcome::kRefused;
      item.why = kube::explain(why_not);
      return std::nullopt;
    }
    const auto room = has_room(pod, groups, changes, *spec, item);
    if (room && *room) return changes;
    item.outcome = room ? Outcome::kInUse : Outcome::kFailed;
    if (!room) item.why = room.error().message;
    return std::nullopt;
  }

  kube::Resizability can_ask(const kube::Pod& pod, const RestoreItem& item,
                             const std::vector<kube::ResizeChange>& changes) const {
    kube::ResizeAbility ability{.path = facts_->path, .minor = facts_->version.minor};
    if (facts_->node) {
      ability.init_containers = facts_->node->resizes_init_containers;
      ability.pod_level = facts_->node->resizes_pod_level;
    }
    kube::Resizability answer = kube::can_resize(pod, ability, node_name_);
    if (answer != kube::Resizability::kYes) return answer;
    answer = item.is_cpu() ? kube::can_resize_cpu(pod, item.container, ability)
                           : kube::can_resize_memory(pod, item.container, ability);
    return answer == kube::Resizability::kYes ? kube::can_apply(pod, changes, ability) : answer;
  }

  static Bytes memory_target(const RestoreItem& item) {
    return Bytes{std::get<Limit>(item.target).bytes};
  }

  // Of memory. A container that does not run needs none, and neither does a raise.
  Result<bool> has_room(const kube::Pod& pod, const PodGroups& groups,
                        const std::vector<kube::ResizeChange>& changes, const LimitValue& spec,
                        RestoreItem& item) const {
    const auto cgroup = groups.containers.find(item.container);
    if (item.is_cpu() || item.target > spec || cgroup == groups.containers.end()) return true;
    const auto fits = [&](const PodCgroup& each, Bytes target) -> Result<bool> {
      const auto group = root_.open_group(each.path);
      if (!group) return tl::unexpected(group.error());
      return make_room(*group, writer_, target, policy_, item.why);
    };
    auto room = fits(*cgroup->second, memory_target(item));
    const auto slice = kube::pod_memory_limit(kube::applied(pod, changes));
    if (!room || !*room || !slice || groups.slice == nullptr) return room;
    return fits(*groups.slice, *slice);
  }

  // The kubelet writes cpu.max at once, and tells of it later.
  bool file_shows(const PodGroups& groups, const RestoreItem& item) const {
    const auto cgroup = groups.containers.find(item.container);
    if (!item.is_cpu() || cgroup == groups.containers.end()) return false;
    const auto max =
        root_.open_group(cgroup->second->path).and_then([](const cgroup::Group& group) {
          return group.read_cpu_max();
        });
    return max && *max == cgroup::cpu_max_of(std::get<MilliCpu>(item.target), max->period);
  }

  kube::Client& client_;
  const std::string node_name_;
  const cgroup::Root& root_;
  const cgroup::Writer* writer_;
  const RestorePolicy& policy_;
  NodeState& state_;
  std::vector<Work> work_;
  std::optional<ApiFacts> facts_;
  std::optional<PodCgroups> cgroups_;
  std::map<std::string, kube::Pod> pods_;  // by uid, those with work
};

}  // namespace

bool SpecReport::complete() const {
  return std::none_of(items.begin(), items.end(), [](const RestoreItem& item) {
    return is_left(item.outcome) || item.outcome == Outcome::kStored;
  });
}

SpecReport restore_specs(const NodeState& floors, kube::Client& client,
                         const std::string& node_name, const cgroup::Root& root,
                         const cgroup::Writer* writer, const RestorePolicy& policy,
                         NodeState& state) {
  if (floors.pods.empty()) return {};
  Specs specs(floors, client, node_name, root, writer, policy, state);
  specs.run();
  return specs.report();
}

SpecReport specs_out_of_reach(const NodeState& floors, const std::string& why) {
  SpecReport report{.items = {}, .left = floors};
  for (const PodState& pod : floors.pods) {
    for (RestoreItem& item : Specs::items_of(pod)) {
      item.why = why;
      report.items.push_back(std::move(item));
    }
  }
  return report;
}

}  // namespace plimsoll::agent
