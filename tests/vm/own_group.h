// SPDX-License-Identifier: Apache-2.0
//
// A cgroup of the test's own on a real kernel, and processes that live in it. For the programs that
// run as root in a guest.
#pragma once

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <fstream>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "base/result.h"
#include "base/units.h"
#include "cgroup/mounts.h"
#include "cgroup/root.h"
#include "cgroup/writer.h"

namespace plimsoll::test {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Bytes mebibytes(std::uint64_t count) { return {count * kMiB}; }

inline MonotonicTime now() {
  return std::chrono::time_point_cast<Nanoseconds>(std::chrono::steady_clock::now());
}

template <typename T>
T value(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

inline bool until(const std::function<bool()>& condition, seconds longest = seconds(120)) {
  const MonotonicTime deadline = now() + longest;
  while (!condition()) {
    if (now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(2));
  }
  return true;
}

// One cgroup below the root, or below another one ("parent/name"), emptied and removed at the end
// if it is still there.
class OwnGroup {
 public:
  explicit OwnGroup(const std::string& name, std::optional<Bytes> limit = std::nullopt)
      : root_(value(cgroup::Root::open(*value(cgroup::read_mounts()).v2))), name_(name) {
    if (const std::size_t slash = name.rfind('/'); slash != std::string::npos) {
      const cgroup::Group parent = value(root_.open_group(name.substr(0, slash)));
      value(cgroup::Writer().create_group(parent, name.substr(slash + 1)));
    } else {
      value(cgroup::Writer().create_group(root_.top(), name));
    }
    if (limit) value(cgroup::Writer().set_memory_max(group(), limit_of(*limit)));
  }
  ~OwnGroup() { (void)remove(); }
  OwnGroup(const OwnGroup&) = delete;
  OwnGroup& operator=(const OwnGroup&) = delete;

  cgroup::Group group() const { return value(root_.open_group(name_)); }
  std::string file(const std::string& name) const {
    return root_.path() + "/" + name_ + "/" + name;
  }
  std::uint64_t event(const std::string& key) const {
    std::ifstream events(file("memory.events"));
    std::string word;
    std::uint64_t count = 0;
    while (events >> word >> count) {
      if (word == key) return count;
    }
    return 0;
  }
  bool remove() {
    const auto group = root_.open_group(name_);
    if (!group) return true;
    (void)cgroup::Writer().kill(*group);
    return until([&] { return ::rmdir((root_.path() + "/" + name_).c_str()) == 0; });
  }

 private:
  cgroup::Root root_;
  std::string name_;
};

// A process that runs `body` in the cgroup.
class Load {
 public:
  Load(const OwnGroup& group, const std::function<void()>& body) {
    const std::string procs = group.file("cgroup.procs");
    pid_ = ::fork();
    if (pid_ != 0) return;
    {
      std::ofstream file(procs);
      file << 0 << std::flush;
    }
    body();
    ::_exit(0);
  }
  ~Load() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    (void)wait();
  }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // The status of waitpid(); blocks.
  int wait() {
    int status = 0;
    if (pid_ > 0) ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }
  bool was_killed() {
    const int status = wait();
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }
  bool has_ended() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid != 0;
  }

 private:
  pid_t pid_ = -1;
};

inline void* fill(Bytes bytes) {
  void* memory =
      ::mmap(nullptr, bytes.value, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (std::uint64_t at = 0; at < bytes.value; at += 4096)
    static_cast<volatile char*>(memory)[at] = 1;
  return memory;
}

inline void fill_slowly(Bytes bytes, Bytes per_10_ms) {
  for (std::uint64_t done = 0; done < bytes.value; done += per_10_ms.value) {
    (void)fill(per_10_ms);
    std::this_thread::sleep_for(milliseconds(10));
  }
}

}  // namespace plimsoll::test
