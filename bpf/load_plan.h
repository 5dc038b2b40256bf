// SPDX-License-Identifier: Apache-2.0
//
// plan_load: from what the kernel can do to the tier that is loaded, with the reason and the cure
// for each thing that keeps it from a better one. Pure; printed by doctor and logged at start.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/features.h"
#include "bpf/memory_programs.h"

namespace plimsoll::bpf {

// One thing that a tier needs.
struct Reason {
  std::string_view id;    // NamedAnswer::id
  std::string_view what;  // NamedAnswer::what
  std::vector<Tier> needed_by;
  bool present = false;
  std::string why;   // when it is not
  std::string cure;  // a command or a kernel option, when it is not

  bool operator==(const Reason&) const = default;
};

struct LoadPlan {
  Tier tier = Tier::kC;  // what to load: the best possible one, or the wanted one if that is lower
  Tier possible = Tier::kC;     // the best that this kernel gives
  std::vector<Reason> reasons;  // one for each feature, present or not

  bool operator==(const LoadPlan&) const = default;
};

LoadPlan plan_load(const Features& features, std::optional<Tier> wanted);

// What a tier promises and what it does not, in two or three sentences for people.
std::string_view guarantee_of(Tier tier);

}  // namespace plimsoll::bpf
