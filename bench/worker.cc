// SPDX-License-Identifier: Apache-2.0
#include "bench/worker.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <utility>

#include "bench/figures.h"
#include "cgroup/writer.h"

namespace plimsoll::bench {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kMostPages = 65536;

void touch_and_give_back(char* memory, std::size_t pages) {
  volatile char* const touched = memory;
  for (std::size_t i = 0; i < pages; ++i) touched[i * kPage] = 1;
  ::madvise(memory, pages * kPage, MADV_DONTNEED);
}

bool fork_and_exec(const char* program) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::execl(program, program, static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  return pid > 0 && ::waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

// A second process, in the worker's cgroup, that sends back what it gets. It ends with the worker,
// whose ends of the pipes close.
class Partner {
 public:
  bool start() {
    std::array<int, 2> there{};
    std::array<int, 2> back{};
    if (::pipe2(there.data(), O_CLOEXEC) != 0) return false;
    to_ = Fd(there[1]);
    const Fd there_end(there[0]);
    if (::pipe2(back.data(), O_CLOEXEC) != 0) return false;
    from_ = Fd(back[0]);
    const Fd back_end(back[1]);
    const pid_t pid = ::fork();
    if (pid != 0) return pid > 0;
    to_ = Fd();
    from_ = Fd();
    for (char byte = 0; ::read(there_end.get(), &byte, 1) == 1;) {
      if (::write(back_end.get(), &byte, 1) != 1) break;
    }
    ::_exit(0);
  }

  bool round_trip() {
    if (!to_ && !start()) return false;
    char byte = 1;
    return ::write(to_.get(), &byte, 1) == 1 && ::read(from_.get(), &byte, 1) == 1;
  }

 private:
  Fd to_;
  Fd from_;
};

// The worker's side; -1 as an answer means that the loop failed.
[[noreturn]] void serve(int socket, const char* program) {
  void* mapped = ::mmap(nullptr, kMostPages * kPage, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) ::_exit(1);
  // One fault and one page each; huge pages would charge 512 at a time.
  ::madvise(mapped, kMostPages * kPage, MADV_NOHUGEPAGE);
  Partner partner;
  Task task;
  while (::read(socket, &task, sizeof(task)) == static_cast<ssize_t>(sizeof(task))) {
    const auto turn = [&] {
      if (task.kind == Task::Kind::kForkExec) return fork_and_exec(program);
      if (task.kind == Task::Kind::kSwitches) return partner.round_trip();
      touch_and_give_back(static_cast<char*>(mapped), task.pages);
      return true;
    };
    bool good = task.pages <= kMostPages && turn();
    const double begin = now_ns();
    for (std::uint32_t i = 0; i < task.turns && good; ++i) good = turn();
    const double time = good ? now_ns() - begin : -1;
    if (::write(socket, &time, sizeof(time)) != static_cast<ssize_t>(sizeof(time))) break;
  }
  ::_exit(0);
}

}  // namespace

Result<Worker> Worker::start(const cgroup::Group& group, const std::string& program) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return errno_error(errno, "make a worker's socket");
  }
  const Fd theirs(ends[1]);
  Fd ours(ends[0]);
  const pid_t pid = ::fork();
  if (pid < 0) return errno_error(errno, "fork a worker");
  if (pid == 0) serve(theirs.get(), program.c_str());
  Worker worker(std::move(ours), pid);
  const cgroup::Writer writer;
  if (auto moved = writer.move_process(group, pid); !moved) return tl::unexpected(moved.error());
  return worker;
}

Worker::Worker(Fd socket, pid_t pid) : socket_(std::move(socket)), pid_(pid) {}

Worker::Worker(Worker&& other) noexcept
    : socket_(std::move(other.socket_)), pid_(std::exchange(other.pid_, -1)) {}

Worker::~Worker() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

Result<double> Worker::run(const Task& task) {
  double time = 0;
  if (::write(socket_.get(), &task, sizeof(task)) != static_cast<ssize_t>(sizeof(task)) ||
      ::read(socket_.get(), &time, sizeof(time)) != static_cast<ssize_t>(sizeof(time))) {
    return errno_error(errno, "talk to a worker");
  }
  if (time < 0) return fail(Code::kMalformed, "a worker's loop failed");
  return time;
}

}  // namespace plimsoll::bench
