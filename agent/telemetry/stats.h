// SPDX-License-Identifier: Apache-2.0
//
// What the agent shows of itself, as plain values: what has been counted from records and answers
// (Activity), and the stats of each part. agent/node/publish.h puts them together once a tick for
// the StatusBoard; agent/telemetry/metric_table.h says under which names they are exported. The
// reaction threads touch none of it.
//
// Members without a default are to be named by who puts them together: publish.cc does not compile
// without one of them, so that none is 0 for ever.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/apiserver/request_stats.h"
#include "agent/engine/engine.h"
#include "agent/policy/startup_boost.h"
#include "agent/resize/resize_event.h"
#include "agent/telemetry/event_poster.h"
#include "base/histogram.h"
#include "base/units.h"
#include "bpf/exec_programs.h"
#include "bpf/memory_programs.h"

namespace plimsoll::agent {

// What was done to limits of one resource.
struct ChangeCounts {
  ChangeCounts();

  std::map<Reason, std::uint64_t> grants;
  std::map<Reason, std::uint64_t> wishes;
  std::map<Reason, std::uint64_t> denials;
  std::uint64_t shrinks = 0;
  std::uint64_t failures = 0;
  Distribution reaction_seconds;  // event to written limit, of what answered an event
};

// Counted from the stream of records and answers.
struct Activity {
  Activity();
  void add(const Record& record);
  void add(const ResizeEvent& answer);

  ChangeCounts memory;
  ChangeCounts cpu;  // a burst is no grant
  // Needs for memory that were met: raises written directly, and through the API without one.
  std::array<std::uint64_t, kLayers> saves{};
  std::uint64_t granted_bytes = 0;
  std::uint64_t reclaims = 0;
  std::uint64_t oom_kills = 0;
  std::uint64_t cpu_bursts = 0;
  std::array<std::uint64_t, ResizeEvent::kKinds> answers{};
  // Refusals by cause; causes over the bound are counted as "other".
  static constexpr std::size_t kMostCauses = 24;
  std::map<std::string, std::uint64_t> refusals;
  Distribution patch_to_limit_seconds;
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

struct CpuStats {
  std::size_t containers;          // whose CPU limit is kept
  MilliCpu granted;                // above their floors now
  std::optional<MilliCpu> budget;  // what the node can still give; absent: nothing asks for it
};

struct PodsStats {
  std::size_t known;
  std::size_t managed;
  std::size_t unanswered;  // containers: the API has yet to say how far their memory may grow
  std::size_t tracked;     // cgroups
  std::size_t leases;      // of containers, now
  // Any number; the largest kMostNamespaces are exported, the others summed up.
  static constexpr std::size_t kMostNamespaces = 20;
  std::vector<NamespaceBudget> namespaces;
};

struct WatchStats {
  std::uint64_t relists;         // LISTs after the first: news had been missed
  std::uint64_t pods_malformed;  // skipped in a list or a watch
};

struct ConfigState {
  std::uint64_t generation = 1;  // of the configuration in force; rises with every reload
  bool last_reload_good = true;
  std::chrono::system_clock::time_point taken{};  // when the one in force was
  std::uint64_t failures = 0;
};

struct StateStats {
  std::uint64_t writes = 0;
  std::uint64_t write_failures = 0;
};

struct AgentStats {
  std::string version;
  std::string node;
  Activity activity;
  EngineStatus engine;
  std::optional<Bytes> budget;  // what the node can still give
  CpuStats cpu;
  PodsStats pods;
  AnnouncedStats announce;
  StartupStats startup;
  ApiTotals api;
  WatchStats watch;
  std::uint64_t resizes_dropped;  // by the resizer's queue
  EventPoster::Totals events;
  ConfigState config;
  StateStats state;
  std::uint64_t log_overruns;
};

}  // namespace plimsoll::agent
