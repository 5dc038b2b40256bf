// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_kubelet/container_process.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

namespace plimsoll::test {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (const std::string& text : texts) list.push_back(const_cast<char*>(text.c_str()));
  list.push_back(nullptr);
  return list;
}

}  // namespace

std::optional<ContainerProcess> ContainerProcess::start(const std::vector<std::string>& command,
                                                        const std::vector<std::string>& environment,
                                                        const std::string& cgroup,
                                                        const std::string& log) {
  // All that needs memory is made before: between fork and exec only the kernel may be asked.
  const std::string procs = cgroup + "/cgroup.procs";
  std::vector<std::string> variables = environment;
  for (const char* name : {"PATH", "HOME"}) {
    if (const char* value = ::getenv(name)) variables.push_back(std::string(name) + "=" + value);
  }
  std::vector<char*> arguments = pointers(command);
  std::vector<char*> environ_list = pointers(variables);
  const pid_t pid = ::fork();
  if (pid < 0) return std::nullopt;
  if (pid == 0) {
    const int group = ::open(procs.c_str(), O_WRONLY | O_CLOEXEC);
    if (group < 0 || ::write(group, "0", 1) != 1) ::_exit(126);
    if (!log.empty()) {
      const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
      if (out >= 0) {
        ::dup2(out, STDOUT_FILENO);
        ::dup2(out, STDERR_FILENO);
      }
    }
    sigset_t none;
    ::sigemptyset(&none);
    ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
    ::setsid();
    ::execvpe(arguments[0], arguments.data(), environ_list.data());
    ::_exit(127);
  }
  return ContainerProcess(pid);
}

std::optional<ExitState> ContainerProcess::ended() {
  if (state_) return state_;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
  ExitState state;
  if (WIFSIGNALED(status)) {
    state.signal = WTERMSIG(status);
    state.code = 128 + state.signal;
  } else {
    state.code = WEXITSTATUS(status);
  }
  state_ = state;
  return state_;
}

void ContainerProcess::kill() const {
  if (!state_) ::kill(pid_, SIGKILL);
}

}  // namespace plimsoll::test
