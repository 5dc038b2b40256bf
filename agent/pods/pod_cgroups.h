// SPDX-License-Identifier: Apache-2.0
//
// PodCgroups: which pods and containers have a cgroup on this node, as the kernel has it: one walk
// of the tree, then kept current by inotify. It may know a container before the API tells of it,
// and the other way round; match.h puts the two together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/pods/cgroup_name.h"
#include "base/result.h"
#include "base/units.h"
#include "cgroup/children_watch.h"
#include "cgroup/root.h"

namespace plimsoll::agent {

// The cgroup of a pod or of a container. A container that was restarted, and a pod that was made
// anew under the same uid, has another id.
struct PodCgroup {
  CgroupId id{};
  std::string path;  // below the root
  CgroupName name;   // kPod or kContainer

  bool operator==(const PodCgroup&) const = default;
};

struct PodCgroupChanges {
  // Look at these first: a cgroup that was replaced is in both lists.
  std::vector<PodCgroup> gone;      // containers before their pods
  std::vector<PodCgroup> appeared;  // pods before their containers

  bool empty() const { return appeared.empty() && gone.empty(); }
};

// How much is looked at. Outside of the kubelet's tree the search for it ends at `deepest`.
struct PodCgroupBounds {
  std::size_t most_groups = 16384;
  std::size_t deepest = 6;
};

struct PodCgroupCounters {
  std::uint64_t overflows = 0;       // of the inotify queue; each causes a rescan
  std::uint64_t rescans = 0;         // whole walks after the first
  std::uint64_t watch_failures = 0;  // directories that could not be watched
  std::uint64_t truncated = 0;       // walks that the bounds ended
};

// One thread. `root` outlives it.
class PodCgroups {
 public:
  // Walks the tree. Where inotify cannot be had it works all the same, with watching() false: the
  // caller then rescans now and then.
  static Result<PodCgroups> open(const cgroup::Root& root, PodCgroupBounds bounds = {});

  // Pods and containers by path, so that a pod is before its containers.
  const std::map<std::string, PodCgroup>& all() const { return known_; }
  // nullptr: not a pod's or a container's own.
  const PodCgroup* find(CgroupId id) const;

  // For epoll with EPOLLIN; -1 without inotify.
  int watch_fd() const { return watch_ ? watch_->fd().get() : -1; }
  // False: some part of the tree is not watched; rescan() finds what is missed.
  bool watching() const { return watch_ && unwatched_.empty(); }
  // What happened since the last call, by a rescan after lost events; to be called at every tick,
  // too, since what could not be read is tried again then. Costs some system calls per change.
  PodCgroupChanges drain();
  // The whole walk again. Also finds a kubelet's tree that was made after open() deeper than the
  // root's children.
  PodCgroupChanges rescan();

  const PodCgroupCounters& counters() const { return counters_; }

 private:
  struct Scan;

  PodCgroups(const cgroup::Root& root, PodCgroupBounds bounds);
  void watch(const cgroup::Group& group);
  void unwatch(const std::string& path);
  // False: there is nothing of Kubernetes at `path` or below it.
  bool scan(const std::string& path, std::size_t depth, Scan& scan);
  void look_at(const std::string& path, PodCgroupChanges& changes);
  void learn(const Scan& scan, PodCgroupChanges& changes);
  void forget(const std::string& path, PodCgroupChanges& changes);
  void forget_one(std::map<std::string, PodCgroup>::iterator known, PodCgroupChanges& changes);

  const cgroup::Root* root_;
  PodCgroupBounds bounds_;
  std::optional<cgroup::ChildrenWatch> watch_;
  std::map<std::string, PodCgroup> known_;                // by path
  std::map<CgroupId, const PodCgroup*> by_id_;            // those in known_
  std::map<std::string, CgroupId> watched_;               // directories by path
  std::map<CgroupId, const std::string*> watched_paths_;  // and back
  std::set<std::string> unwatched_;                       // those that could not be watched
  bool rescan_due_ = false;                               // something could not be read
  PodCgroupCounters counters_;
};

}  // namespace plimsoll::agent
