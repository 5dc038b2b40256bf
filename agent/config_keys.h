// SPDX-License-Identifier: Apache-2.0
//
// The table of configuration keys: name, kind, default, range, meaning. Used by agent/config and
// by the test that compares docs/config.md with it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "agent/config.h"

namespace plimsoll::agent {

// How to reach a key's value in a Config; the type decides how its text is read.
using Member = std::variant<Bytes& (*)(Config&), std::optional<Bytes>& (*)(Config&),
                            Nanoseconds& (*)(Config&), double& (*)(Config&),
                            std::uint32_t& (*)(Config&), std::optional<bpf::Tier>& (*)(Config&)>;

struct ConfigKey {
  std::string_view name;
  Member member;
  // The range, both ends allowed, written as a value of the key is; empty: no range.
  std::string_view least;
  std::string_view most;
  // What an absent value means, for keys without a fixed default.
  std::string_view otherwise;
  std::string_view summary;
};

std::span<const ConfigKey> config_keys();

// Reads `text` into the key's member. The error says what was found and what is allowed.
Result<void> set_key(const ConfigKey& key, std::string_view text, Config& config);

// "64Mi", "200ms", "0.85": what set_key() reads back as the same value; nothing when absent.
std::optional<std::string> value_text(const ConfigKey& key, Config config);

// The whole of docs/config.md.
std::string render_config_docs();

}  // namespace plimsoll::agent
