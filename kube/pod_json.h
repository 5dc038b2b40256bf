// SPDX-License-Identifier: Apache-2.0
//
// A Pod out of the API's JSON. The parts that the agent does not read are not kept even while
// parsing; whatever the input, memory and nesting are bounded and nothing is thrown.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "kube/pod.h"

namespace plimsoll::kube {

// A pod beyond one of these is kMalformed. The API server itself keeps an object below 1.5 MiB.
inline constexpr std::size_t kLargestPod = 4 * kMiB;
inline constexpr std::size_t kMostContainers = 512;  // of all kinds together
inline constexpr std::size_t kMostLabels = 512;      // and as many annotations that we keep
inline constexpr std::size_t kMostValues = 65'536;   // of JSON that are kept while parsing
// Of the annotations that we keep: a longer value is cut, and those that come after so many bytes
// of keys and values, in the order of their keys, are not kept.
inline constexpr std::size_t kLongestAnnotation = kKiB;
inline constexpr std::size_t kMostAnnotationBytes = 32 * kKiB;
inline constexpr int kDeepestNesting = 64;

// kMalformed names the field. Text after the object is malformed too.
Result<Pod> parse_pod(std::string_view json);

// What can be said of a pod whose JSON is malformed or cut: the parts of its identity that come
// before the damage; what is missing is empty. `resource_version` too.
struct PodGlimpse {
  PodIdentity id;
  std::string resource_version;

  bool operator==(const PodGlimpse&) const = default;
};
PodGlimpse glimpse_pod(std::string_view json);

}  // namespace plimsoll::kube
