// SPDX-License-Identifier: Apache-2.0
// Programs of several processes: eight that storm together, and one that storms in a child cgroup
// of its own making, so that the limit that binds is an ancestor's.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "tests/storm/storm_load.h"
#include "tests/storm/storm_load_cgroup.h"

namespace plimsoll::storm {
namespace {

constexpr size_t kForks = 8;

// Runs in a fork: fills its share, says so, waits until all have theirs, verifies.
[[noreturn]] void fork_body(const Options& options, Slot& slot, size_t index, int start, int end) {
  char byte = 0;
  while (read(start, &byte, 1) < 0 && errno == EINTR) {
  }
  const Region region(options.bytes / kForks / kPageSize * kPageSize, 0, slot);
  if (region.ok()) {
    touch_pages(region, options.seed + index, 0, slot);
    __atomic_store_n(&slot.finished, 1, __ATOMIC_RELEASE);
    while (read(end, &byte, 1) < 0 && errno == EINTR) {
    }
    verify_pages(region, options.seed + index, slot);
  }
  _exit(slot.errors == 0 ? 0 : 1);
}

// A child that did not exit with 0 or 1 was killed.
void note_death(int status, Slot& slot) {
  if (WIFSIGNALED(status)) ++slot.killed_children;
}

void forks(const Options& options, Board& board) {
  Slot& own = board.slot(Board::kSlots - 1);
  std::array<int, 2> start{};
  std::array<int, 2> end{};
  if (pipe(start.data()) != 0 || pipe(end.data()) != 0) {
    own.error("pipe", errno);
    return;
  }
  size_t running = 0;
  for (size_t index = 0; index < kForks; ++index) {
    const pid_t child = fork();
    if (child == 0) {
      close(start[1]);
      close(end[1]);
      fork_body(options, board.slot(index), index, start[0], end[0]);
    }
    if (child < 0) own.error("fork", errno);
    if (child > 0) ++running;
  }
  close(start[0]);
  close(end[0]);
  close(start[1]);  // all read end-of-file at once: go
  for (size_t waiting = running; waiting > 0;) {
    int status = 0;
    if (waitpid(-1, &status, WNOHANG) > 0) {
      note_death(status, own);
      --running;
    }
    size_t filled = 0;
    for (size_t index = 0; index < kForks; ++index) {
      filled += __atomic_load_n(&board.slot(index).finished, __ATOMIC_ACQUIRE);
    }
    if (filled >= running) break;
    waiting = running;
    sleep_ms(2);
  }
  close(end[1]);
  int status = 0;
  while (running > 0 && waitpid(-1, &status, 0) > 0) {
    note_death(status, own);
    --running;
  }
}

void report(Slot& slot, const char* what, int error_number) {
  if (error_number != 0) slot.error(what, error_number);
}

// The supervisor and the worker each get a leaf, because a cgroup that hands the controller down
// may hold no process itself. All is undone at the end; a kill leaves it to who made the cgroup.
void child_cgroup(const Options& options, Board& board) {
  Slot& own = board.slot(Board::kSlots - 1);
  const std::string home = own_cgroup(options.cgroup_root);
  const std::string supervisor = home + "/supervisor";
  const std::string worker = home + "/worker";
  if (mkdir(supervisor.c_str(), 0755) != 0) own.error("mkdir supervisor", errno);
  report(own, "moving to supervisor", write_file(supervisor + "/cgroup.procs", "0"));
  report(own, "subtree_control", write_file(home + "/cgroup.subtree_control", "+memory"));
  if (mkdir(worker.c_str(), 0755) != 0) own.error("mkdir worker", errno);
  const pid_t child = own.errors == 0 ? fork() : -1;
  if (child == 0) {
    Slot& slot = board.slot(0);
    report(slot, "moving to worker", write_file(worker + "/cgroup.procs", "0"));
    const Region region(options.bytes, 0, slot);
    if (slot.errors == 0 && region.ok()) {
      touch_pages(region, options.seed, 0, slot);
      verify_pages(region, options.seed, slot);
    }
    _exit(slot.errors == 0 ? 0 : 1);
  }
  if (child > 0) {
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    note_death(status, own);
  }
  rmdir(worker.c_str());
  write_file(home + "/cgroup.subtree_control", "-memory");
  write_file(home + "/cgroup.procs", "0");
  rmdir(supervisor.c_str());
}

}  // namespace

bool run_process_program(const Options& options, Board& board) {
  if (options.program == "forks") {
    forks(options, board);
  } else if (options.program == "child") {
    child_cgroup(options, board);
  } else {
    return false;
  }
  return true;
}

}  // namespace plimsoll::storm
