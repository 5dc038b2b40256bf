// SPDX-License-Identifier: Apache-2.0
//
// `plimsoll config check FILE`, `explain [KEY]` and `defaults`: for whoever writes a configuration.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

namespace plimsoll::agent {

struct ConfigOptions {
  enum class Action : std::uint8_t { kCheck, kExplain, kDefaults };
  Action action = Action::kCheck;
  std::string file;  // kCheck
  std::string key;   // kExplain: a key or a section; empty: all
};

// kCheck writes every error to `errors`, one per line. kDefaults writes a file that changes
// nothing. Returns the exit status: 0, or 1 for a file that is refused or a key that there is not.
int config_main(const ConfigOptions& options, std::ostream& out, std::ostream& errors);

}  // namespace plimsoll::agent
