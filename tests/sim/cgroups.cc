// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/cgroups.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace plimsoll::sim {
namespace {

namespace fs = std::filesystem;

constexpr const char* kControllers = "cgroup.controllers";
constexpr const char* kOfAll = "cpu memory pids\n";
constexpr std::uint64_t kPeriodUs = 100'000;
// So often a charge tries before it gives up, as the kernel does.
constexpr int kTries = 16;

// The first number of a file; nullopt: "max".
std::optional<std::uint64_t> number(const File& file) {
  const std::string& text = file.text();
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

std::string parent_of(const std::string& path) { return fs::path(path).parent_path().string(); }

// "name value" and an end of line.
std::string line(std::string_view name, std::uint64_t value) {
  return std::string(name) + ' ' + std::to_string(value) + '\n';
}

}  // namespace

Cgroups::Group::Group(const fs::path& directory)
    : controllers(directory, kControllers, kOfAll),
      high(directory, "memory.high", "max\n"),
      reclaim(directory, "memory.reclaim", ""),
      max(directory, "memory.max", "max\n"),
      current(directory, "memory.current", "0\n"),
      events(directory, "memory.events", ""),
      stat(directory, "memory.stat", ""),
      cpu_max(directory, "cpu.max", "max 100000\n"),
      burst(directory, "cpu.max.burst", "0\n"),
      cpu_stat(directory, "cpu.stat", "") {}

Cgroups::Cgroups(fs::path top) : top_(std::move(top)) {
  fs::create_directories(top_);
  controllers_.emplace(top_, kControllers, kOfAll);
}

Cgroups::~Cgroups() {
  std::error_code ignored;
  fs::remove_all(top_, ignored);
}

void Cgroups::make(const std::string& path) {
  if (exists(path)) return;
  if (const std::string parent = parent_of(path); !parent.empty()) make(parent);
  const fs::path directory = top_ / path;
  fs::create_directory(directory);
  Group& group = groups_.emplace(path, directory).first->second;
  show(group);
  run(path, {}, 0, 0);
}

void Cgroups::remove(const std::string& path) {
  if (!exists(path)) return;
  set_usage(path, {});
  std::erase_if(groups_, [&](const auto& each) {
    return each.first == path || each.first.starts_with(path + "/");
  });
  fs::remove_all(top_ / path);
}

bool Cgroups::write_cpu(const std::string& path, MilliCpu limit) {
  Group& group = groups_.at(path);
  const std::uint64_t quota = std::max<std::uint64_t>(limit.value * kPeriodUs / 1000, 1000);
  if (number(group.burst).value_or(0) > quota) return false;
  group.cpu_max.put(line(std::to_string(quota), kPeriodUs));
  group.cpu_written = limit;
  return true;
}

void Cgroups::write_memory(const std::string& path, Limit limit) {
  Group& group = groups_.at(path);
  group.max.put(limit.is_max() ? "max\n" : std::to_string(limit.bytes) + "\n");
  group.written = limit;
}

Limit Cgroups::memory(const std::string& path) const {
  const auto value = number(groups_.at(path).max);
  return value ? Limit{*value} : kNoLimit;
}

MilliCpu Cgroups::cpu(const std::string& path) const {
  return {number(groups_.at(path).cpu_max).value_or(0) * 1000 / kPeriodUs};
}

void Cgroups::show(Group& group) {
  group.current.put(std::to_string(group.usage.value) + "\n");
  group.events.put("low 0\nhigh 0\n" + line("max", group.at_max) + line("oom", group.kills) +
                   line("oom_kill", group.kills) + "oom_group_kill 0\n");
  group.stat.put(line("anon", group.usage.value) +
                 "file 0\nkernel 0\nshmem 0\nfile_dirty 0\nfile_writeback 0\n"
                 "inactive_file 0\nactive_file 0\nunevictable 0\nslab_reclaimable 0\n"
                 "workingset_refault_anon 0\nworkingset_refault_file 0\npgscan 0\n"
                 "pgsteal 0\n");
}

void Cgroups::set_usage(const std::string& path, Bytes to) {
  Group& group = groups_.at(path);
  const Bytes before = group.usage;
  if (before == to) return;
  group.usage = to;
  show(group);
  const auto parent = groups_.find(parent_of(path));
  if (parent == groups_.end()) return;
  set_usage(parent->first, parent->second.usage - before + to);
}

Bytes Cgroups::room(const std::string& path) const {
  Bytes room{memory(path).bytes};
  const std::string pod = parent_of(path);
  const Bytes others = groups_.at(pod).usage - usage(path);
  return std::min(room, Bytes{memory(pod).bytes} - others);
}

bool Cgroups::charge(const std::string& path, Bytes to) {
  for (int tries = 0; tries < kTries; ++tries) {
    const Bytes can = room(path);
    set_usage(path, std::max(std::min(to, can), usage(path)));
    if (usage(path) >= to) break;
    const bool own = Bytes{memory(path).bytes} <= can;
    Group& bound = groups_.at(own ? path : parent_of(path));
    ++bound.at_max;
    show(bound);
    if (need_) need_();
    if (room(path) <= can) return false;
  }
  if (need_) need_();
  return usage(path) >= to;
}

void Cgroups::free(const std::string& path, Bytes to) {
  if (to < usage(path)) set_usage(path, to);
}

bool Cgroups::fits(const std::string& path) const { return usage(path) <= room(path); }

void Cgroups::count_kill(const std::string& path) {
  Group& group = groups_.at(path);
  ++group.kills;
  show(group);
}

void Cgroups::run(const std::string& path, Nanoseconds used, std::uint64_t periods,
                  std::uint64_t throttled) {
  Group& group = groups_.at(path);
  group.used += used;
  group.periods += periods;
  group.throttled += throttled;
  const auto us = static_cast<std::uint64_t>(group.used.count() / 1000);
  group.cpu_stat.put(
      line("usage_usec", us) + line("user_usec", us) + "system_usec 0\nnice_usec 0\n" +
      line("nr_periods", group.periods) + line("nr_throttled", group.throttled) +
      line("throttled_usec", group.throttled * 50'000) + "nr_bursts 0\nburst_usec 0\n");
}

}  // namespace plimsoll::sim
