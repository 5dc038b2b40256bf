// SPDX-License-Identifier: Apache-2.0
//
// What one `plimsoll run` did: collected from the engine's records, printed for people or as JSON.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/commands/child.h"
#include "agent/engine/announced_commands.h"
#include "agent/engine/engine.h"
#include "base/units.h"
#include "cgroup/cpu_stat.h"

namespace plimsoll::agent {

// Not within RunReport: clang does not let std::optional make a nested struct whose members have
// defaults.
struct CpuRunReport {
  MilliCpu floor;
  MilliCpu ceiling;
  MilliCpu final_limit;
  std::optional<cgroup::CpuStat> stat;  // at the end
  std::string refusal;                  // why cpu.stat is read instead of BPF; else empty
  std::uint64_t raises = 0;
  std::uint64_t bursts = 0;  // cpu.max.burst given
  std::uint64_t lowerings = 0;
  std::map<Reason, std::uint64_t> denials;
  std::vector<Record> changes;  // raises, bursts and lowerings, the oldest RunReport::kMostRecords
};

struct RunReport {
  std::vector<std::string> command;
  ExitStatus exit;
  MonotonicTime started;
  MonotonicTime ended;
  bpf::Tier tier = bpf::Tier::kA;
  Limit start_limit;
  Limit final_limit;
  Bytes ceiling;
  Bytes peak;  // memory.peak, or the highest usage that was seen
  std::uint64_t oom_kills = 0;
  std::optional<CpuRunReport> cpu;  // with a CPU limit only
  std::optional<bpf::Counters> counters;
  std::uint64_t lost = 0;

  // In the order they came; the oldest kMostRecords, the rest only counted.
  static constexpr std::size_t kMostRecords = 1000;
  std::vector<Record> grants;
  std::array<std::uint64_t, kLayers> grants_by_layer{};
  std::uint64_t shrinks = 0;
  std::map<Reason, std::uint64_t> denials;
  std::vector<AnnouncedUse> announced;
  std::vector<std::string> failures;

  void add(const Record& record);

 private:
  void add_cpu(const Record& record);
};

// One line, a JSON object.
std::string to_json(const RunReport& report);
// At most one screen, without colour; the last line ends in a newline.
std::string to_text(const RunReport& report);

}  // namespace plimsoll::agent
