// SPDX-License-Identifier: Apache-2.0
//
// The annotations that a pod's author can set: which there are, and those of one pod sorted by
// container. `plimsoll.dev/<key>` holds for all containers of the pod and
// `<container>.plimsoll.dev/<key>` for one: a container's name is a DNS label, so the prefix is a
// DNS subdomain whatever the name. Pure; used by agent/pods/pod_policy.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/config/selector.h"

namespace plimsoll::agent {

inline constexpr std::string_view kAnnotationPrefix = "plimsoll.dev";

enum class Annotation : std::uint8_t {
  kEnabled,
  kMemoryCeiling,
  kMemoryFloor,
  kLookAhead,
  kCpuCeiling,
  kStartupBoost,
  kStartupTime,
  kDryRun,
  kActuation,
  kAnnounce,
};
inline constexpr std::size_t kAnnotations = 10;
// The part behind the slash: "memory-ceiling".
std::string_view to_string(Annotation key);

// What docs/pods.md says of one.
struct AnnotationDoc {
  Annotation key = Annotation::kEnabled;
  std::string_view value;    // how it is written
  std::string_view meaning;  // and what is allowed
  std::string_view when_bad;
};
std::span<const AnnotationDoc> annotation_docs();
// The whole of docs/pods.md.
std::string render_annotation_docs();

// Something about an annotation that its author has to know, for an Event on the pod.
struct PolicyProblem {
  std::string key;   // the annotation's whole name
  std::string text;  // what was found, what is allowed, and what is done instead

  bool operator==(const PolicyProblem&) const = default;
};
inline constexpr std::size_t kMostProblems = 20;  // of one pod; more tell nobody more

struct FoundAnnotation {
  std::string name;  // whole, as the author wrote it
  std::string value;

  bool operator==(const FoundAnnotation&) const = default;
};

// Those that hold for the pod or for one container of it.
class AnnotationSet {
 public:
  const std::optional<FoundAnnotation>& get(Annotation key) const {
    return found_.at(static_cast<std::size_t>(key));
  }
  void set(Annotation key, FoundAnnotation found) {
    found_.at(static_cast<std::size_t>(key)) = std::move(found);
  }

 private:
  std::array<std::optional<FoundAnnotation>, kAnnotations> found_;
};

struct PodAnnotations {
  AnnotationSet pod;
  std::vector<AnnotationSet> containers;  // in the order of the names
  std::vector<PolicyProblem> problems;    // keys that we do not know, containers that the pod lacks

  // The container's own before the pod's; null: neither says anything.
  const FoundAnnotation* get(std::size_t container, Annotation key) const;
};

PodAnnotations sort_annotations(const Labels& annotations,
                                std::span<const std::string> container_names);

// "true", "false"; nothing else, so that nobody has to guess.
std::optional<bool> parse_yes_no(std::string_view text);

}  // namespace plimsoll::agent
