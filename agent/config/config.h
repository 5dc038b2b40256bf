// SPDX-License-Identifier: Apache-2.0
//
// The configuration file of `plimsoll run` and `plimsoll agent`. Every key is one row of the table
// in agent/config/keys.cc: parsing, errors, `docs/config.md` and the defaults all come from it. A
// bad file is refused as a whole, with every error in it named.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "agent/config/node_config.h"
#include "agent/policy/decide.h"
#include "base/result.h"
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

// kMalformed: one line per error, "<file_name>:<line>: <key>: what was found, what is allowed".
Result<Config> parse_config(std::string_view text, std::string_view file_name);

// Blocks on the file. As parse_config(), or why the file cannot be read.
Result<Config> load_config(const std::string& path);

}  // namespace plimsoll::agent
