// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/quantity.h"

#include <array>
#include <charconv>
#include <limits>
#include <utility>

namespace plimsoll::test {
namespace {

constexpr Int128 kNano = 1'000'000'000;
constexpr Int128 kLargest = std::numeric_limits<long long>::max();
// Beyond it, digits only say that the value is too large.
constexpr Int128 kEnough = kLargest * kNano * 10;

struct Suffix {
  std::string_view text;
  Quantity::Format format;
  int power;  // of 1024 or of 10
};

constexpr std::array kSuffixes{
    Suffix{"", Quantity::Format::kDecimal, 0},   Suffix{"n", Quantity::Format::kDecimal, -9},
    Suffix{"u", Quantity::Format::kDecimal, -6}, Suffix{"m", Quantity::Format::kDecimal, -3},
    Suffix{"k", Quantity::Format::kDecimal, 3},  Suffix{"M", Quantity::Format::kDecimal, 6},
    Suffix{"G", Quantity::Format::kDecimal, 9},  Suffix{"T", Quantity::Format::kDecimal, 12},
    Suffix{"P", Quantity::Format::kDecimal, 15}, Suffix{"E", Quantity::Format::kDecimal, 18},
    Suffix{"Ki", Quantity::Format::kBinary, 1},  Suffix{"Mi", Quantity::Format::kBinary, 2},
    Suffix{"Gi", Quantity::Format::kBinary, 3},  Suffix{"Ti", Quantity::Format::kBinary, 4},
    Suffix{"Pi", Quantity::Format::kBinary, 5},  Suffix{"Ei", Quantity::Format::kBinary, 6}};

std::optional<Suffix> suffix_of(std::string_view text) {
  for (const Suffix& suffix : kSuffixes) {
    if (suffix.text == text) return suffix;
  }
  if (text.size() > 1 && (text[0] == 'e' || text[0] == 'E')) {
    std::string_view digits = text.substr(1);
    if (digits[0] == '+') digits.remove_prefix(1);
    int power = 0;
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), power);
    if (error == std::errc() && end == digits.end()) {
      return Suffix{"", Quantity::Format::kExponent, power};
    }
  }
  return std::nullopt;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// Multiplies unless it is too large already.
void times(Int128& value, int factor) {
  if (value < kEnough) value *= factor;
}

std::string digits_of(Int128 value) {
  const bool negative = value < 0;
  if (negative) value = -value;
  std::string digits;
  do {
    digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(value % 10)));
    value /= 10;
  } while (value != 0);
  return negative ? "-" + digits : digits;
}

std::string_view decimal_suffix(int power) {
  for (const Suffix& suffix : kSuffixes) {
    if (suffix.format == Quantity::Format::kDecimal && suffix.power == power) return suffix.text;
  }
  return "";
}

}  // namespace

std::optional<Quantity> parse_quantity(std::string_view text) {
  text = trimmed(text);
  const bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  const std::size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  std::string_view number = text.substr(0, end);
  const std::optional<Suffix> suffix = suffix_of(text.substr(end));
  const std::size_t point = number.find('.');
  std::string_view fraction = point == std::string_view::npos ? "" : number.substr(point + 1);
  number = number.substr(0, point);
  if (!suffix || number.size() + fraction.size() == 0 || fraction.find('.') != fraction.npos) {
    return std::nullopt;
  }

  // The mantissa times 10^power, then times 1024^n; the rest of a division is what is rounded up.
  Int128 value = 0;
  bool rest = false;
  int power = 9;
  for (const char digit : number) {
    times(value, 10);
    if (value < kEnough) value += digit - '0';
  }
  for (const char digit : fraction) {
    // 19 digits of a fraction are finer than anything that is kept.
    if (value >= kEnough / 1'000'000 || power < -9) {
      rest = rest || digit != '0';
      continue;
    }
    value = value * 10 + (digit - '0');
    --power;
  }
  if (suffix->format == Quantity::Format::kBinary) {
    for (int i = 0; i < suffix->power * 10; ++i) times(value, 2);
  } else {
    power += suffix->power;
  }
  for (; power > 0 && value != 0 && value < kEnough; --power) times(value, 10);
  for (; power < 0 && value != 0; ++power) {
    rest = rest || value % 10 != 0;
    value /= 10;
  }
  if (rest) ++value;
  value = std::min(value, kLargest * kNano);
  return Quantity{negative ? -value : value, suffix->format};
}

std::optional<Quantity> quantity_of(const Json& value) {
  if (value.is_string()) return parse_quantity(value.get_ref<const std::string&>());
  if (value.is_number()) return parse_quantity(value.dump());
  return std::nullopt;
}

std::string to_string(const Quantity& quantity) {
  Int128 value = quantity.nano;
  if (value == 0) return "0";
  Quantity::Format format = quantity.format;
  int power = 0;
  const bool is_whole = value % kNano == 0;
  if (format == Quantity::Format::kBinary) {
    const Int128 size = value < 0 ? -value : value;
    if (!is_whole || size < 1024 * kNano) format = Quantity::Format::kDecimal;
  }
  if (is_whole) {
    value /= kNano;
  } else {
    power = -9;
  }
  if (format == Quantity::Format::kBinary) {
    int kibi = 0;
    for (; value % 1024 == 0 && kibi < 6; ++kibi) value /= 1024;
    constexpr std::array<std::string_view, 7> kNames{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    return digits_of(value) + std::string(kNames.at(static_cast<std::size_t>(kibi)));
  }
  while (value % 1000 == 0 && power < 18) {
    value /= 1000;
    power += 3;
  }
  if (format == Quantity::Format::kExponent) {
    return digits_of(value) + (power == 0 ? "" : "e" + std::to_string(power));
  }
  return digits_of(value) + std::string(decimal_suffix(power));
}

long long whole(const Quantity& quantity) {
  const Int128 up = quantity.nano > 0 ? kNano - 1 : 0;
  return static_cast<long long>((quantity.nano + up) / kNano);
}

std::optional<long long> whole_at(const Json& resources, std::string_view name) {
  const std::optional<Quantity> quantity = quantity_of(member(resources, name));
  if (!quantity) return std::nullopt;
  return whole(*quantity);
}

}  // namespace plimsoll::test
