// SPDX-License-Identifier: Apache-2.0
//
// policy_for(): may a pod be managed, and how far may each of its containers go? What the operator
// configured and what the pod's annotations ask for go in, a policy with its reasons and problems
// comes out. Pure. Called by the slow loop when a pod or the configuration has changed.
//
// Annotations only ever narrow what the operator allows; docs/pods.md has them all.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/node_config.h"
#include "agent/selector.h"
#include "base/units.h"

namespace plimsoll::agent {

struct Config;

enum class Qos : std::uint8_t { kGuaranteed, kBurstable, kBestEffort };

struct ContainerFacts {
  std::string name;
  // As the pod's author declared them: of the spec before any raise of ours.
  std::optional<Bytes> memory_limit;
  std::optional<Bytes> memory_request;
  bool init = false;     // an init container that ends; a sidecar is not one
  bool restart = false;  // its resizePolicy wants a restart for a memory resize
  bool claims = false;   // holds resource claims (DRA), which the API refuses to resize

  bool operator==(const ContainerFacts&) const = default;
};

struct PodFacts {
  std::string name_space;
  Labels labels;
  Labels annotations;
  Qos qos = Qos::kBurstable;
  bool mirror = false;  // of a static pod, which the API cannot resize
  std::vector<ContainerFacts> containers;

  bool operator==(const PodFacts&) const = default;
};

// Why a pod or a container is managed or not. Log lines, `explain` and metric labels are printed
// from it.
enum class Managed : std::uint8_t {
  kYes,
  kNamespace,      // the operator's pods.namespaces leave it out
  kSelector,       // the operator's pods.selector leaves it out
  kNotOptedIn,     // nothing on it says plimsoll.dev/enabled: "true"
  kOptedOut,       // plimsoll.dev/enabled: "false" on it
  kBadAnnotation,  // plimsoll.dev/enabled says neither
  kBestEffort,     // has no limits, and may never get one
  kNoLimit,        // the container declares no memory limit: nothing to raise
  kInit,           // an init container that ends
  kCannotResize,   // the API cannot resize it, and writing to the cgroup is not allowed
  kNoContainer,    // none of the pod's containers is managed
};
std::string_view to_string(Managed managed);

struct ContainerPolicy {
  std::string name;
  Managed managed = Managed::kYes;
  // Of a managed one only:
  Bytes floor;
  Bytes ceiling;  // equal to the declared limit or less: it may not grow
  Nanoseconds look_ahead{};
  Actuation actuation = Actuation::kResize;
  bool dry_run = false;  // decide and report, change nothing

  bool operator==(const ContainerPolicy&) const = default;
};

// Something about an annotation that its author has to know, for an Event on the pod.
struct PolicyProblem {
  std::string key;   // the annotation's
  std::string text;  // what was found, what is allowed, and what is done instead

  bool operator==(const PolicyProblem&) const = default;
};

struct PodPolicy {
  Managed managed = Managed::kYes;
  std::vector<ContainerPolicy> containers;  // in the order of the facts; empty when not managed
  std::vector<PolicyProblem> problems;

  bool operator==(const PodPolicy&) const = default;
};

PodPolicy policy_for(const PodFacts& pod, const Config& config);

}  // namespace plimsoll::agent
