// SPDX-License-Identifier: Apache-2.0
#include "cgroup/node_cpu.h"

#include <array>
#include <cstddef>
#include <optional>
#include <string>

#include "base/file.h"
#include "cgroup/pressure.h"
#include "cgroup/text.h"

namespace plimsoll::cgroup {
namespace {

// user nice system idle iowait irq softirq steal; guest time is in the first two already.
constexpr std::size_t kColumns = 8;
constexpr std::size_t kIdle = 3;
constexpr std::size_t kWaiting = 4;
// USER_HZ, the same on every architecture that this runs on.
constexpr Nanoseconds kTick = std::chrono::milliseconds(10);
constexpr std::uint64_t kMost = std::uint64_t{1} << 36;  // of ticks: 21 years

std::optional<NodeCpu> parse_columns(std::string_view words) {
  NodeCpu node;
  for (std::size_t i = 0; i < kColumns; ++i) {
    const auto word = next_word(words);
    const auto ticks = word ? parse_unsigned(*word) : std::nullopt;
    if (!ticks || *ticks > kMost) return std::nullopt;
    (i == kIdle || i == kWaiting ? node.idle : node.busy) +=
        kTick * static_cast<std::int64_t>(*ticks);
  }
  return node;
}

}  // namespace

Result<NodeCpu> parse_proc_stat(std::string_view text) {
  std::optional<NodeCpu> node;
  std::uint32_t cpus = 0;
  while (const auto line = next_line(text)) {
    std::string_view words = *line;
    const auto name = next_word(words);
    if (!name || !name->starts_with("cpu")) continue;
    if (name->size() > 3) {
      ++cpus;
      continue;
    }
    node = parse_columns(words);
    if (!node) return fail(Code::kMalformed, "/proc/stat: no times in " + excerpt(*line));
  }
  if (!node || cpus == 0) return fail(Code::kMalformed, "/proc/stat: no CPUs");
  node->cpus = cpus;
  return *node;
}

Nanoseconds read_cpu_wait() {
  const auto pressure = read_file("/proc/pressure/cpu").and_then(parse_pressure);
  return pressure ? pressure->some.total : Nanoseconds{};
}

Result<NodeCpu> read_node_cpu() { return read_file("/proc/stat").and_then(parse_proc_stat); }

}  // namespace plimsoll::cgroup
