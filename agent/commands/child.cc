// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace plimsoll::agent {
namespace {

// In the child, between fork and exec: nothing that allocates.
[[noreturn]] void become(char* const* arguments, int go, int failed) {
  char ready = 0;
  ssize_t got = 0;
  do {
    got = ::read(go, &ready, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 1) {
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execvp(arguments[0], arguments);
    const int error = errno;
    [[maybe_unused]] const auto put = ::write(failed, &error, sizeof(error));
  }
  ::_exit(127);
}

}  // namespace

Result<Child> Child::start(const std::vector<std::string>& command, const cgroup::Group& group,
                           const cgroup::Writer& writer) {
  std::vector<std::string> words = command;
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  int go[2];
  int failed[2];
  if (::pipe2(go, O_CLOEXEC) != 0) return errno_error(errno, "make a pipe");
  Fd go_read(go[0]);
  Fd go_write(go[1]);
  if (::pipe2(failed, O_CLOEXEC) != 0) return errno_error(errno, "make a pipe");
  Fd failed_read(failed[0]);
  Fd failed_write(failed[1]);

  const pid_t pid = ::fork();
  if (pid < 0) return errno_error(errno, "start a process");
  if (pid == 0) {
    // Its own end of the pipe, so that it sees the end when we die before it may go.
    ::close(go_write.get());
    become(arguments.data(), go_read.get(), failed_write.get());
  }
  failed_write = Fd();
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const int pidfd_error = errno;
  const auto moved = writer.move_process(group, pid);
  Child child(pid, std::move(pidfd));
  if (!child.pidfd_ || !moved) {
    go_write = Fd();
    child.wait();
    if (!moved) return tl::unexpected(moved.error());
    return errno_error(pidfd_error, "watch the command");
  }
  const char ready = 1;
  [[maybe_unused]] const auto put = ::write(go_write.get(), &ready, 1);
  int error = 0;
  ssize_t got = 0;
  do {
    got = ::read(failed_read.get(), &error, sizeof(error));
  } while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof(error))) {
    child.wait();
    return errno_error(error, "run " + command.front());
  }
  return child;
}

void Child::send(int signal) const { ::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, 0, 0); }

ExitStatus Child::wait() const {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) return {.code = 128 + WTERMSIG(status), .signal = WTERMSIG(status)};
  return {.code = WEXITSTATUS(status), .signal = std::nullopt};
}

}  // namespace plimsoll::agent
