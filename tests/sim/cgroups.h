// SPDX-License-Identifier: Apache-2.0
//
// The node's cgroups, with the kernel's rules: a charge needs room in the cgroup and all above it,
// reclaim comes before a kill, a limit written below what is in use reclaims and kills, a quota
// below the burst is refused. The product reads and writes their files (tests/sim/files); who
// wrote a limit last is known by what the kubelet wrote.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/units.h"
#include "tests/sim/files.h"

namespace plimsoll::sim {

class Cgroups {
 public:
  // Something is at the limit: whoever can raises it before the next look.
  using OnNeed = std::function<void()>;

  // Below `top`, which is made and removed again.
  explicit Cgroups(std::filesystem::path top);
  ~Cgroups();
  Cgroups(const Cgroups&) = delete;
  Cgroups& operator=(const Cgroups&) = delete;

  const std::filesystem::path& top() const { return top_; }
  void on_need(OnNeed need) { need_ = std::move(need); }

  void make(const std::string& path);
  void remove(const std::string& path);
  bool exists(const std::string& path) const { return groups_.contains(path); }

  // As the kubelet, or systemd for it, writes. False: EINVAL.
  bool write_cpu(const std::string& path, MilliCpu limit);
  void write_memory(const std::string& path, Limit limit);
  // What stands there, whoever wrote it.
  Limit memory(const std::string& path) const;
  MilliCpu cpu(const std::string& path) const;
  // What the kubelet wrote last.
  Limit written(const std::string& path) const { return groups_.at(path).written; }
  MilliCpu cpu_written(const std::string& path) const { return groups_.at(path).cpu_written; }
  Bytes usage(const std::string& path) const { return groups_.at(path).usage; }

  // The program in `path` wants `to` in all; true: it has it. False: it was killed.
  bool charge(const std::string& path, Bytes to);
  void free(const std::string& path, Bytes to);
  // After a write by somebody else: false: more is in use than the limit allows, and that kills.
  bool fits(const std::string& path) const;
  void count_kill(const std::string& path);
  // It was throttled in `periods` of 100 ms and used so much.
  void run(const std::string& path, Nanoseconds used, std::uint64_t periods,
           std::uint64_t throttled);

 private:
  struct Group {
    explicit Group(const std::filesystem::path& directory);

    File controllers;
    File high;
    File reclaim;
    File max;
    File current;
    File events;
    File stat;
    File cpu_max;
    File burst;
    File cpu_stat;
    Limit written;
    MilliCpu cpu_written;
    Bytes usage;  // of the container; of a pod's slice, of all below it
    std::uint64_t at_max = 0;
    std::uint64_t kills = 0;
    Nanoseconds used{};
    std::uint64_t periods = 0;
    std::uint64_t throttled = 0;
  };
  void show(Group& group);
  void set_usage(const std::string& path, Bytes to);
  Bytes room(const std::string& path) const;  // of the container and of its pod

  std::filesystem::path top_;
  std::optional<File> controllers_;
  OnNeed need_;
  std::map<std::string, Group> groups_;
};

}  // namespace plimsoll::sim
