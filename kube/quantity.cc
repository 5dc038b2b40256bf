// SPDX-License-Identifier: Apache-2.0
#include "kube/quantity.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <vector>

namespace plimsoll::kube {
namespace {

constexpr std::uint64_t kLargest = std::numeric_limits<std::int64_t>::max();
// What is 0 or over every cap whatever its digits need not be multiplied out: kLongestQuantity
// digits shift the decimal point by less.
constexpr std::int64_t kFarAway = 1000;

struct Suffix {
  std::string_view name;
  int power_of_two;
  int power_of_ten;
};
constexpr std::array<Suffix, 16> kSuffixes{{{"", 0, 0},
                                            {"Ki", 10, 0},
                                            {"Mi", 20, 0},
                                            {"Gi", 30, 0},
                                            {"Ti", 40, 0},
                                            {"Pi", 50, 0},
                                            {"Ei", 60, 0},
                                            {"n", 0, -9},
                                            {"u", 0, -6},
                                            {"m", 0, -3},
                                            {"k", 0, 3},
                                            {"M", 0, 6},
                                            {"G", 0, 9},
                                            {"T", 0, 12},
                                            {"P", 0, 15},
                                            {"E", 0, 18}}};

// A whole number of any size, lowest 32 bits first: amounts are exact before they are rounded.
class BigNumber {
 public:
  bool is_zero() const { return words_.empty(); }

  void multiply_add(std::uint32_t factor, std::uint32_t add) {
    std::uint64_t carry = add;
    for (std::uint32_t& word : words_) {
      carry += std::uint64_t{word} * factor;
      word = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
    if (carry > 0) words_.push_back(static_cast<std::uint32_t>(carry));
  }

  // Returns the remainder.
  std::uint32_t divide(std::uint32_t divisor) {
    std::uint64_t rest = 0;
    for (std::size_t i = words_.size(); i-- > 0;) {
      rest = (rest << 32) | words_[i];
      words_[i] = static_cast<std::uint32_t>(rest / divisor);
      rest %= divisor;
    }
    while (!words_.empty() && words_.back() == 0) words_.pop_back();
    return static_cast<std::uint32_t>(rest);
  }

  std::uint64_t capped(std::uint64_t largest) const {
    if (words_.size() > 2) return largest;
    std::uint64_t value = 0;
    for (std::size_t i = words_.size(); i-- > 0;) value = (value << 32) | words_[i];
    return std::min(value, largest);
  }

 private:
  std::vector<std::uint32_t> words_;
};

// digits * 2^power_of_two * 10^power_of_ten, sign apart.
struct Parsed {
  bool negative = false;
  BigNumber digits;
  int power_of_two = 0;
  std::int64_t power_of_ten = 0;
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// "e3", "E-2". An "E" alone is a suffix.
std::optional<std::int64_t> exponent_of(std::string_view text) {
  if (text.size() < 2 || (text.front() != 'e' && text.front() != 'E')) return std::nullopt;
  text.remove_prefix(1);
  if (text.front() == '+') {
    text.remove_prefix(1);
    if (text.empty() || !is_digit(text.front())) return std::nullopt;
  }
  std::int64_t exponent = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), exponent);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return exponent;
}

// Takes digits and at most one point off the front of `text`; false: there are no digits.
bool take_number(std::string_view& text, Parsed& parsed) {
  bool any = false;
  bool fraction = false;
  while (!text.empty() && (is_digit(text.front()) || (text.front() == '.' && !fraction))) {
    if (text.front() == '.') {
      fraction = true;
    } else {
      any = true;
      parsed.digits.multiply_add(10, static_cast<std::uint32_t>(text.front() - '0'));
      if (fraction) --parsed.power_of_ten;
    }
    text.remove_prefix(1);
  }
  return any;
}

std::optional<Parsed> parse(std::string_view text) {
  text = trimmed(text);
  if (text.empty() || text.size() > kLongestQuantity) return std::nullopt;
  Parsed parsed;
  parsed.negative = text.front() == '-';
  if (text.front() == '-' || text.front() == '+') text.remove_prefix(1);
  if (!take_number(text, parsed)) return std::nullopt;
  if (const auto exponent = exponent_of(text)) {
    parsed.power_of_ten += std::clamp(*exponent, -kFarAway, kFarAway);
    return parsed;
  }
  const auto* const suffix = std::find_if(kSuffixes.begin(), kSuffixes.end(),
                                          [&](const Suffix& known) { return known.name == text; });
  if (suffix == kSuffixes.end()) return std::nullopt;
  parsed.power_of_two = suffix->power_of_two;
  parsed.power_of_ten += suffix->power_of_ten;
  return parsed;
}

// In units of 10^-`decimals`, rounded up, capped.
std::uint64_t rounded_up(Parsed parsed, int decimals) {
  if (parsed.digits.is_zero()) return 0;
  for (int i = 0; i < parsed.power_of_two; ++i) parsed.digits.multiply_add(2, 0);
  std::int64_t power = parsed.power_of_ten + decimals;
  for (; power > 0; --power) {
    if (parsed.digits.capped(kLargest) == kLargest) return kLargest;
    parsed.digits.multiply_add(10, 0);
  }
  bool rest = false;
  for (; power < 0 && !parsed.digits.is_zero(); ++power) rest |= parsed.digits.divide(10) > 0;
  const std::uint64_t whole = parsed.digits.capped(kLargest);
  return rest && whole < kLargest ? whole + 1 : whole;
}

Result<std::uint64_t> parse_amount(std::string_view text, int decimals, std::string_view example) {
  const auto malformed = [&](std::string_view why) {
    return fail(Code::kMalformed, "\"" + std::string(text.substr(0, kLongestQuantity)) + "\" " +
                                      std::string(why) + "; expected an amount such as " +
                                      std::string(example));
  };
  auto parsed = parse(text);
  if (!parsed) return malformed("is not a quantity");
  if (parsed->negative && !parsed->digits.is_zero()) return malformed("is below 0");
  return rounded_up(std::move(*parsed), decimals);
}

}  // namespace

Result<Bytes> parse_memory(std::string_view text) {
  return parse_amount(text, 0, "512Mi").map([](std::uint64_t value) { return Bytes{value}; });
}

Result<MilliCpu> parse_cpu(std::string_view text) {
  return parse_amount(text, 3, "250m").map([](std::uint64_t value) { return MilliCpu{value}; });
}

std::string format_memory(Bytes bytes) {
  constexpr std::array<std::string_view, 7> kUnits{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
  std::uint64_t value = bytes.value;
  std::size_t unit = 0;
  while (value > 0 && value % 1024 == 0 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return std::to_string(value) + std::string(kUnits.at(unit));
}

std::string format_cpu(MilliCpu cpu) {
  if (cpu.value % 1000 == 0) return std::to_string(cpu.value / 1000);
  return std::to_string(cpu.value) + "m";
}

}  // namespace plimsoll::kube
