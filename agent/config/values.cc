// SPDX-License-Identifier: Apache-2.0
#include "agent/config/values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "base/printable.h"

namespace plimsoll::agent {
namespace {

constexpr std::array<std::string_view, 2> kBoolWords{"false", "true"};
constexpr std::array<std::string_view, 3> kTierWords{"auto", "A", "C"};
// Long enough for any list that a person keeps by hand.
constexpr std::size_t kLongestList = 4096;
constexpr std::size_t kLongestAddress = 64;

// The place of `text` among `words`.
Result<std::size_t> index_of(std::string_view text, std::span<const std::string_view> words) {
  const auto found = std::find(words.begin(), words.end(), text);
  if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
  std::string expected;
  for (const std::string_view word : words) {
    expected.append(expected.empty() ? "" : ", ").append(word);
  }
  return fail(Code::kMalformed, in_quotes(text) + " is none of " + expected);
}

template <typename Enum>
Result<void> read_word(std::string_view text, std::span<const std::string_view> words,
                       Enum& value) {
  return index_of(text, words).map([&](std::size_t at) { value = static_cast<Enum>(at); });
}

template <typename T>
Result<void> store(const Result<T>& parsed, T& value) {
  if (!parsed) return tl::unexpected<Error>(parsed.error());
  value = *parsed;
  return {};
}

std::string number_text(double value) {
  std::array<char, 64> text{};
  const auto [end, error] =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  return error == std::errc{} ? std::string(text.data(), end) : std::string();
}

template <typename T>
bool is_whole(std::string_view text, T& value) {
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  return error == std::errc{} && end == last;
}

}  // namespace

ValueKind kind_of(const Bytes&) { return {"size", 32, {}}; }
Result<void> read_value(std::string_view text, Bytes& value) {
  return store(parse_bytes(text), value);
}
std::string text_of(const Bytes& value) {
  constexpr std::array<std::string_view, 5> kUnits{"", "Ki", "Mi", "Gi", "Ti"};
  std::uint64_t count = value.value;
  std::size_t unit = 0;
  while (count != 0 && count % 1024 == 0 && unit + 1 < kUnits.size()) {
    count /= 1024;
    ++unit;
  }
  return std::to_string(count) + std::string(kUnits.at(unit));
}

ValueKind kind_of(const MilliCpu&) { return {"number of CPUs", 32, {}}; }
Result<void> read_value(std::string_view text, MilliCpu& value) {
  return store(parse_cpus(text), value);
}
std::string text_of(const MilliCpu& value) { return to_string(value); }

ValueKind kind_of(const Nanoseconds&) { return {"duration", 32, {}}; }
Result<void> read_value(std::string_view text, Nanoseconds& value) {
  return store(parse_duration(text), value);
}
std::string text_of(const Nanoseconds& value) {
  const std::int64_t count = value.count();
  constexpr std::int64_t kSecond = 1'000'000'000;
  if (count % (60 * kSecond) == 0 && count != 0) {
    return std::to_string(count / (60 * kSecond)) + "m";
  }
  if (count % kSecond == 0) return std::to_string(count / kSecond) + "s";
  return number_text(static_cast<double>(count) / 1e6) + "ms";
}

ValueKind kind_of(const double&) { return {"number", 32, {}}; }
Result<void> read_value(std::string_view text, double& value) {
  double read = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, read, std::chars_format::fixed);
  if (error != std::errc{} || end != last || !std::isfinite(read)) {
    return fail(Code::kMalformed, in_quotes(text) + " is not a decimal number such as 0.85");
  }
  value = read;
  return {};
}
std::string text_of(const double& value) { return number_text(value); }

ValueKind kind_of(const std::uint32_t&) { return {"whole number", 32, {}}; }
Result<void> read_value(std::string_view text, std::uint32_t& value) {
  std::uint32_t read = 0;
  if (!is_whole(text, read)) {
    return fail(Code::kMalformed, in_quotes(text) + " is not a whole number");
  }
  value = read;
  return {};
}
std::string text_of(const std::uint32_t& value) { return std::to_string(value); }

// The other spellings of YAML 1.1 (yes, on ...) are refused: they mean other things elsewhere.
ValueKind kind_of(const bool&) { return {"word", 32, kBoolWords}; }
Result<void> read_value(std::string_view text, bool& value) {
  return index_of(text, kBoolWords).map([&](std::size_t at) { value = at == 1; });
}
std::string text_of(const bool& value) { return value ? "true" : "false"; }

ValueKind kind_of(const Actuation&) { return {"word", 32, kActuationWords}; }
Result<void> read_value(std::string_view text, Actuation& value) {
  return read_word(text, kActuationWords, value);
}
std::string text_of(const Actuation& value) { return std::string(to_string(value)); }

ValueKind kind_of(const Coexist&) { return {"word", 32, kCoexistWords}; }
Result<void> read_value(std::string_view text, Coexist& value) {
  return read_word(text, kCoexistWords, value);
}
std::string text_of(const Coexist& value) { return std::string(to_string(value)); }

ValueKind kind_of(const LogLevel&) { return {"word", 32, kLogLevelWords}; }
Result<void> read_value(std::string_view text, LogLevel& value) {
  return read_word(text, kLogLevelWords, value);
}
std::string text_of(const LogLevel& value) { return std::string(to_string(value)); }

ValueKind kind_of(const std::optional<bpf::Tier>&) { return {"word", 32, kTierWords}; }
Result<void> read_value(std::string_view text, std::optional<bpf::Tier>& value) {
  if (text == "B") {
    return fail(Code::kMalformed, "there is no tier B any more: C takes its place, or auto");
  }
  constexpr std::array<std::optional<bpf::Tier>, 3> kTiers{std::nullopt, bpf::Tier::kA,
                                                           bpf::Tier::kC};
  return index_of(text, kTierWords).map([&](std::size_t at) { value = kTiers.at(at); });
}
std::string text_of(const std::optional<bpf::Tier>& value) {
  return std::string(kTierWords.at(value ? static_cast<std::size_t>(*value) + 1 : 0));
}

ValueKind kind_of(const Selector&) { return {"label selector", kLongestList, {}}; }
Result<void> read_value(std::string_view text, Selector& value) {
  return store(Selector::parse(text), value);
}
std::string text_of(const Selector& value) { return value.text(); }

ValueKind kind_of(const NamespaceList&) { return {"list of names", kLongestList, {}}; }
Result<void> read_value(std::string_view text, NamespaceList& value) {
  return store(NamespaceList::parse(text), value);
}
std::string text_of(const NamespaceList& value) { return value.text(); }

ValueKind kind_of(const ListenAddress&) { return {"address", kLongestAddress, {}}; }
Result<void> read_value(std::string_view text, ListenAddress& value) {
  if (text == "off") {
    value = {};
    return {};
  }
  const auto malformed = [&] {
    return fail(
        Code::kMalformed,
        in_quotes(text) + R"( is not an address such as ":9464", "127.0.0.1:9464" or "off")");
  };
  const std::size_t colon = text.rfind(':');
  std::uint16_t port = 0;
  if (colon == std::string_view::npos || !is_whole(text.substr(colon + 1), port) || port == 0) {
    return malformed();
  }
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']') && host.size() > 2;
  if (bracketed) host = host.substr(1, host.size() - 2);
  const bool plain = std::all_of(host.begin(), host.end(), [&](char c) {
    const bool digit_or_letter =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return digit_or_letter || c == '.' || c == '-' || (bracketed && c == ':');
  });
  if (!plain) return malformed();
  value = {.host = std::string(host), .port = port};
  return {};
}
std::string text_of(const ListenAddress& value) {
  if (value.port == 0) return "off";
  const bool bracketed = value.host.find(':') != std::string::npos;
  return (bracketed ? "[" + value.host + "]" : value.host) + ":" + std::to_string(value.port);
}

ValueKind kind_of(const std::vector<AnnouncedCommand>&) {
  return {"list of commands", kLongestList, {}};
}
Result<void> read_value(std::string_view text, std::vector<AnnouncedCommand>& value) {
  return store(parse_announced(text), value);
}
std::string text_of(const std::vector<AnnouncedCommand>& value) {
  std::string text;
  for (const AnnouncedCommand& command : value) {
    text.append(text.empty() ? "" : ",").append(command.name);
    if (command.size) text.append("=").append(text_of(*command.size));
  }
  return text;
}

}  // namespace plimsoll::agent
