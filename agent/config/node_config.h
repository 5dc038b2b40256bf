// SPDX-License-Identifier: Apache-2.0
//
// The part of the configuration that only the node agent reads: which pods, how far, by which way.
// Filled by agent/config from the table in agent/config/keys.cc, which says what each value means.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/selector.h"
#include "agent/policy/announced_work.h"
#include "base/units.h"

namespace plimsoll::agent {

// How a limit may be raised, each allowing more than the one before: only what the API accepts; the
// same, but written to the cgroup first in an emergency and while the API is away; only written to
// the cgroup, without asking the API whether quotas and policies allow it.
enum class Actuation : std::uint8_t { kResize, kResizeThenCgroup, kCgroup };
inline constexpr std::array<std::string_view, 3> kActuationWords{"resize", "resize-then-cgroup",
                                                                 "cgroup"};
std::string_view to_string(Actuation actuation);

// What to do about a pod that somebody else (VPA, a person) resizes as well.
enum class Coexist : std::uint8_t {
  kYield,  // leave it alone for a while
  kShare,  // take its new limit as the floor and go on
};
inline constexpr std::array<std::string_view, 2> kCoexistWords{"yield", "share"};
std::string_view to_string(Coexist coexist);

enum class LogLevel : std::uint8_t { kDebug, kInfo, kWarn, kError };
inline constexpr std::array<std::string_view, 4> kLogLevelWords{"debug", "info", "warn", "error"};
std::string_view to_string(LogLevel level);

// Where a server listens; port 0: it does not.
struct ListenAddress {
  std::string host;  // empty: every address of the machine; an IPv6 address without its brackets
  std::uint16_t port = 0;

  bool operator==(const ListenAddress&) const = default;
};

struct PodsConfig {
  Selector selector;
  NamespaceList namespaces;
  bool opt_in = true;
  double ceiling = 4;                                     // times the declared limit
  std::optional<Bytes> ceiling_max;                       // absent: the budgets bound it
  Nanoseconds look_ahead_max = std::chrono::seconds(30);  // the most that an annotation may ask for
  Actuation actuation = Actuation::kResizeThenCgroup;
  bool dry_run = false;

  bool operator==(const PodsConfig&) const = default;
};

// CPU limits of pods; agent/policy/cpu.h has when and how much.
struct PodsCpuConfig {
  bool enabled = true;
  double ceiling = 4;                   // times the declared limit
  std::optional<MilliCpu> ceiling_max;  // absent: the node's CPUs bound it
  // A CPU limit that stands in the cgroup is asked of the API when it has stood for so long.
  Nanoseconds ask_after = std::chrono::seconds(5);

  bool operator==(const PodsCpuConfig&) const = default;
};

// More CPU for containers that start: agent/policy/startup_boost.h.
struct StartupConfig {
  double boost = 10;                           // times the declared limit; 1: none
  std::optional<MilliCpu> boost_max;           // absent: the node's CPUs bound it
  Nanoseconds time = std::chrono::minutes(2);  // at most
  // Over when for this long no more than the declared limit was used.
  Nanoseconds settle_after = std::chrono::seconds(10);

  bool operator==(const StartupConfig&) const = default;
};

struct FallbackConfig {
  Nanoseconds lease = std::chrono::minutes(10);
  bool on_refusal = false;
  bool unasked = false;

  bool operator==(const FallbackConfig&) const = default;
};

struct ApiConfig {
  Nanoseconds deadline = std::chrono::seconds(10);
  Nanoseconds rescue_deadline = std::chrono::seconds(2);
  double requests_per_second = 10;
  std::uint32_t burst = 20;
  Nanoseconds latency = std::chrono::seconds(1);  // PATCH to cgroup, until it has been measured
  double latency_factor = 2;
  Nanoseconds verify_after = std::chrono::seconds(2);
  Nanoseconds withdraw_after = std::chrono::seconds(30);
  Nanoseconds refused_backoff = std::chrono::seconds(30);
  Nanoseconds refused_backoff_max = std::chrono::minutes(10);

  bool operator==(const ApiConfig&) const = default;
};

struct PreflightConfig {
  bool enabled = true;
  double requests_per_second = 5;

  bool operator==(const PreflightConfig&) const = default;
};

// agent/policy/announced_work.h.
struct AnnounceConfig {
  bool enabled = true;
  std::vector<AnnouncedCommand> commands;  // of a pod that says nothing of them itself

  bool operator==(const AnnounceConfig&) const = default;
};

// Beside BudgetPolicy (agent/policy/decide.h), which bounds all grants of the node together.
struct NodeBudgetConfig {
  double node_share = 1;                   // of the node's allocatable memory
  std::optional<Bytes> namespace_default;  // absent: only the node bounds a namespace
  std::map<std::string, Bytes, std::less<>> namespaces;

  bool operator==(const NodeBudgetConfig&) const = default;
};

struct NodeConfig {
  PodsConfig pods;
  PodsCpuConfig cpu;
  StartupConfig startup;
  FallbackConfig fallback;
  ApiConfig api;
  PreflightConfig preflight;
  AnnounceConfig announce;
  NodeBudgetConfig budget;
  Coexist coexist = Coexist::kYield;
  Nanoseconds yield_for = std::chrono::minutes(30);
  std::uint32_t events_per_minute = 30;
  ListenAddress metrics_address{.port = 9464};
  std::uint32_t explain_history = 64;  // entries per container
  LogLevel log_level = LogLevel::kInfo;

  bool operator==(const NodeConfig&) const = default;
};

}  // namespace plimsoll::agent
