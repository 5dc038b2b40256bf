// SPDX-License-Identifier: Apache-2.0
#include "cgroup/children_watch.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstring>
#include <set>
#include <utility>

namespace plimsoll::cgroup {

ChildrenWatch::ChildrenWatch(Fd fd) : fd_(std::move(fd)) {}

Result<ChildrenWatch> ChildrenWatch::open() {
  Fd fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd) return errno_error(errno, "inotify_init1");
  return ChildrenWatch(std::move(fd));
}

Result<void> ChildrenWatch::add(const Group& parent) {
  // inotify takes paths only; this one names the very directory that was opened.
  const std::string path = "/proc/self/fd/" + std::to_string(parent.fd().get());
  const int watch =
      ::inotify_add_watch(fd_.get(), path.c_str(), IN_CREATE | IN_DELETE | IN_ONLYDIR);
  if (watch < 0) return errno_error(errno, "watch cgroup /" + parent.path());
  ids_.insert_or_assign(watch, parent.id());
  watches_.insert_or_assign(parent.id(), watch);
  return {};
}

void ChildrenWatch::remove(CgroupId parent) {
  const auto watched = watches_.find(parent);
  if (watched == watches_.end()) return;
  // Fails only for a watch that the kernel has dropped already.
  ::inotify_rm_watch(fd_.get(), watched->second);
  ids_.erase(watched->second);
  watches_.erase(watched);
}

// One event of the kernel's. A watch that we removed has its last events still in the queue.
void ChildrenWatch::note(int watch, std::uint32_t mask, std::string name, Changes& changes) {
  if ((mask & IN_Q_OVERFLOW) != 0) changes.lost = true;
  const auto watched = ids_.find(watch);
  if (watched == ids_.end()) return;
  if ((mask & (IN_CREATE | IN_DELETE)) != 0 && (mask & IN_ISDIR) != 0) {
    changes.places.push_back({watched->second, std::move(name)});
  }
  if ((mask & IN_IGNORED) == 0) return;
  const auto newest = watches_.find(watched->second);
  if (newest != watches_.end() && newest->second == watch) watches_.erase(newest);
  ids_.erase(watched);
}

Result<ChildrenWatch::Changes> ChildrenWatch::drain() {
  Changes all;
  constexpr std::size_t kEvents = 64;
  alignas(inotify_event) std::array<char, kEvents*(sizeof(inotify_event) + NAME_MAX + 1)> buffer{};
  while (true) {
    const ssize_t got = ::read(fd_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    if (got <= 0) return errno_error(errno, "read inotify");
    for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof(event));
      const char* const name = buffer.data() + at + sizeof(event);
      note(event.wd, event.mask, std::string(name, ::strnlen(name, event.len)), all);
      at += sizeof(event) + event.len;
    }
  }
  Changes changes;
  changes.lost = all.lost;
  std::set<std::pair<CgroupId, std::string>> seen;
  for (Place& place : all.places) {
    if (seen.emplace(place.parent, place.name).second) changes.places.push_back(std::move(place));
  }
  return changes;
}

}  // namespace plimsoll::cgroup
