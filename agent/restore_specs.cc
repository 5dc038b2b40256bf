// SPDX-License-Identifier: Apache-2.0
#include "agent/restore_specs.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <thread>
#include <utility>

#include "agent/api_probe.h"
#include "agent/floors.h"
#include "agent/pod_cgroups.h"
#include "agent/pod_cgroups_join.h"
#include "agent/resize_state.h"
#include "kube/pod_watch.h"
#include "kube/resize.h"
#include "kube/status.h"

namespace plimsoll::agent {
namespace {

using Clock = std::chrono::steady_clock;
using Outcome = RestoreItem::Outcome;

constexpr Nanoseconds kBetweenRounds = std::chrono::seconds(1);

MonotonicTime now() { return std::chrono::time_point_cast<Nanoseconds>(Clock::now()); }

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

std::optional<Limit> spec_of(const kube::Container& container) {
  const auto& limit = container.resources.limits.memory;
  return limit ? std::optional(limit_of(*limit)) : std::nullopt;
}

// The kubelet carries the spec out, as far as it tells.
bool in_force(const kube::Pod& pod, const kube::Container& container) {
  if (kube::resize_phase(pod) != kube::ResizePhase::kNone) return false;
  const bool runs = container.status && container.status->state == kube::ContainerState::kRunning;
  return !runs || !container.status->resources ||
         container.status->resources->limits.memory == container.resources.limits.memory;
}

std::string kubelet_says(const kube::Pod& pod) {
  const auto& says = pod.resize.pending ? pod.resize.pending : pod.resize.in_progress;
  if (says && !says->message.empty()) return says->reason + ": " + says->message;
  return std::string(kube::to_string(kube::resize_phase(pod)));
}

// The cgroups of one pod's containers, by name.
struct PodGroups {
  const PodCgroup* slice = nullptr;
  std::map<std::string, const PodCgroup*> containers;
};

PodGroups groups_of(const PodCgroups& cgroups, const kube::Pod& pod) {
  const std::vector<ApiPod> api{api_pod_of(pod)};
  PodGroups groups;
  for (const Match& match : join(cgroups.all(), api)) {
    if (match.known_to != KnownTo::kBoth) continue;
    groups.slice = match.pod_cgroup;
    groups.containers[api[0].containers[*match.container].name] = match.cgroup;
  }
  return groups;
}

// The record of a cgroup says from now on that the API has `stored`, and that what is above it, up
// to `before`, was ours.
void note_limit(LimitState& record, const PodCgroup& cgroup, Limit stored, Limit before) {
  if (record.id != cgroup.id) {
    record = {.id = cgroup.id, .path = cgroup.path, .floor = stored, .confirmed = {}};
  }
  record.confirmed = stored;
  record.direct_ceiling = std::max(record.direct_ceiling, before);
}

void note_stored(NodeState& state, const PodState& floors, const kube::Pod& before,
                 const kube::Pod& after, const PodGroups& groups,
                 const std::vector<kube::ResizeChange>& changes) {
  auto pod = std::find_if(state.pods.begin(), state.pods.end(),
                          [&](const PodState& each) { return each.uid == floors.uid; });
  if (pod == state.pods.end()) {
    state.pods.push_back({.uid = floors.uid, .name_space = floors.name_space, .name = floors.name});
    pod = state.pods.end() - 1;
  }
  for (const kube::ResizeChange& change : changes) {
    const auto group = groups.containers.find(change.container);
    if (group == groups.containers.end()) continue;
    auto record = std::find_if(
        pod->containers.begin(), pod->containers.end(),
        [&](const ContainerState& each) { return each.limit.id == group->second->id; });
    if (record == pod->containers.end()) {
      pod->containers.push_back({.container_id = group->second->name.container_id,
                                 .name = change.container,
                                 .limit = {}});
      record = pod->containers.end() - 1;
    }
    note_limit(record->limit, *group->second, limit_of(*change.limits.memory),
               spec_of(*find_container(before, change.container)).value_or(Limit{0}));
  }
  const auto slice_after = kube::pod_memory_limit(after);
  const auto slice_before = kube::pod_memory_limit(before);
  if (groups.slice == nullptr || !slice_after || !slice_before) return;
  if (!pod->slice) pod->slice.emplace();
  note_limit(*pod->slice, *groups.slice, limit_of(*slice_after), limit_of(*slice_before));
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
    for (const ContainerState& container : pod.containers) {
      RestoreItem& item = items.emplace_back();
      item.pod = pod.name_space + "/" + pod.name;
      item.container = container.name;
      item.target = container.limit.floor;
      item.outcome = Outcome::kFailed;  // until it was tried
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
      std::erase_if(left.containers, [&](const ContainerState& container) {
        return std::none_of(work.items.begin(), work.items.end(), [&](const RestoreItem& item) {
          return item.container == container.name && is_left(item.outcome);
        });
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
      const kube::Request request = watch.next_request(now());
      const auto take = [&](std::string_view piece) { return watch.on_data(piece, now()); };
      watch.on_end(client_.stream(request, take, watch.idle_deadline()), now());
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
      auto change = change_for(pod, declared, groups, changes, item);
      if (!change) continue;
      changes.push_back(*std::move(change));
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
    const kube::Refusal refusal = reply ? kube::classify(*reply) : kube::classify(reply.error());
    const bool again = refusal.code == Code::kUnavailable || refusal.code == Code::kConflict;
    for (RestoreItem* item : asking) {
      item->outcome = refusal.code == Code::kGone ? Outcome::kGone
                      : again                     ? Outcome::kFailed
                                                  : Outcome::kRefused;
      item->why = refusal.message;
    }
  }

  // What is to be asked for; nullopt: nothing, and `item` says why. `before`: of the same pod.
  std::optional<kube::ResizeChange> change_for(const kube::Pod& pod, const DeclaredLimits& declared,
                                               const PodGroups& groups,
                                               const std::vector<kube::ResizeChange>& before,
                                               RestoreItem& item) {
    item.why.clear();
    const kube::Container* container = find_container(pod, item.container);
    const std::optional<Limit> spec = container == nullptr ? std::nullopt : spec_of(*container);
    if (!spec) {
      item.outcome = Outcome::kGone;
      return std::nullopt;
    }
    if (!item.before) item.before = *spec;
    item.after = *spec;
    if (*spec == item.target) {
      if (item.outcome != Outcome::kStored) {
        item.outcome = Outcome::kAlready;
      } else if (in_force(pod, *container)) {
        item.outcome = Outcome::kRestored;
      } else {
        item.why =
            "the API server has it, the kubelet has not carried it out: " + kubelet_says(pod);
      }
      return std::nullopt;
    }
    const auto known = declared.find(item.container);
    if (known == declared.end() || limit_of(known->second) != item.target) {
      item.outcome = Outcome::kForeign;
      item.why = "somebody else has resized the pod since then";
      return std::nullopt;
    }
    auto change = kube::memory_change(pod, item.container, Bytes{item.target.bytes});
    std::vector<kube::ResizeChange> together = before;
    if (change) together.push_back(*change);
    const kube::Resizability why_not = can_ask(pod, item.container, together);
    if (!change || why_not != kube::Resizability::kYes) {
      item.outcome = is_over(why_not) ? Outcome::kGone : Outcome::kRefused;
      item.why = kube::explain(why_not);
      return std::nullopt;
    }
    const auto room = has_room(pod, groups, together, *spec, item);
    if (room && *room) return change;
    item.outcome = room ? Outcome::kInUse : Outcome::kFailed;
    if (!room) item.why = room.error().message;
    return std::nullopt;
  }

  kube::Resizability can_ask(const kube::Pod& pod, const std::string& container,
                             const std::vector<kube::ResizeChange>& changes) const {
    kube::ResizeAbility ability{.path = facts_->path, .minor = facts_->version.minor};
    if (facts_->node) {
      ability.init_containers = facts_->node->resizes_init_containers;
      ability.pod_level = facts_->node->resizes_pod_level;
    }
    kube::Resizability answer = kube::can_resize(pod, ability, node_name_);
    if (answer != kube::Resizability::kYes) return answer;
    answer = kube::can_resize_memory(pod, container, ability);
    return answer == kube::Resizability::kYes ? kube::can_apply(pod, changes, ability) : answer;
  }

  // A container that does not run needs none, and neither does a raise.
  Result<bool> has_room(const kube::Pod& pod, const PodGroups& groups,
                        const std::vector<kube::ResizeChange>& changes, Limit spec,
                        RestoreItem& item) const {
    const auto cgroup = groups.containers.find(item.container);
    if (item.target > spec || cgroup == groups.containers.end()) return true;
    const auto fits = [&](const PodCgroup& each, Bytes target) -> Result<bool> {
      const auto group = root_.open_group(each.path);
      if (!group) return tl::unexpected(group.error());
      return make_room(*group, writer_, target, policy_, item.why);
    };
    auto room = fits(*cgroup->second, Bytes{item.target.bytes});
    const auto slice = kube::pod_memory_limit(kube::applied(pod, changes));
    if (!room || !*room || !slice || groups.slice == nullptr) return room;
    return fits(*groups.slice, *slice);
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
