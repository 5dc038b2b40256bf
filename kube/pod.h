// SPDX-License-Identifier: Apache-2.0
//
// What the agent knows of a pod from the API: plain values, read by kube/pod_json. Absent is
// nullopt, never 0 or "". Times are the API server's, to the second.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "kube/quantity.h"

namespace plimsoll::kube {

using ApiTime = std::chrono::sys_seconds;
using TextMap = std::map<std::string, std::string, std::less<>>;

// Which pod. `uid` tells apart two that had the name one after the other.
struct PodIdentity {
  std::string uid;
  std::string namespace_name;
  std::string name;

  bool operator==(const PodIdentity&) const = default;
};

enum class QosClass : std::uint8_t { kGuaranteed, kBurstable, kBestEffort };
enum class PodPhase : std::uint8_t { kPending, kRunning, kSucceeded, kFailed, kUnknown };
enum class RestartPolicy : std::uint8_t { kAlways, kOnFailure, kNever };
std::string_view to_string(QosClass qos);
std::string_view to_string(PodPhase phase);

struct Amounts {
  std::optional<Bytes> memory;
  std::optional<MilliCpu> cpu;

  bool operator==(const Amounts&) const = default;
};

struct Resources {
  Amounts requests;
  Amounts limits;
  bool has_claims = false;  // device claims (DRA): such a container cannot be resized by the API

  bool operator==(const Resources&) const = default;
};

// What a change of one resource does to the running container. A word that we do not know counts as
// kRestartContainer: nobody is restarted by a guess.
enum class ResizePolicy : std::uint8_t { kNotRequired, kRestartContainer };

enum class ContainerKind : std::uint8_t {
  kMain,     // spec.containers
  kSidecar,  // spec.initContainers with restartPolicy Always: runs as long as the pod
  kInit,     // spec.initContainers that end before the others start
};

enum class ContainerState : std::uint8_t { kWaiting, kRunning, kTerminated };

struct Termination {
  std::string reason;  // "OOMKilled", "Completed", "Error", "StartError", ...
  std::int32_t exit_code = 0;
  std::optional<ApiTime> finished_at;

  bool operator==(const Termination&) const = default;
};

struct ContainerStatus {
  std::string id;  // "containerd://<64 hex digits>"; empty: not created yet
  ContainerState state = ContainerState::kWaiting;
  std::string reason;                     // kWaiting, kTerminated: "CrashLoopBackOff", ...
  std::optional<ApiTime> started_at;      // kRunning
  std::optional<Termination> last_state;  // how the run before this one ended
  bool ready = false;
  bool started = false;  // its startup probe has passed
  std::uint32_t restart_count = 0;
  std::optional<Resources> resources;  // in force; nullopt: the node does not tell (cannot resize)
  std::optional<Amounts> allocated;    // requests that the node has set aside

  bool operator==(const ContainerStatus&) const = default;
};

struct Container {
  std::string name;
  ContainerKind kind = ContainerKind::kMain;
  Resources resources;  // the spec: what is asked for
  ResizePolicy memory_resize = ResizePolicy::kNotRequired;
  ResizePolicy cpu_resize = ResizePolicy::kNotRequired;
  // It declares a readinessProbe or a startupProbe. Without one, the kubelet calls it ready the
  // moment it runs, so that ContainerStatus::ready says nothing of its start.
  bool has_probe = false;
  std::optional<ContainerStatus> status;

  bool operator==(const Container&) const = default;
};

// `status.resize`, which Kubernetes 1.27 to 1.32 wrote.
enum class LegacyResize : std::uint8_t { kProposed, kInProgress, kDeferred, kInfeasible };

// A condition whose status is True, since 1.33.
struct ResizeCondition {
  std::string reason;   // pending: "Deferred", "Infeasible"; in progress: "" or "Error"
  std::string message;  // at most kLongestMessage
  std::optional<std::int64_t> observed_generation;

  bool operator==(const ResizeCondition&) const = default;
};
inline constexpr std::size_t kLongestMessage = 1024;

struct ResizeStatus {
  std::optional<LegacyResize> legacy;
  std::optional<ResizeCondition> pending;
  std::optional<ResizeCondition> in_progress;

  bool operator==(const ResizeStatus&) const = default;
};

// One entry of managedFields with subresource "resize": this manager has resized the pod and still
// owns a field of it. Whoever changes a value takes the field from all who owned it.
struct ResizedBy {
  std::string manager;
  std::optional<ApiTime> at;  // of its last change, of whatever field
  // Names of the containers whose limit has the value that this manager gave it.
  std::vector<std::string> memory_limits;
  std::vector<std::string> cpu_limits;

  bool operator==(const ResizedBy&) const = default;
};

struct Owner {
  std::string kind;
  std::string name;

  bool operator==(const Owner&) const = default;
};

struct Pod {
  PodIdentity id;
  std::string resource_version;  // opaque: compared for equality only
  std::string node_name;
  std::optional<Owner> owner;  // the controller, e.g. ReplicaSet
  TextMap labels;
  TextMap annotations;                     // only those of kept_annotation()
  std::optional<ApiTime> deleted_at;       // being deleted: the time by which it is to be gone
  std::optional<std::int64_t> generation;  // nullopt: Kubernetes before 1.33

  std::optional<std::int32_t> priority;
  std::string priority_class;
  RestartPolicy restart_policy = RestartPolicy::kAlways;
  bool windows = false;
  std::optional<Resources> resources;  // pod level
  std::string runtime_class;           // empty: the node's default
  Amounts overhead;                    // of that
  std::vector<Container> containers;   // kMain in their order, then kSidecar and kInit in theirs

  PodPhase phase = PodPhase::kUnknown;
  std::optional<QosClass> qos;
  std::optional<std::int64_t> observed_generation;  // nullopt: Kubernetes before 1.34
  ResizeStatus resize;
  std::optional<Resources> status_resources;  // pod level, in force
  std::optional<Amounts> allocated;           // pod level
  std::vector<ResizedBy> resized_by;          // as the server lists them

  bool operator==(const Pod&) const = default;
};

// Of that name; nullptr: none.
const Container* find_container(const Pod& pod, std::string_view name);

// The CPU that the scheduler has set aside for the pod: what its containers request together, or
// one that initializes it if that is more, and its overhead; 0 once it has ended.
// Source: the resource requests of init and sidecar containers in the Kubernetes documentation; all
// sidecars are counted beside each init container, also those that start after it.
MilliCpu requested_cpu(const Pod& pod);

// plimsoll.dev/..., <container>.plimsoll.dev/... and kubernetes.io/config.{hash,source,mirror}.
bool kept_annotation(std::string_view key);

// A static pod's copy in the API, which the API server refuses to resize.
bool is_mirror(const Pod& pod);

// The uid in the name of the pod's cgroup: of a mirror pod, that of the file it was made from.
std::string_view cgroup_uid(const Pod& pod);

// Of those who resized the pod, the one whose entry is newest; nullptr: nobody did. Entries of the
// same second count in their order, which is the alphabet's. Whose a limit is, this does not tell.
const ResizedBy* last_resized_by(const Pod& pod);

// Those who gave the container's limit the value that it has: several, where one has applied what
// was there; nobody, where it is untold.
using OwnedLimits = std::vector<std::string> ResizedBy::*;
std::vector<const ResizedBy*> limit_owners(const Pod& pod, std::string_view container,
                                           OwnedLimits limits);

// Whose value that is: whoever changed it last owns its field. The times of entries do not tell,
// for they are of any field, in seconds, of several clocks. What does not show: who writes under
// our name is taken for us; and what another actor stored is lost where our request for the same
// limit came right after it, before the watch.
enum class SetBy : std::uint8_t {
  kUs,
  kAnother,
  kUntold,  // who created the pod, or a server on which resizes are PATCHes of the pod itself
};
SetBy limit_set_by(const Pod& pod, std::string_view us, std::string_view container,
                   OwnedLimits limits);

// How far the pod's last resize has come, from whichever of the three generations of fields is
// there.
enum class ResizePhase : std::uint8_t {
  kNone,        // none under way, or done
  kProposed,    // the node has not looked at the newest spec yet
  kInProgress,  // accepted, being carried out
  kDeferred,    // refused for now; the node tries again
  kInfeasible,  // refused for good
  kError,       // accepted, but carrying it out fails
};
std::string_view to_string(ResizePhase phase);
ResizePhase resize_phase(const Pod& pod);

}  // namespace plimsoll::kube
