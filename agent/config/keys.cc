// SPDX-License-Identifier: Apache-2.0
#include "agent/config/keys.h"

#include <algorithm>
#include <numeric>
#include <type_traits>
#include <utility>

#include "agent/config/values.h"
#include "base/printable.h"

namespace plimsoll::agent {
namespace {

constexpr std::size_t kLongestName = 128;  // of a key that is compared with the known ones

template <typename T>
struct Inner {
  using Type = T;
};
template <>
struct Inner<std::optional<Bytes>> {
  using Type = Bytes;
};
template <>
struct Inner<std::optional<MilliCpu>> {
  using Type = MilliCpu;
};
template <>
struct Inner<NamespaceSizes> {
  using Type = Bytes;
};

// The type of what read_value() reads for a member.
template <typename MemberFunction>
using Read =
    typename Inner<std::remove_reference_t<std::invoke_result_t<MemberFunction, Config&>>>::Type;

ValueKind kind_of_key(const ConfigKey& key) {
  return std::visit([](auto member) { return kind_of(Read<decltype(member)>{}); }, key.member);
}

// What stands before kNamespacePart, with its dot; empty: the name is a key's whole name.
std::string_view prefix_of(const ConfigKey& key) {
  if (!key.name.ends_with(kNamespacePart)) return {};
  return key.name.substr(0, key.name.size() - kNamespacePart.size());
}

std::string_view last_part(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

template <typename T>
bool within(const ConfigKey& key, const T& value) {
  if constexpr (requires(const T& a, const T& b) { a <= b; }) {
    if (key.least.empty()) return true;
    T least{};
    T most{};
    return read_value(key.least, least) && read_value(key.most, most) && least <= value &&
           value <= most;
  } else {
    return true;
  }
}

void store(Bytes value, std::string_view name, NamespaceSizes& member) {
  member.insert_or_assign(std::string(last_part(name)), value);
}
template <typename T>
void store(const T& value, std::string_view, T& member) {
  member = value;
}
template <typename T>
void store(const T& value, std::string_view, std::optional<T>& member) {
  member = value;
}

}  // namespace

const ConfigKey* find_key(std::string_view name) {
  for (const ConfigKey& key : config_keys()) {
    if (key.name == name) return &key;
    const std::string_view prefix = prefix_of(key);
    if (!prefix.empty() && name.size() > prefix.size() && name.starts_with(prefix) &&
        name.find('.', prefix.size()) == std::string_view::npos) {
      return &key;
    }
  }
  return nullptr;
}

std::string nearest_key(std::string_view name) {
  if (name.size() > kLongestName) return "";
  std::size_t best = name.size() / 3 + 1;
  std::string found;
  for (const ConfigKey& key : config_keys()) {
    const std::string_view prefix = prefix_of(key);
    const std::string candidate =
        prefix.empty() ? std::string(key.name) : std::string(prefix).append(last_part(name));
    const bool same_word = prefix.empty() && last_part(key.name) == last_part(name);
    const std::size_t far = same_word ? 1 : edit_distance(candidate, name);
    if (far < best) {
      best = far;
      found = candidate;
    }
  }
  return found;
}

Result<void> set_key(const ConfigKey& key, std::string_view name, std::string_view text,
                     Config& config) {
  return std::visit(
      [&](auto member) -> Result<void> {
        const std::string range = key.least.empty() ? "" : "; allowed: " + allowed_text(key);
        if (!prefix_of(key).empty() && !is_dns_label(last_part(name))) {
          return fail(Code::kMalformed, in_quotes(last_part(name)) + " is no name of a namespace");
        }
        Read<decltype(member)> value{};
        const ValueKind kind = kind_of(value);
        if (text.size() > kind.longest || !is_printable(text)) {
          return fail(Code::kMalformed,
                      in_quotes(text) + " is not a " + std::string(kind.name) + range);
        }
        if (const Result<void> read = read_value(text, value); !read) {
          return fail(read.error().code, read.error().message + range);
        }
        if (!within(key, value)) {
          return fail(Code::kMalformed, in_quotes(text) + " is out of range" + range);
        }
        store(value, name, member(config));
        return {};
      },
      key.member);
}

std::optional<std::string> value_text(const ConfigKey& key, const Config& config) {
  // Members are reached through a Config that may be changed; this one is not.
  Config copy = config;
  return std::visit(
      [&](auto member) -> std::optional<std::string> {
        const auto& value = member(copy);
        using T = std::remove_cvref_t<decltype(value)>;
        if constexpr (std::is_same_v<T, NamespaceSizes>) {
          return std::nullopt;
        } else if constexpr (std::is_same_v<T, std::optional<Read<decltype(member)>>>) {
          if (!value) return std::nullopt;
          return text_of(*value);
        } else {
          return text_of(value);
        }
      },
      key.member);
}

std::string kind_text(const ConfigKey& key) { return std::string(kind_of_key(key).name); }

std::string allowed_text(const ConfigKey& key) {
  if (!key.least.empty()) return std::string(key.least) + " to " + std::string(key.most);
  std::string text;
  for (const std::string_view word : kind_of_key(key).words) {
    text.append(text.empty() ? "" : ", ").append(word);
  }
  return text;
}

std::vector<std::string_view> keys_for_next_start(const Config& before, const Config& after) {
  std::vector<std::string_view> names;
  for (const ConfigKey& key : config_keys()) {
    if (key.at_start && value_text(key, before) != value_text(key, after)) {
      names.push_back(key.name);
    }
  }
  return names;
}

}  // namespace plimsoll::agent
