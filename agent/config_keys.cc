// SPDX-License-Identifier: Apache-2.0
#include "agent/config_keys.h"

#include <array>
#include <charconv>
#include <cmath>
#include <type_traits>

#include "agent/settings.h"

namespace plimsoll::agent {
namespace {

MemoryPolicy& memory(Config& config) { return config.policy.memory; }

// A captureless lambda as the function pointer that its return type names.
template <typename T>
constexpr T& (*at(T& (*member)(Config&)))(Config&) {
  return member;
}

const std::array kKeys{
    ConfigKey{"memory.watermark",
              at<double>([](Config& c) -> double& { return memory(c).watermark; }), "0.5", "0.98",
              "",
              "Share of the limit that, once what cannot be reclaimed rises over it, is an event."},
    ConfigKey{"memory.horizon",
              at<Nanoseconds>([](Config& c) -> Nanoseconds& { return memory(c).horizon; }), "1ms",
              "60s", "",
              "Grow when, at its growth rate, a container is at its limit sooner than this."},
    ConfigKey{"memory.look_ahead",
              at<Nanoseconds>([](Config& c) -> Nanoseconds& { return memory(c).look_ahead; }),
              "1ms", "5m", "", "A grant covers the measured growth rate for this long."},
    ConfigKey{"memory.step", at<Bytes>([](Config& c) -> Bytes& { return memory(c).step; }), "1Mi",
              "1Ti", "", "The smallest grant."},
    ConfigKey{"memory.step_ratio",
              at<double>([](Config& c) -> double& { return memory(c).step_ratio; }), "0", "4", "",
              "A grant is also at least this share of the limit."},
    ConfigKey{"memory.step_ratio_max",
              at<double>([](Config& c) -> double& { return memory(c).step_ratio_max; }), "0", "16",
              "", "What a measured growth rate asks for is granted up to this share of the limit."},
    ConfigKey{"memory.round_to", at<Bytes>([](Config& c) -> Bytes& { return memory(c).round_to; }),
              "64Ki", "1Gi", "", "New limits are multiples of this; at most `memory.step`."},
    ConfigKey{"memory.shrink_after",
              at<Nanoseconds>([](Config& c) -> Nanoseconds& { return memory(c).shrink_after; }),
              "1s", "24h", "",
              "How long a container must have stayed below its limit before the limit goes down."},
    ConfigKey{"memory.shrink_below",
              at<double>([](Config& c) -> double& { return memory(c).shrink_below; }), "0.1",
              "0.95", "",
              "The limit goes down only when the peak of that time stayed under this share of it."},
    ConfigKey{"memory.shrink_margin",
              at<double>([](Config& c) -> double& { return memory(c).shrink_margin; }), "0", "1",
              "", "What is left above that peak, as a share of it."},
    ConfigKey{"memory.shrink_backoff_max",
              at<double>([](Config& c) -> double& { return memory(c).shrink_backoff_max; }), "1",
              "1024", "",
              "A shrink that was followed by growth doubles `memory.shrink_after` for that "
              "container, up to this factor."},
    ConfigKey{"memory.leak.grants",
              at<std::uint32_t>([](Config& c) -> std::uint32_t& { return memory(c).leak_grants; }),
              "1", "1000", "", "A leak has had at least this many grants ..."},
    ConfigKey{"memory.leak.window",
              at<Nanoseconds>([](Config& c) -> Nanoseconds& { return memory(c).leak_window; }),
              "1s", "168h", "", "... over at least this long ..."},
    ConfigKey{"memory.leak.dip",
              at<double>([](Config& c) -> double& { return memory(c).leak_dip; }), "0.001", "0.5",
              "",
              "... and never fell by more than this share of its peak, was never flat, and did not "
              "come back to pages that it had lost. A leak is not fed any more."},
    ConfigKey{
        "memory.thrash_stall",
        at<double>([](Config& c) -> double& { return memory(c).thrash_stall; }), "0.01", "0.95", "",
        "Share of time stalled on memory that, with pages coming back, means that the working "
        "set does not fit."},
    ConfigKey{"hold.door", at<Nanoseconds>([](Config& c) -> Nanoseconds& { return c.hold.door; }),
              "0s", "1s", "", "How long the OOM killer waits for a grant; 0s: it does not."},
    ConfigKey{
        "hold.slice", at<Nanoseconds>([](Config& c) -> Nanoseconds& { return c.hold.slice; }), "0s",
        "10ms", "",
        "How long an allocation waits for a grant after reclaim freed nothing; 0s: not at all."},
    ConfigKey{"hold.budget",
              at<Nanoseconds>([](Config& c) -> Nanoseconds& { return c.hold.budget_per_second; }),
              "0s", "1s", "", "Longest wait per container and second, all its tasks together."},
    ConfigKey{"budget.reserve", at<std::optional<Bytes>>([](Config& c) -> std::optional<Bytes>& {
                return c.policy.budget.reserve;
              }),
              "0", "1Ti", "5 % of the node's memory, at least 64Mi",
              "Available memory of the node that is never given away."},
    ConfigKey{"budget.limit", at<std::optional<Bytes>>([](Config& c) -> std::optional<Bytes>& {
                return c.policy.budget.limit;
              }),
              "0", "1Ti", "what the node has available",
              "The most that all grants together may stand above all floors."},
    ConfigKey{"tick", at<Nanoseconds>([](Config& c) -> Nanoseconds& { return c.tick; }), "100ms",
              "60s", "", "How often limits are lowered, budgets counted and events made up for."},
    ConfigKey{"tier", at<std::optional<bpf::Tier>>([](Config& c) -> std::optional<bpf::Tier>& {
                return c.tier;
              }),
              "", "", "auto",
              "What of the kernel is used: `auto` takes the best that it allows, `A` BPF with the "
              "hold, `B` BPF tracepoints, `C` no BPF. A tier that the kernel refuses is an error."},
};

template <typename T>
Result<T> parse(std::string_view text);

template <>
Result<Bytes> parse<Bytes>(std::string_view text) {
  return parse_bytes(text);
}
template <>
Result<Nanoseconds> parse<Nanoseconds>(std::string_view text) {
  return parse_duration(text);
}
template <>
Result<double> parse<double>(std::string_view text) {
  double value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value, std::chars_format::fixed);
  if (error != std::errc{} || end != last || !std::isfinite(value)) {
    return fail(Code::kMalformed, quoted(text) + " is not a decimal number such as 0.85");
  }
  return value;
}
template <>
Result<std::uint32_t> parse<std::uint32_t>(std::string_view text) {
  std::uint32_t value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (error != std::errc{} || end != last) {
    return fail(Code::kMalformed, quoted(text) + " is not a whole number");
  }
  return value;
}
template <>
Result<std::optional<Bytes>> parse<std::optional<Bytes>>(std::string_view text) {
  return parse_bytes(text).map([](Bytes value) { return std::optional(value); });
}
template <>
Result<std::optional<bpf::Tier>> parse<std::optional<bpf::Tier>>(std::string_view text) {
  if (text == "auto") return std::optional<bpf::Tier>();
  if (text == "A") return std::optional(bpf::Tier::kA);
  if (text == "B") return std::optional(bpf::Tier::kB);
  if (text == "C") return std::optional(bpf::Tier::kC);
  return fail(Code::kMalformed, quoted(text) + " is none of auto, A, B, C");
}

std::string number_text(double value) {
  std::array<char, 64> text{};
  const auto [end, error] =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  return error == std::errc{} ? std::string(text.data(), end) : std::string();
}
std::string text_of(double value) { return number_text(value); }
std::string text_of(std::uint32_t value) { return std::to_string(value); }
std::string text_of(Bytes value) {
  constexpr std::array<std::string_view, 5> kUnits{"", "Ki", "Mi", "Gi", "Ti"};
  std::size_t unit = 0;
  while (value.value != 0 && value.value % 1024 == 0 && unit + 1 < kUnits.size()) {
    value.value /= 1024;
    ++unit;
  }
  return std::to_string(value.value) + std::string(kUnits.at(unit));
}
std::string text_of(Nanoseconds value) {
  const std::int64_t count = value.count();
  constexpr std::int64_t kSecond = 1'000'000'000;
  if (count % (60 * kSecond) == 0 && count != 0)
    return std::to_string(count / (60 * kSecond)) + "m";
  if (count % kSecond == 0) return std::to_string(count / kSecond) + "s";
  return number_text(static_cast<double>(count) / 1e6) + "ms";
}
std::string text_of(bpf::Tier tier) {
  switch (tier) {
    case bpf::Tier::kA:
      return "A";
    case bpf::Tier::kB:
      return "B";
    case bpf::Tier::kC:
      return "C";
  }
  return "unknown";
}

std::string allowed(const ConfigKey& key) {
  return std::string(key.least) + " to " + std::string(key.most);
}

template <typename T>
bool within(const ConfigKey& key, const T& value) {
  if (key.least.empty()) return true;
  const Result<T> least = parse<T>(key.least);
  const Result<T> most = parse<T>(key.most);
  return least && most && *least <= value && value <= *most;
}

std::string kind_of(const ConfigKey& key) {
  const auto kind = [](auto member) -> std::string {
    using T = std::remove_reference_t<std::invoke_result_t<decltype(member), Config&>>;
    if constexpr (std::is_same_v<T, Nanoseconds>) return "duration";
    if constexpr (std::is_same_v<T, double>) return "number";
    if constexpr (std::is_same_v<T, std::uint32_t>) return "whole number";
    if constexpr (std::is_same_v<T, std::optional<bpf::Tier>>) return "word";
    return "size";
  };
  return std::visit(kind, key.member);
}

}  // namespace

std::span<const ConfigKey> config_keys() { return kKeys; }

Result<void> set_key(const ConfigKey& key, std::string_view text, Config& config) {
  return std::visit(
      [&](auto member) -> Result<void> {
        using T = std::remove_reference_t<std::invoke_result_t<decltype(member), Config&>>;
        const std::string range = key.least.empty() ? "" : "; allowed: " + allowed(key);
        // Nothing that a key takes is that long; and what is in messages must be printable.
        constexpr std::size_t kLongest = 32;
        if (text.size() > kLongest || quoted(text) != "\"" + std::string(text) + "\"") {
          return fail(Code::kMalformed, quoted(text) + " is not a " + kind_of(key) + range);
        }
        const Result<T> value = parse<T>(text);
        if (!value) return fail(value.error().code, value.error().message + range);
        if (!within(key, *value)) {
          return fail(Code::kMalformed, quoted(text) + " is out of range" + range);
        }
        member(config) = *value;
        return {};
      },
      key.member);
}

std::optional<std::string> value_text(const ConfigKey& key, Config config) {
  return std::visit(
      [&](auto member) -> std::optional<std::string> {
        const auto& value = member(config);
        if constexpr (requires { value.has_value(); }) {
          if (!value) return std::nullopt;
          return text_of(*value);
        } else {
          return text_of(value);
        }
      },
      key.member);
}

std::string render_config_docs() {
  std::string text =
      "# Configuration\n\n"
      "`plimsoll run --config FILE` and `plimsoll agent --config FILE` read a YAML file. Sections "
      "and dotted\nnames mean the same: `memory: {step: 64Mi}` and `memory.step: 64Mi`. Every key "
      "is optional. Sizes are\nwritten as in Kubernetes (`512Mi`, `4Gi`, `1M`), durations as "
      "`200ms`, `30s`, `5m`, `1h`. A file with an\nerror is refused as a whole, and every error in "
      "it is named with its line.\n\n"
      "This page is written by `render_config_docs()` from the table in `agent/config_keys.cc`; a "
      "test compares\nthe two.\n\n"
      "| key | kind | default | allowed | meaning |\n|---|---|---|---|---|\n";
  for (const ConfigKey& key : config_keys()) {
    const std::optional<std::string> value = value_text(key, Config{});
    const std::string fallback = value ? "`" + *value + "`" : std::string(key.otherwise);
    const std::string range =
        key.least.empty() ? "see meaning"
                          : "`" + std::string(key.least) + "` to `" + std::string(key.most) + "`";
    text.append("| `").append(key.name).append("` | ").append(kind_of(key)).append(" | ");
    text.append(fallback).append(" | ").append(range).append(" | ");
    text.append(key.summary).append(" |\n");
  }
  return text;
}

}  // namespace plimsoll::agent
