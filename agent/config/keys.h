// SPDX-License-Identifier: Apache-2.0
//
// The table of configuration keys: name, kind, default, range, meaning. Used by agent/config,
// agent/commands/config and by the test that compares docs/config.md with it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/config/config.h"
#include "agent/config/key_table.h"

namespace plimsoll::agent {

// The row for a name in a file: "tick", "budget.namespaces.dev".
const ConfigKey* find_key(std::string_view name);
// The name in a file that was probably meant by one that is no key: a few letters off, or the right
// word in another section. Empty: none is near.
std::string nearest_key(std::string_view name);

// Reads `text` into the member of `key`, which `name` was found as. The error says what was found
// and what is allowed.
Result<void> set_key(const ConfigKey& key, std::string_view name, std::string_view text,
                     Config& config);

// "64Mi", "200ms", "0.85": what set_key() reads back as the same value; nothing when absent.
std::optional<std::string> value_text(const ConfigKey& key, const Config& config);
// "size", "label selector".
std::string kind_text(const ConfigKey& key);
// "1Mi to 1Ti", "yield, share"; empty: the meaning tells.
std::string allowed_text(const ConfigKey& key);

// The keys whose values differ and count from the next start on only.
std::vector<std::string_view> keys_for_next_start(const Config& before, const Config& after);

}  // namespace plimsoll::agent
