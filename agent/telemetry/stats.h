// SPDX-License-Identifier: Apache-2.0
//
// What the agent shows of itself, as plain values. The slow loop owns an AgentStats, adds every
// record and answer to its activity, sets the rest once a tick and hands a copy to StatusBoard;
// agent/telemetry/metric_table says under which names the numbers are exported. The reaction thread
// touches none of it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/apiserver/request_stats.h"
#include "agent/engine/engine.h"
#include "agent/policy/startup_boost.h"
#include "agent/resize/resize_event.h"
#include "base/histogram.h"
#include "base/units.h"
#include "bpf/exec_programs.h"
#include "bpf/memory_programs.h"

namespace plimsoll::agent {

// The same of CPU limits.
struct CpuActivity {
  CpuActivity();
  void add(const Record& record);

  std::map<Reason, std::uint64_t> grants;
  std::map<Reason, std::uint64_t> wishes;
  std::map<Reason, std::uint64_t> denials;
  std::uint64_t bursts = 0;
  std::uint64_t lowerings = 0;
  std::uint64_t failures = 0;
  Distribution reaction_seconds;  // throttle to written limit or burst
};

// Counted from the stream of records and answers.
struct Activity {
  Activity();
  void add(const Record& record);
  void add(const ResizeEvent& answer);

  // Needs for memory that were met: raises written directly, and through the API without one.
  std::array<std::uint64_t, kLayers> saves{};
  std::map<Reason, std::uint64_t> grants;
  std::map<Reason, std::uint64_t> wishes;
  std::map<Reason, std::uint64_t> denials;
  std::uint64_t shrinks = 0;
  std::uint64_t reclaims = 0;
  std::uint64_t failures = 0;
  std::uint64_t oom_kills = 0;
  std::uint64_t granted_bytes = 0;
  Distribution reaction_seconds;
  std::array<std::uint64_t, ResizeEvent::kKinds> answers{};
  // Refusals by cause; causes over the bound are counted as "other".
  static constexpr std::size_t kMostCauses = 24;
  std::map<std::string, std::uint64_t> refusals;
  Distribution patch_to_limit_seconds;
  CpuActivity cpu;
};

struct NamespaceBudget {
  std::string name_space;
  Bytes granted;               // above the floors now
  std::optional<Bytes> limit;  // absent: only the node bounds it
};

// agent/node/announced_work's totals.
struct AnnouncedStats {
  std::size_t containers = 0;               // whose commands are watched
  std::size_t running = 0;                  // commands
  std::uint64_t begun = 0;                  // from nothing to the first process
  std::uint64_t ended = 0;                  // the last process, and given back
  std::uint64_t provided_bytes = 0;         // of those that begun
  std::uint64_t grown_bytes = 0;            // of those that ended
  std::size_t learned = 0;                  // commands whose size is known
  std::uint64_t failures = 0;               // containers whose commands cannot be watched
  std::optional<bpf::ExecCounters> kernel;  // absent: nothing was ever announced
};

// agent/node/startup_boosts's totals.
struct StartupStats {
  std::size_t boosted = 0;  // containers, now
  std::uint64_t begun = 0;
  std::array<std::uint64_t, kStartupEnds> ended{};  // by StartupEnd
};

// Of the engine's last tick.
struct CpuStats {
  std::size_t containers = 0;           // whose CPU limit is kept
  MilliCpu granted;                     // above their floors now
  std::optional<MilliCpu> budget;       // what the node can still give; absent: nothing asks for it
  std::uint64_t throttled_periods = 0;  // of all of them, since the start
  std::uint64_t lost = 0;               // events and reports
};

struct ConfigState {
  std::uint64_t generation = 1;  // of the configuration in force; rises with every reload
  bool last_reload_good = true;
  double last_success_unix_seconds = 0;
  std::uint64_t failures = 0;
};

struct AgentStats {
  Activity activity;
  ApiTotals api;

  std::string version;
  std::string node;
  bpf::Tier tier = bpf::Tier::kC;
  std::optional<bpf::Counters> kernel;  // absent in tier C
  std::uint64_t reports_lost = 0;       // by the reaction thread's queue
  std::uint64_t malformed_events = 0;
  std::uint64_t watch_relists = 0;
  std::uint64_t pods_malformed = 0;   // skipped in a list or a watch
  std::uint64_t resizes_dropped = 0;  // by the resizer's queue
  std::uint64_t log_overruns = 0;

  bool reaction_predictable = false;  // real-time, and memory locked
  std::size_t containers_tracked = 0;
  std::uint64_t containers_refused = 0;  // not tracked: all slots are taken
  std::size_t pods_seen = 0;
  std::size_t pods_managed = 0;
  std::size_t leases_active = 0;
  std::uint64_t leases_expired = 0;

  std::optional<Bytes> budget;  // what the node can still give
  // Any number; the largest kMostNamespaces are exported, the others summed up.
  static constexpr std::size_t kMostNamespaces = 20;
  std::vector<NamespaceBudget> namespaces;

  AnnouncedStats announce;
  StartupStats startup;
  CpuStats cpu;

  ConfigState config;
  std::uint64_t state_writes = 0;
  std::uint64_t state_write_failures = 0;

  // agent/telemetry/event_poster's totals.
  std::uint64_t events_posted = 0;
  std::uint64_t events_suppressed = 0;  // aggregated or over the rate
  std::uint64_t events_dropped = 0;     // by the queue
  std::uint64_t events_failed = 0;
};

// Of this process, read when it is asked for.
struct ProcessStats {
  std::optional<Bytes> resident;
  std::optional<Bytes> virtual_size;
  std::optional<double> cpu_seconds;
  std::optional<double> start_unix_seconds;
  std::optional<std::uint64_t> open_fds;
  std::optional<std::uint64_t> threads;
};
ProcessStats read_own_process();

// The text exposition format, version 0.0.4.
std::string metrics_text(const AgentStats& stats, const ProcessStats& process);

}  // namespace plimsoll::agent
