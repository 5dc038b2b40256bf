// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/agent.h"

#include <sys/signalfd.h>

#include <csignal>
#include <iostream>
#include <utility>

#include "agent/commands/restore.h"
#include "agent/node/node_agent.h"
#include "agent/reaction/resident_memory.h"

namespace plimsoll::agent {
namespace {

// Blocked in every thread that is started from now on.
Result<Fd> take_stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  Fd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return errno_error(errno, "watch for signals");
  return fd;
}

int failed(const Error& error) {
  std::cerr << "plimsoll: " << error.message << '\n';
  return 1;
}

}  // namespace

int agent_main(const AgentOptions& options) {
  const auto stop = take_stop_signals();
  if (!stop) return failed(stop.error());
  keep_heap_small();
  Arrival arrival{.stop_fd = stop->get()};
  for (auto ended = NodeAgent::Ended::kTakenOver; ended == NodeAgent::Ended::kTakenOver;) {
    auto parts = start(options, Config{}, std::move(arrival));
    if (!parts) return failed(parts.error());
    if (!*parts) return 0;  // what is raised is another agent's
    NodeAgent agent(options, std::move(**parts));
    const auto ran = agent.run(stop->get());
    if (!ran) return failed(ran.error());
    ended = *ran;
    // It stays, for that one may fail, and would be started again if it ended.
    arrival = {.stop_fd = stop->get(), .asks = false, .front = agent.take_front()};
  }
  if (!options.restore) return 0;
  return run_restore({.state = options.state_file,
                      .floors = options.floors_file,
                      .node_name = options.node_name,
                      .api = options.api,
                      .cgroup_root = options.cgroup_root.empty() ? RestoreOptions{}.cgroup_root
                                                                 : options.cgroup_root,
                      .systemd = options.systemd},
                     std::cout, std::cerr);
}

}  // namespace plimsoll::agent
