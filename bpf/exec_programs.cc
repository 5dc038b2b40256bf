// SPDX-License-Identifier: Apache-2.0
#include "bpf/exec_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <utility>

#include "bpf/event_ring.h"
#include "bpf/exec_records.h"
#include "bpf/loaded.h"

using u32 = pl_u32;
using u64 = pl_u64;
using u8 = std::uint8_t;
#include "exec.skel.h"

namespace plimsoll::bpf {
namespace {

static_assert(kCommandBytes == PL_NAME_SIZE - 1);

pl_exec_key key_of(CgroupId cgroup, const std::string& name) {
  pl_exec_key key{};
  key.cgroup_id = static_cast<u64>(cgroup);
  std::copy_n(name.begin(), std::min(name.size(), kCommandBytes), std::begin(key.name));
  return key;
}

Result<CgroupId> id_of(int cgroup_fd) {
  struct stat status {};
  if (::fstat(cgroup_fd, &status) != 0) return errno_error(errno, "look at a cgroup");
  return CgroupId{status.st_ino};
}

tl::unexpected<Error> table_error(int error) {
  if (error == E2BIG) return fail(Code::kDenied, "the tables of announced commands are full");
  return errno_error(error, "announce a command");
}

struct Watch {
  CgroupId cgroup{};
  std::vector<std::string> names;
};

}  // namespace

struct ExecPrograms::Impl {
  Loaded<exec_bpf> skeleton;
  EventRing<pl_exec_event> ring;
  std::map<u32, Watch> watches;

  int names() const { return bpf_map__fd(skeleton->maps.names); }
  int commands() const { return bpf_map__fd(skeleton->maps.commands); }
  int running() const { return bpf_map__fd(skeleton->maps.running); }

  // The name first: a command whose name is unknown would not be looked for.
  Result<void> add(const pl_exec_key& key, const pl_exec_command& command) {
    u32 users = 0;
    (void)bpf_map_lookup_elem(names(), key.name, &users);
    ++users;
    if (bpf_map_update_elem(names(), key.name, &users, BPF_ANY) != 0) {
      return table_error(errno);
    }
    if (bpf_map_update_elem(commands(), &key, &command, BPF_NOEXIST) != 0) {
      const int error = errno;
      release_name(key);
      return table_error(error);
    }
    count(1);
    return {};
  }
  void remove(const pl_exec_key& key) {
    if (bpf_map_delete_elem(commands(), &key) != 0) return;
    release_name(key);
    count(-1);
  }
  void release_name(const pl_exec_key& key) {
    u32 users = 0;
    if (bpf_map_lookup_elem(names(), key.name, &users) != 0) return;
    if (--users == 0) {
      bpf_map_delete_elem(names(), key.name);
    } else {
      bpf_map_update_elem(names(), key.name, &users, BPF_EXIST);
    }
  }
  void count(int more) {
    shared(skeleton->bss->control.commands).fetch_add(static_cast<u32>(more));
  }

  // Tells of what runs in the cgroup and below it already.
  Result<void> look(int cgroup_fd) const {
    return walk(skeleton->progs.on_look, cgroup_fd, Walk::kAllBelow,
                "walk over the cgroups in the kernel");
  }

  // All of the table, which the kernel's programs may change meanwhile: what comes or goes then is
  // told as an event.
  std::map<u32, pl_exec_running> read_running() const {
    std::map<u32, pl_exec_running> all;
    u32 pid = 0;
    const u32* before = nullptr;
    // A key that vanishes under us makes the kernel start again.
    while (all.size() <= bpf_map__max_entries(skeleton->maps.running) &&
           bpf_map_get_next_key(running(), before, &pid) == 0) {
      pl_exec_running entry{};
      if (bpf_map_lookup_elem(running(), &pid, &entry) == 0) all.insert_or_assign(pid, entry);
      before = &pid;
    }
    return all;
  }
};

Result<ExecPrograms> ExecPrograms::load(const ExecRoom& room) {
  const LibbpfLog log;
  auto opened = open_object<exec_bpf>(log);
  if (!opened) return tl::unexpected(opened.error());
  auto impl = std::make_unique<Impl>();
  impl->skeleton = std::move(*opened);
  exec_bpf& skeleton = *impl->skeleton;
  bpf_map__set_max_entries(skeleton.maps.running, room.running);
  bpf_map__set_max_entries(skeleton.maps.starts_and_ends, room.ring_bytes);
  // on_look is an iterator and is attached for one walk at a time. Ends first: no start is seen
  // whose end would not be.
  auto ready =
      load_object(skeleton, log)
          .and_then([&] { return attach(skeleton.progs.on_exit, skeleton.links.on_exit, log); })
          .and_then([&] { return attach(skeleton.progs.on_exec, skeleton.links.on_exec, log); })
          .and_then([&] { return impl->ring.map(bpf_map__fd(skeleton.maps.starts_and_ends)); });
  if (!ready) return tl::unexpected(ready.error());
  return ExecPrograms(std::move(impl));
}

std::string_view ExecPrograms::elf() { return elf_of<exec_bpf>(); }

ExecPrograms::ExecPrograms(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ExecPrograms::ExecPrograms(ExecPrograms&&) noexcept = default;
ExecPrograms& ExecPrograms::operator=(ExecPrograms&&) noexcept = default;
ExecPrograms::~ExecPrograms() = default;

Result<CgroupId> ExecPrograms::watch(u32 watch, int cgroup_fd, std::span<const std::string> names) {
  auto id = id_of(cgroup_fd);
  if (!id) return id;
  const CgroupId cgroup = *id;
  for (const auto& [number, other] : impl_->watches) {
    if (number == watch) return fail(Code::kConflict, "the number of the watch is in use");
    if (other.cgroup == cgroup) return fail(Code::kConflict, "the cgroup is watched already");
  }
  std::set<std::string> known;
  for (const std::string& name : names) {
    if (name.empty()) return fail(Code::kMalformed, "a command without a name");
    if (!known.insert(name.substr(0, kCommandBytes)).second) {
      return fail(Code::kMalformed, "the kernel keeps " + std::to_string(kCommandBytes) +
                                        " bytes of a name, and there is another " + name);
    }
  }
  Watch added{.cgroup = cgroup, .names = {}};
  for (const std::string& name : names) {
    const auto index = static_cast<u32>(added.names.size());
    const auto done = impl_->add(key_of(cgroup, name), {.watch = watch, .command = index});
    if (!done) {
      for (const std::string& each : added.names) impl_->remove(key_of(cgroup, each));
      return tl::unexpected(done.error());
    }
    added.names.push_back(name);
  }
  impl_->watches.emplace(watch, std::move(added));
  // After that, so that none is missed in between.
  if (auto looked = impl_->look(cgroup_fd); !looked) {
    unwatch(watch);
    return tl::unexpected(looked.error());
  }
  return cgroup;
}

void ExecPrograms::unwatch(u32 watch) {
  const auto found = impl_->watches.find(watch);
  if (found == impl_->watches.end()) return;
  for (const std::string& name : found->second.names) {
    impl_->remove(key_of(found->second.cgroup, name));
  }
  impl_->watches.erase(found);
  for (const auto& [pid, entry] : impl_->read_running()) {
    if (entry.command.watch == watch) bpf_map_delete_elem(impl_->running(), &pid);
  }
}

Result<std::vector<RunningCommand>> ExecPrograms::running() {
  auto checked = run(impl_->skeleton->progs.on_check, "look for commands that have ended");
  if (!checked) return tl::unexpected(checked.error());
  std::vector<RunningCommand> commands;
  for (const auto& [pid, entry] : impl_->read_running()) {
    if (entry.ended != 0) {
      bpf_map_delete_elem(impl_->running(), &pid);
    } else {
      commands.push_back({entry.command.watch, entry.command.command, pid});
    }
  }
  return commands;
}

int ExecPrograms::event_fd() const noexcept {
  return bpf_map__fd(impl_->skeleton->maps.starts_and_ends);
}

std::size_t ExecPrograms::drain(void (*handle)(void*, const pl_exec_event&), void* context) {
  return impl_->ring.drain(handle, context);
}

std::uint64_t ExecPrograms::malformed() const noexcept { return impl_->ring.malformed(); }

ExecCounters ExecPrograms::counters() const {
  pl_exec_counters& totals = impl_->skeleton->bss->counters;
  ExecCounters counters{.events = shared(totals.events).load(),
                        .events_dropped = shared(totals.events_dropped).load(),
                        .forgotten = shared(totals.forgotten).load(),
                        .missed = 0};
  for (const bpf_program* program :
       {impl_->skeleton->progs.on_exec, impl_->skeleton->progs.on_exit}) {
    counters.missed += missed(program);
  }
  return counters;
}

}  // namespace plimsoll::bpf
