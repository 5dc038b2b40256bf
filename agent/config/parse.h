// SPDX-License-Identifier: Apache-2.0
//
// The configuration file. Every key is one row of the table in agent/config/key_table.cc: parsing,
// errors, `docs/config.md` and the defaults all come from it. A bad file is refused as a whole,
// with every error in it named.
#pragma once

#include <string>
#include <string_view>

#include "agent/config/config.h"
#include "base/result.h"

namespace plimsoll::agent {

// kMalformed: one line per error, "<file_name>:<line>: <key>: what was found, what is allowed".
Result<Config> parse_config(std::string_view text, std::string_view file_name);

// Blocks on the file. As parse_config(), or why the file cannot be read.
Result<Config> load_config(const std::string& path);

}  // namespace plimsoll::agent
