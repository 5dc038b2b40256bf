// SPDX-License-Identifier: Apache-2.0
//
// The kinds of values that a configuration key can have: how their text is read, written and
// described. Used by agent/config/keys only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/node_config.h"
#include "agent/config/selector.h"
#include "agent/policy/announced_work.h"
#include "base/result.h"
#include "base/units.h"
#include "bpf/memory_programs.h"

namespace plimsoll::agent {

// What people call a kind, how long its text can be, and its words where it has only a few.
struct ValueKind {
  std::string_view name;
  std::size_t longest = 32;
  std::span<const std::string_view> words;
};

// One overload of each function per kind. The error of read_value() says what was found and what
// was expected; it changes `value` only when there is none. text_of() is what it reads back as the
// same value.
ValueKind kind_of(const Bytes& value);
Result<void> read_value(std::string_view text, Bytes& value);
std::string text_of(const Bytes& value);

ValueKind kind_of(const MilliCpu& value);
Result<void> read_value(std::string_view text, MilliCpu& value);
std::string text_of(const MilliCpu& value);

ValueKind kind_of(const Nanoseconds& value);
Result<void> read_value(std::string_view text, Nanoseconds& value);
std::string text_of(const Nanoseconds& value);

ValueKind kind_of(const double& value);
Result<void> read_value(std::string_view text, double& value);
std::string text_of(const double& value);

ValueKind kind_of(const std::uint32_t& value);
Result<void> read_value(std::string_view text, std::uint32_t& value);
std::string text_of(const std::uint32_t& value);

ValueKind kind_of(const bool& value);
Result<void> read_value(std::string_view text, bool& value);
std::string text_of(const bool& value);

ValueKind kind_of(const Actuation& value);
Result<void> read_value(std::string_view text, Actuation& value);
std::string text_of(const Actuation& value);

ValueKind kind_of(const Coexist& value);
Result<void> read_value(std::string_view text, Coexist& value);
std::string text_of(const Coexist& value);

ValueKind kind_of(const LogLevel& value);
Result<void> read_value(std::string_view text, LogLevel& value);
std::string text_of(const LogLevel& value);

// "auto" is the absent tier.
ValueKind kind_of(const std::optional<bpf::Tier>& value);
Result<void> read_value(std::string_view text, std::optional<bpf::Tier>& value);
std::string text_of(const std::optional<bpf::Tier>& value);

ValueKind kind_of(const Selector& value);
Result<void> read_value(std::string_view text, Selector& value);
std::string text_of(const Selector& value);

ValueKind kind_of(const NamespaceList& value);
Result<void> read_value(std::string_view text, NamespaceList& value);
std::string text_of(const NamespaceList& value);

// "off" is port 0.
ValueKind kind_of(const ListenAddress& value);
Result<void> read_value(std::string_view text, ListenAddress& value);
std::string text_of(const ListenAddress& value);

ValueKind kind_of(const std::vector<AnnouncedCommand>& value);
Result<void> read_value(std::string_view text, std::vector<AnnouncedCommand>& value);
std::string text_of(const std::vector<AnnouncedCommand>& value);

}  // namespace plimsoll::agent
