// SPDX-License-Identifier: Apache-2.0
//
// The configuration of `plimsoll run` and `plimsoll agent` as values; agent/config/parse.h reads it
// from a file.
#pragma once

#include <chrono>
#include <optional>

#include "agent/config/node_config.h"
#include "agent/policy/policy.h"
#include "base/units.h"
#include "bpf/memory_programs.h"

namespace plimsoll::agent {

struct Config {
  Policy policy;
  bpf::HoldBounds hold;
  Nanoseconds tick = std::chrono::seconds(1);
  std::optional<bpf::Tier> tier;  // absent: the best that the kernel allows
  NodeConfig node;                // read by `plimsoll agent` only
};

}  // namespace plimsoll::agent
