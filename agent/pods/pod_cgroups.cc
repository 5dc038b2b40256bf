// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/pod_cgroups.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "cgroup/beneath.h"
#include "cgroup/walk.h"

namespace plimsoll::agent {
namespace {

// The first key below `path` in a map by path. Those below it follow one another.
std::string first_below(const std::string& path) { return path + '/'; }

bool is_below(const std::string& path, const std::string& ancestor) {
  return ancestor.empty() || path.starts_with(first_below(ancestor));
}

std::size_t depth_of(const std::string& path) {
  return path.empty() ? 0 : static_cast<std::size_t>(std::count(path.begin(), path.end(), '/')) + 1;
}

}  // namespace

// What one walk found.
struct PodCgroups::Scan {
  std::map<std::string, PodCgroup> found;
  std::set<std::string> directories;  // that are to be watched
  std::size_t groups = 0;
  bool truncated = false;  // the bounds ended it
  bool failed = false;     // something could not be read, and is not gone
  bool complete() const { return !truncated && !failed; }
};

PodCgroups::PodCgroups(const cgroup::Root& root, PodCgroupBounds bounds)
    : root_(&root), bounds_(bounds) {}

Result<PodCgroups> PodCgroups::open(const cgroup::Root& root, PodCgroupBounds bounds) {
  if (!root.top().alive()) return fail(Code::kGone, "cgroup root " + root.path() + " was removed");
  PodCgroups pods(root, bounds);
  auto watch = cgroup::ChildrenWatch::open();
  if (watch) {
    pods.watch_ = std::move(*watch);
  } else {
    ++pods.counters_.watch_failures;
  }
  pods.rescan();
  pods.counters_.rescans = 0;
  return pods;
}

const PodCgroup* PodCgroups::find(CgroupId id) const {
  const auto known = by_id_.find(id);
  return known == by_id_.end() ? nullptr : known->second;
}

void PodCgroups::watch(const cgroup::Group& group) {
  const auto watched = watched_.find(group.path());
  if (watched != watched_.end() && watched->second == group.id()) return;
  unwatch(group.path());
  if (!watch_) return;
  if (const auto added = watch_->add(group); !added) {
    ++counters_.watch_failures;
    unwatched_.insert(group.path());
    return;
  }
  const auto added = watched_.emplace(group.path(), group.id()).first;
  watched_paths_.insert_or_assign(group.id(), &added->first);
}

void PodCgroups::unwatch(const std::string& path) {
  unwatched_.erase(path);
  const auto watched = watched_.find(path);
  if (watched == watched_.end()) return;
  watch_->remove(watched->second);
  watched_paths_.erase(watched->second);
  watched_.erase(watched);
}

// Watches before it lists, so that nothing falls between the two.
bool PodCgroups::scan(const std::string& path, std::size_t depth, Scan& scan) {
  CgroupName name = parse_cgroup_name(path);
  const bool elsewhere = name.kind == CgroupKind::kOther;
  // A tree of kubepods in kubepods is nobody's; the pods end the search by themselves.
  constexpr std::size_t kKubeletLevels = 3;
  if (depth > bounds_.deepest + (elsewhere ? 0 : kKubeletLevels)) {
    scan.truncated = scan.truncated || !elsewhere;
    return false;
  }
  const auto group = root_->open_group(path);
  if (!group) {
    scan.failed = scan.failed || group.error().code != Code::kGone;
    return false;
  }
  watch(*group);
  const auto children = cgroup::list_descendants(*group, {bounds_.most_groups, 1});
  bool interesting = !elsewhere || path.empty();
  if (name.kind == CgroupKind::kPod) {
    scan.found.insert_or_assign(path, PodCgroup{group->id(), path, std::move(name)});
  }
  if (!children) {
    scan.failed = scan.failed || children.error().code != Code::kGone;
  } else {
    for (const cgroup::Found& child : children->groups) {
      if (++scan.groups > bounds_.most_groups) {
        scan.truncated = true;
        break;
      }
      CgroupName child_name = parse_cgroup_name(child.path);
      if (child_name.kind == CgroupKind::kContainer) {
        scan.found.insert_or_assign(child.path,
                                    PodCgroup{child.id, child.path, std::move(child_name)});
      } else if (child_name.kind != CgroupKind::kHelper) {
        interesting = this->scan(child.path, depth + 1, scan) || interesting;
      }
    }
  }
  if (interesting) {
    scan.directories.insert(path);
  } else {
    unwatch(path);
  }
  return interesting;
}

void PodCgroups::forget_one(std::map<std::string, PodCgroup>::iterator known,
                            PodCgroupChanges& changes) {
  const auto unreported =
      std::find(changes.appeared.begin(), changes.appeared.end(), known->second);
  if (unreported != changes.appeared.end()) {
    changes.appeared.erase(unreported);
  } else {
    changes.gone.push_back(known->second);
  }
  by_id_.erase(known->second.id);
  known_.erase(known);
}

// `path` and all below it.
void PodCgroups::forget(const std::string& path, PodCgroupChanges& changes) {
  std::vector<std::string> below;
  for (auto known = known_.lower_bound(first_below(path)); known != known_.end(); ++known) {
    if (!is_below(known->first, path)) break;
    below.push_back(known->first);
  }
  // Backwards: containers before their pods.
  for (auto known = below.rbegin(); known != below.rend(); ++known) {
    forget_one(known_.find(*known), changes);
  }
  if (const auto known = known_.find(path); known != known_.end()) forget_one(known, changes);
  std::vector<std::string> directories;
  for (auto watched = watched_.lower_bound(path); watched != watched_.end(); ++watched) {
    if (!watched->first.starts_with(path)) break;
    if (watched->first == path || is_below(watched->first, path)) {
      directories.push_back(watched->first);
    }
  }
  for (const std::string& directory : directories) unwatch(directory);
}

void PodCgroups::learn(const Scan& scan, PodCgroupChanges& changes) {
  counters_.truncated += scan.truncated ? 1 : 0;
  rescan_due_ = rescan_due_ || scan.failed;
  for (const auto& [path, cgroup] : scan.found) {
    const auto known = known_.find(path);
    if (known != known_.end() && known->second.id == cgroup.id) continue;
    if (known != known_.end()) forget_one(known, changes);
    const auto added = known_.emplace(path, cgroup).first;
    by_id_.insert_or_assign(cgroup.id, &added->second);
    changes.appeared.push_back(cgroup);
  }
}

// Something was made or removed here, or both, and perhaps more than once.
void PodCgroups::look_at(const std::string& path, PodCgroupChanges& changes) {
  const auto group = root_->open_group(path);
  if (!group && group.error().code == Code::kGone) return forget(path, changes);
  if (!group) {
    rescan_due_ = true;
    return;
  }
  const auto known = known_.find(path);
  const auto watched = watched_.find(path);
  const bool replaced = (known != known_.end() && known->second.id != group->id()) ||
                        (watched != watched_.end() && watched->second != group->id());
  if (replaced) forget(path, changes);
  CgroupName name = parse_cgroup_name(path);
  Scan found;
  if (name.kind == CgroupKind::kContainer) {
    found.found.emplace(path, PodCgroup{group->id(), path, std::move(name)});
  } else if (name.kind != CgroupKind::kHelper) {
    scan(path, depth_of(path), found);
  }
  learn(found, changes);
}

PodCgroupChanges PodCgroups::drain() {
  if (rescan_due_) return rescan();
  PodCgroupChanges changes;
  if (!watch_) return changes;
  const auto happened = watch_->drain();
  if (!happened || happened->lost) {
    ++counters_.overflows;
    return rescan();
  }
  for (const cgroup::ChildrenWatch::Place& place : happened->places) {
    // Forgotten a moment ago, with all below it.
    const auto parent = watched_paths_.find(place.parent);
    if (parent == watched_paths_.end()) continue;
    look_at(cgroup::join_path(*parent->second, place.name), changes);
  }
  return changes;
}

PodCgroupChanges PodCgroups::rescan() {
  ++counters_.rescans;
  rescan_due_ = false;
  PodCgroupChanges changes;
  Scan now;
  scan("", 0, now);
  std::vector<std::string> lost;
  // Backwards: containers before their pods.
  for (auto known = known_.rbegin(); known != known_.rend(); ++known) {
    const auto found = now.found.find(known->first);
    if (found != now.found.end() && found->second.id == known->second.id) continue;
    // Not seen is not gone when the walk did not see everything.
    if (found == now.found.end() && !now.complete()) {
      const auto group = root_->open_group(known->first);
      if (group ? group->id() == known->second.id : group.error().code != Code::kGone) continue;
    }
    lost.push_back(known->first);
  }
  for (const std::string& path : lost) forget_one(known_.find(path), changes);
  std::vector<std::string> unneeded;
  for (const auto& [path, id] : watched_) {
    if (now.complete() && !now.directories.contains(path)) unneeded.push_back(path);
  }
  for (const std::string& path : unneeded) unwatch(path);
  learn(now, changes);
  return changes;
}

}  // namespace plimsoll::agent
