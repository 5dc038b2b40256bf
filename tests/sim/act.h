// SPDX-License-Identifier: Apache-2.0
//
// A history: what the people of a cluster, its weather and its machines do, moment by moment. All
// that happens follows from it, so that it can be printed, replayed and made shorter.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace plimsoll::sim {

// Of pod `pod` ("p0" ... ), of container `container` of it, with two numbers.
enum class ActKind : std::uint8_t {
  // a pod's author
  kCreate,    // a: memory limit in MiB; b: bits of Shape
  kDelete,    // at once
  kEnd,       // gracefully: five seconds
  kOptIn,     // a: 1, or 0 to opt out
  kCeiling,   // a: annotation memory-ceiling in MiB
  kAnnotate,  // a: so many changes of annotations, each of unknown keys
  kNeed,      // the program wants a MiB, and grows by b MiB a second
  kBusy,      // the program wants a thousandths of a CPU
  // who resizes; b: which Manager
  kMemory,  // a: MiB
  kCpu,     // a: thousandths
  // what admission says, in the namespace of number `pod`
  kQuota,    // a: MiB of limits.memory, -1: none
  kRange,    // a: MiB per container, -1: none
  kWebhook,  // a: Webhook; b: MiB, or the container
  // the API server
  kApi,      // a: ApiMode; b: milliseconds or how many
  kWatch,    // a: 0 follows, 1 silent, 2 a new LIST; b: milliseconds late
  kRestore,  // etcd as it was when the pod was created
  // the kubelet
  kKubelet,  // a: KubeletMode; b: milliseconds late
  kReload,   // systemd writes all limits as the kubelet last had it
  kRestart,  // of the container
  // the agent
  kAgent,   // a: AgentFate; kKilled with b: after so many of its turns, and started again soon
  kDisk,    // a: 1 full, 0 not
  kFactor,  // a: pods.ceiling
  // in the namespace of number `pod`, too
  kCpuQuota,  // a: thousandths of limits.cpu, -1: none
  // puts back what was declared of the pod, whenever it sees another limit
  kPutBack,  // a: it looks every so many milliseconds, 0: not any more; b: which Manager
};
inline constexpr std::size_t kActKinds = 24;

enum Shape : std::int64_t {
  kOptedIn = 1,
  kTwoContainers = 2,
  kGuaranteed = 4,
  kRestartsOnResize = 8,
  kClaims = 16,
  kPodLevel = 32,
  kHasCpu = 64,
  kOtherNamespace = 128,
};
enum Manager : std::int64_t { kKubectl, kVpa, kBoost, kGitOps };
std::string_view to_string(Manager manager);
enum Webhook : std::int64_t { kNoWebhook, kDenies, kClamps, kTimesOut, kIsDown, kDeniesContainer };
enum ApiMode : std::int64_t {
  kHealthy,
  kRefusesConnections,
  kSlow,
  kServerErrors,
  kThrottles,
  kLosesReplies,
  kHalfUpgraded,
  kConflicts,
  kQueues,  // what was asked is done after so long, whether or not somebody still waits
};
enum KubeletMode : std::int64_t { kApplies, kInfeasible, kDefers, kFails, kDead };
enum AgentFate : std::int64_t { kKilled, kStarted, kStopped, kRestarted, kHandedOver };

struct Act {
  std::int64_t at_ms = 0;
  ActKind kind = ActKind::kNeed;
  int pod = 0;
  int container = 0;
  std::int64_t a = 0;
  std::int64_t b = 0;

  bool operator==(const Act&) const = default;
};
using History = std::vector<Act>;  // in the order of their times

// "12500 need p0 c0 300 40": one line for each act; a line that begins with # is skipped.
std::string to_text(const History& history);
// nullopt: `text` has a line that is none.
std::optional<History> parse_history(std::string_view text);

}  // namespace plimsoll::sim
