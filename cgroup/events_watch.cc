// SPDX-License-Identifier: Apache-2.0
#include "cgroup/events_watch.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <utility>

namespace plimsoll::cgroup {
namespace {

void add_once(std::vector<CgroupId>& ids, CgroupId id) {
  if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
}

}  // namespace

EventsWatch::EventsWatch(Fd fd) : fd_(std::move(fd)) {}

Result<EventsWatch> EventsWatch::open() {
  Fd fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd) return errno_error(errno, "inotify_init1");
  return EventsWatch(std::move(fd));
}

Result<void> EventsWatch::add(const Group& group) {
  auto file = group.open_file("memory.events", O_PATH);
  if (!file) return tl::unexpected(std::move(file).error());
  // inotify takes paths only; this one names the very file that was opened beneath the group.
  const std::string path = "/proc/self/fd/" + std::to_string(file->get());
  const int watch = ::inotify_add_watch(fd_.get(), path.c_str(), IN_MODIFY);
  if (watch < 0) return errno_error(errno, "watch " + group.name_of("memory.events"));
  ids_.insert_or_assign(watch, group.id());
  return {};
}

void EventsWatch::remove(CgroupId id) {
  const auto watched = std::find_if(ids_.begin(), ids_.end(),
                                    [id](const auto& entry) { return entry.second == id; });
  if (watched == ids_.end()) return;
  // Fails only for a watch that the kernel has dropped already.
  ::inotify_rm_watch(fd_.get(), watched->first);
  ids_.erase(watched);
}

Result<EventsWatch::Changes> EventsWatch::drain() {
  Changes changes;
  alignas(inotify_event) std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t got = ::read(fd_.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return changes;
    if (got <= 0) return errno_error(errno, "read inotify");
    for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof(event));
      at += sizeof(event) + event.len;
      if ((event.mask & IN_Q_OVERFLOW) != 0) changes.lost = true;
      // One that we removed has its last events still in the queue.
      const auto watched = ids_.find(event.wd);
      if (watched == ids_.end()) continue;
      if ((event.mask & IN_MODIFY) != 0) add_once(changes.changed, watched->second);
      if ((event.mask & IN_IGNORED) != 0) {
        add_once(changes.gone, watched->second);
        ids_.erase(watched);
      }
    }
  }
}

}  // namespace plimsoll::cgroup
