// SPDX-License-Identifier: Apache-2.0
//
// The table of configuration keys: one row each, from which files are read, errors are said and
// docs/config.md is written. Used through agent/config/keys.h.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/config/config.h"

namespace plimsoll::agent {

// A key whose last part is the name of a namespace, one value for each.
using NamespaceSizes = std::map<std::string, Bytes, std::less<>>;
inline constexpr std::string_view kNamespacePart = "<namespace>";

// How to reach a key's value in a Config; the type decides how its text is read.
using Member =
    std::variant<Bytes& (*)(Config&), std::optional<Bytes>& (*)(Config&),
                 std::optional<MilliCpu>& (*)(Config&), Nanoseconds& (*)(Config&),
                 double& (*)(Config&), std::uint32_t& (*)(Config&), bool& (*)(Config&),
                 std::optional<bpf::Tier>& (*)(Config&), Actuation& (*)(Config&),
                 Coexist& (*)(Config&), LogLevel& (*)(Config&), Selector& (*)(Config&),
                 NamespaceList& (*)(Config&), ListenAddress& (*)(Config&),
                 std::vector<AnnouncedCommand>& (*)(Config&), NamespaceSizes& (*)(Config&)>;

struct ConfigKey {
  std::string_view name;  // ends in kNamespacePart where each namespace has a value
  Member member;
  // The range, both ends allowed, written as a value of the key is; empty: no range.
  std::string_view least;
  std::string_view most;
  // What an absent value means, for keys without a fixed default.
  std::string_view otherwise;
  std::string_view summary;
  bool at_start = false;  // a change of the file counts from the next start on only
};

// Those of both subcommands first, then those that only the node agent reads.
std::span<const ConfigKey> config_keys();
std::span<const ConfigKey> node_config_keys();

}  // namespace plimsoll::agent
