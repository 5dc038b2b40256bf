// SPDX-License-Identifier: Apache-2.0
//
// What agent/resize/plan remembers of one pod, what it is told, and what it asks for: plain values,
// so that any history can be replayed. The slow loop owns one PodResize per managed pod.
//
// Words: the *spec* is the limit that the API server has stored; the *level* is what we wrote to
// the cgroup above it, under a lease; of a CPU limit, what we wrote last.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "agent/apiserver/health.h"
#include "agent/pods/ownership.h"
#include "agent/pods/pod_policy.h"
#include "agent/policy/limit_change.h"
#include "agent/resize/allowance.h"
#include "agent/resize/lease.h"
#include "agent/resize/resize_event.h"
#include "agent/resize/room.h"
#include "base/units.h"
#include "kube/pod.h"
#include "kube/resize.h"
#include "kube/status.h"

namespace plimsoll::agent {

struct ResizeConfig {
  std::string field_manager = kFieldManager;
  std::string node_name;
  FallbackConfig fallback;
  ApiConfig api;
  Coexist coexist = Coexist::kYield;
  Nanoseconds yield_for = std::chrono::minutes(30);

  bool preflight = true;
  // After this long an answer is asked for again, once the container comes near its limit.
  Nanoseconds preflight_expires = std::chrono::minutes(10);
  int preflight_attempts = 3;  // of one round: each after a refusal that named the room
  double active_share = 0.7;   // of the limit: a usage above is near it

  // A limit that was written already is asked for when growth has been quiet this long, or is slow
  // enough for the kubelet to keep up, and at the latest so long after the first grant.
  Nanoseconds coalesce = std::chrono::milliseconds(250);
  Nanoseconds coalesce_max = std::chrono::seconds(5);
  // A lowering that does not reach the floor is asked for when no lower one has come for so long:
  // what was needed in the past leaves the engine's window bit by bit.
  Nanoseconds shrink_quiet = std::chrono::seconds(10);

  // What lowering leaves above the usage: the larger of both.
  double keep_share = 0.05;
  Bytes keep_least{8 * kMiB};

  // A CPU limit that stands in the cgroup is asked for when it has stood for so long.
  Nanoseconds cpu_ask_after = std::chrono::seconds(5);

  // A pod slice that is this long below its containers is raised (kubernetes#138760).
  Nanoseconds repair_after = std::chrono::milliseconds(1500);

  bool operator==(const ResizeConfig&) const = default;
};
ResizeConfig resize_config(const NodeConfig& config, std::string node_name);

// ---- what the plan is told -------------------------------------------------------------------

// What the engine did or wants, since the step before. What was granted or lowered stands in the
// cgroup; what was wished does not.
struct EngineWord {
  enum class Kind : std::uint8_t {
    kGrant,   // it has raised the limit
    kShrink,  // it has lowered it
    kWish,    // somebody else must change it
  };
  Kind kind = Kind::kWish;
  std::string container;
  LimitChange change;
  Bytes rate_per_second;  // of the growth of memory, as the event had it; 0: unknown
  Layer layer = Layer::kSlowLoop;
  Reason reason = Reason::kEnoughHeadroom;
  MonotonicTime at;

  bool operator==(const EngineWord&) const = default;
};

struct CgroupReading {
  Limit limit;  // memory.max
  Bytes usage;  // memory.current

  bool operator==(const CgroupReading&) const = default;
};
struct ContainerReading {
  std::string container;
  std::string container_id;  // whose cgroup it is
  CgroupReading memory;

  bool operator==(const ContainerReading&) const = default;
};
// The pod's files, read after all that the actions of the step before had asked for was written.
struct PodReading {
  MonotonicTime at;
  std::optional<CgroupReading> slice;
  std::vector<ContainerReading> containers;

  bool operator==(const PodReading&) const = default;
};

// What became of a request.
struct ResizeOutcome {
  std::uint64_t id = 0;
  int status = 0;  // HTTP; 0: none
  std::optional<kube::Pod> pod;
  std::optional<kube::Refusal> refusal;  // exactly one of both
  MonotonicTime sent;
  MonotonicTime answered;

  bool operator==(const ResizeOutcome&) const = default;
};

struct ResizeFacts {
  const kube::Pod* pod = nullptr;  // as the watch has it; null: it has gone
  const std::vector<ContainerPolicy>* policies = nullptr;
  ApiStatus api;
  std::vector<EngineWord> words;
  std::vector<ResizeOutcome> outcomes;
  std::optional<PodReading> reading;
};

// ---- what it remembers -----------------------------------------------------------------------

// What the last PATCH asked for.
template <class Amount>
struct Asked {
  Amount from;  // what was stored
  Amount to;
  Amount before;         // what is in force, or was before the first PATCH that is not yet
  bool written = false;  // of CPU: it stood in the cgroup by then
  Reason reason = Reason::kEnoughHeadroom;

  bool operator==(const Asked&) const = default;
};

// How the engine's spec for the container is to be; sent when it differs from what was sent last.
template <class Amount>
struct EngineBounds {
  Amount floor;
  Amount ceiling;
  Amount direct_ceiling;  // 0, and of CPU what is not above the floor: never written by us
  Amount direct_floor;
  std::optional<Nanoseconds> bridge_within;  // of memory; absent: all that is allowed is written

  bool operator==(const EngineBounds&) const = default;
};

// How often the same actor has taken back what we had raised.
struct Undone {
  std::string by;
  int times = 0;

  bool operator==(const Undone&) const = default;
};

// One limit of a container on its way through the API: what memory and CPU have in common.
template <class Amount>
struct Request {
  std::optional<Amount> spec;  // the stored limit that we know of
  // The engine's last word, while it is not the spec; of CPU, only what it waits for.
  std::optional<Amount> want;
  MonotonicTime want_since;  // the first of those words; of memory, that no PATCH has carried yet
  Reason reason = Reason::kEnoughHeadroom;  // of the last word
  std::optional<Asked<Amount>> asked;
  MonotonicTime lower_retry_at;
  Allowance<Amount> allowance;
  std::optional<EngineBounds<Amount>> bounds;  // as sent last
  std::optional<Amount> floor;                 // of another actor's resize
  Undone undone;
  MonotonicTime yield_until;  // it is fought over, and theirs
  kube::Resizability resizable = kube::Resizability::kYes;

  bool operator==(const Request&) const = default;
};

struct MemoryRequest : Request<Bytes> {
  Bytes want_from;
  Layer layer = Layer::kSlowLoop;
  MonotonicTime last_word;
  Bytes rate_per_second;
  std::optional<Lease> lease;
  bool level_known = false;  // its file has been read since its cgroup came
  Bytes preflight_usage;     // at the time of the last dry run's answer

  bool operator==(const MemoryRequest&) const = default;
};

struct CpuRequest : Request<MilliCpu> {
  std::optional<MilliCpu> level;  // absent: what the kubelet wrote
  MonotonicTime since;            // the level has been on its side of the spec
  bool starting = false;          // it is above the spec only because the container starts
  MonotonicTime needed_at;        // the last word of more than the spec

  // -1: the level is below the spec, 1: above.
  int side() const {
    if (!spec || !level || *level == *spec) return 0;
    return *level > *spec ? 1 : -1;
  }
  // A lease, for as long as the engine needs it.
  bool leased() const { return side() > 0; }
  bool operator==(const CpuRequest&) const = default;
};

struct ContainerResize {
  std::string name;
  std::string container_id;
  MemoryRequest memory;
  CpuRequest cpu;

  bool operator==(const ContainerResize&) const = default;
};

struct ResizeInFlight {
  std::uint64_t id = 0;
  kube::Resize resize;
  bool withdraws = false;
  MonotonicTime sent;

  bool operator==(const ResizeInFlight&) const = default;
};

// Changes that are stored and not in force yet. Of memory those of the last PATCH, and until then
// nothing is lowered; of CPU one per container, and no request waits for them.
struct ResizeUnverified {
  std::vector<kube::ResizeChange> changes;
  std::vector<std::string> visible;  // containers whose memory.max has yet to change for it
  std::optional<std::int64_t> generation;
  bool withdraws = false;
  bool overdue = false;  // of memory: not in force within verify_after: said, and written directly
  MonotonicTime sent;
  // After its withdrawal was refused: not tried again before, and how long that was.
  MonotonicTime withdraw_retry_at;
  Nanoseconds withdraw_backoff{};

  bool operator==(const ResizeUnverified&) const = default;
};

// Requests without a usable answer, one after the other.
struct Attempts {
  int failed = 0;
  MonotonicTime retry_at;

  bool operator==(const Attempts&) const = default;
};

// What is the same for a pod's requests for memory and those for CPU.
struct PodRequests {
  std::optional<ResizeUnverified> unverified;
  Attempts attempts;  // while those for memory wait, all wait

  bool operator==(const PodRequests&) const = default;
};

// The API server says that it cannot resize this pod: a new one of it, or another one, may.
struct Unsupported {
  kube::Cause cause = kube::Cause::kSubresourceAbsent;
  kube::ResizeAbility ability;  // as it was known to be then
  MonotonicTime retry_at;
  Nanoseconds backoff{};

  bool operator==(const Unsupported&) const = default;
};

struct PodResize {
  kube::PodIdentity id;
  bool gone = false;  // forget it
  std::vector<ContainerResize> containers;

  std::optional<ResizeInFlight> in_flight;  // at most one
  std::optional<ResizeInFlight> preflight;  // at most one dry run
  PodRequests memory;
  PodRequests cpu;
  std::vector<kube::ResizeChange> unknown;  // of a PATCH of each whose outcome is unknown
  bool unknown_withdraws = false;           // the newest of them
  std::uint64_t next_id = 1;
  std::uint64_t patches = 0;  // storing ones, so far

  std::optional<std::int64_t> generation;     // the newest seen, of replies too
  std::string resource_version;               // of the pod that was looked at last
  std::optional<MonotonicTime> behind_since;  // the watch shows an older generation, and moves
  MonotonicTime reply_at;                     // of the last reply that stored something
  MonotonicTime last_patch;                   // of memory
  bool unanswered = false;                    // the last request for memory had no usable answer
  std::size_t unanswered_containers = 0;      // no dry run for their memory has been answered yet
  MonotonicTime preflight_retry_at;
  int preflight_tries = 0;  // of the round that is going on

  kube::ResizePhase phase = kube::ResizePhase::kNone;
  MonotonicTime phase_since;
  bool no_decrease = false;  // memory limits can only be raised
  bool no_decrease_said = false;
  std::optional<Unsupported> unsupported;
  // After a refusal that may be about one container of several, one is asked for at a time.
  MonotonicTime alone_until;
  MonotonicTime watchful_until;  // somebody resizes: read the files often
  std::optional<MonotonicTime> slice_low_since;
  kube::Resizability resizable = kube::Resizability::kYes;

  bool operator==(const PodResize&) const = default;
};

// That of both which is about `Amount`, of anything that has a `memory` and a `cpu`.
template <class Amount>
constexpr auto& of(auto& both) {
  if constexpr (kIsMemory<Amount>) {
    return both.memory;
  } else {
    return both.cpu;
  }
}

}  // namespace plimsoll::agent
