// SPDX-License-Identifier: Apache-2.0
//
// policy_for(): may a pod be managed, and how far may each of its containers go? What the operator
// configured and what the pod's annotations ask for go in, a policy with its reasons and problems
// comes out. Pure. Called by the slow loop when a pod or the configuration has changed.
//
// Annotations only ever narrow what the operator allows, and one that cannot be read is taken for
// the narrowest that it could mean; docs/pods.md has them all.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/config.h"
#include "agent/config/node_config.h"
#include "agent/config/selector.h"
#include "agent/pods/annotations.h"
#include "agent/policy/announced_work.h"
#include "base/units.h"
#include "kube/pod.h"

namespace plimsoll::agent {

struct ContainerFacts {
  std::string name;
  // As the pod's author declared them: of the spec before any raise of ours.
  std::optional<Bytes> memory_limit;
  std::optional<Bytes> memory_request;
  std::optional<MilliCpu> cpu_limit;
  std::optional<MilliCpu> cpu_request;
  bool init = false;  // an init container that ends; a sidecar is not one
  // A resize by the API would restart it, or is refused whatever is asked for.
  bool only_cgroup = false;
  bool cpu_only_cgroup = false;  // the same of its CPU limit

  bool operator==(const ContainerFacts&) const = default;
};

struct PodFacts {
  std::string namespace_name;
  Labels labels;
  Labels annotations;
  bool best_effort = false;
  bool guaranteed = false;
  // Of the pod as a whole, where its spec has such: no container of it gets more.
  std::optional<Bytes> memory_limit = {};
  std::optional<MilliCpu> cpu_limit = {};
  std::string sandbox = {};  // the RuntimeClass, where what runs has a kernel of its own
  std::vector<ContainerFacts> containers;

  bool operator==(const PodFacts&) const = default;
};

// Limits and requests are those of the spec; whoever knows of earlier raises puts the declared ones
// in their place.
PodFacts pod_facts(const kube::Pod& pod);

// Why a pod or a container is managed or not. Log lines, `explain` and metric labels are printed
// from it.
enum class Managed : std::uint8_t {
  kYes,
  kNamespace,      // the operator's pods.namespaces leave it out
  kSelector,       // the operator's pods.selector leaves it out
  kBestEffort,     // has no limits, and may never get one
  kNotOptedIn,     // nothing on it says plimsoll.dev/enabled: "true"
  kOptedOut,       // plimsoll.dev/enabled: "false" on it
  kBadAnnotation,  // plimsoll.dev/enabled says neither
  kNoLimit,        // the container declares no memory limit: nothing to raise
  kInit,           // an init container that ends
  kCannotResize,   // only its cgroup can be written, and that is not allowed
  kNoContainer,    // of the pod: none of its containers is managed, for several reasons
};
std::string_view to_string(Managed managed);

// How far the CPU limit of a container may go.
struct ContainerCpuPolicy {
  MilliCpu floor;     // as declared
  MilliCpu ceiling;   // of raises for throttling, not below the floor; equal to it: none
  MilliCpu promised;  // its request
  MilliCpu boost;     // the limit while it starts; not above the floor: as always
  Nanoseconds boost_for{};

  // Not raised any more: what was raised goes back to the floor.
  bool leaves() const { return most() == floor; }
  // The most that it may ever get.
  MilliCpu most() const { return std::max({floor, ceiling, boost}); }
  bool operator==(const ContainerCpuPolicy&) const = default;
};

struct ContainerPolicy {
  std::string name;
  Managed managed = Managed::kYes;
  // It may not be raised any more, whatever `managed` says, and has been: see leaving_policy().
  bool leaving = false;
  // The rest is of one that is managed or leaves.
  Bytes floor;
  Bytes ceiling;  // not below the declared limit; equal to it: may not grow
  Nanoseconds look_ahead{};
  Actuation actuation = Actuation::kResize;
  bool dry_run = false;
  bool unasked = false;  // may be written also where the API server cannot be asked
  std::vector<AnnouncedCommand> announce;
  std::optional<ContainerCpuPolicy> cpu;  // absent: its CPU limit is left alone

  bool operator==(const ContainerPolicy&) const = default;
};

struct PodPolicy {
  Managed managed = Managed::kYes;          // at least one container is
  std::vector<ContainerPolicy> containers;  // in the order of the facts
  std::vector<PolicyProblem> problems;      // each once; none of a pod that is not selected

  bool operator==(const PodPolicy&) const = default;
};

PodPolicy policy_for(const PodFacts& pod, const Config& config);

// Of a container that was raised and may not be any more: nothing is raised, and what was goes back
// to what is declared, as far as its usage allows. By whatever way, for its own policy says none.
// `declared_cpu`: absent where its CPU limit was left alone.
ContainerPolicy leaving_policy(std::string name, Managed managed, Bytes declared,
                               std::optional<MilliCpu> declared_cpu);
// The same of its CPU limit alone.
ContainerCpuPolicy leaving_cpu(MilliCpu declared);

}  // namespace plimsoll::agent
