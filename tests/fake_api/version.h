// SPDX-License-Identifier: Apache-2.0
//
// What differs between the API servers that the fake can be: 1.27 to 1.36.
#pragma once

#include <string>

#include "base/result.h"

namespace plimsoll::test {

struct VersionRules {
  int minor = 36;
  std::string git_version = "v1.36.2";
  // InPlacePodVerticalScaling: alpha and off up to 1.32 (a fake of those has it on unless told
  // otherwise), beta and on in 1.33 and 1.34, locked on from 1.35.
  bool resize_enabled = true;

  bool has_resize_subresource() const { return resize_enabled && minor >= 32; }
  // The pod itself takes changed resources.
  bool pod_takes_resources() const { return resize_enabled && minor <= 31; }
  bool counts_generation() const { return minor >= 33; }
  // status.resize, instead of conditions.
  bool has_status_resize() const { return minor <= 32; }
  bool defaults_resize_policy() const { return resize_enabled && minor <= 32; }
  bool has_observed_generation() const { return minor >= 34; }
  // Memory limits may be neither lowered nor added unless that restarts the container.
  bool refuses_memory_decrease() const { return minor == 33; }
  bool resizes_sidecars() const { return minor >= 33; }
  bool resizes_init_containers() const { return minor >= 36; }
  bool resizes_pod_level() const { return minor >= 36; }
  bool checks_node_capacity() const { return minor >= 36; }
  bool checks_declared_features() const { return minor >= 36; }
};

// "1.27", "1.32", …; kMalformed names what there is.
Result<VersionRules> version_rules(const std::string& version);

}  // namespace plimsoll::test
