// SPDX-License-Identifier: Apache-2.0
//
// Quantities as the API server takes and spells them. Written apart from kube/quantity on purpose:
// what the product reads must not be the judge of what its fake says.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

#include "tests/fake_api/json.h"

namespace plimsoll::test {

__extension__ using Int128 = __int128;

struct Quantity {
  enum class Format { kBinary, kDecimal, kExponent };

  Int128 nano = 0;  // 10^-9 of one
  Format format = Format::kDecimal;

  auto operator<=>(const Quantity& other) const { return nano <=> other.nano; }
  bool operator==(const Quantity& other) const { return nano == other.nano; }
};

// None: the server says that it does not match its regular expression. Space around it is allowed,
// what is finer than 10^-9 is rounded up, what is over 2^63-1 is 2^63-1.
std::optional<Quantity> parse_quantity(std::string_view text);
// A string or a JSON number.
std::optional<Quantity> quantity_of(const Json& value);

// As the server stores it: "400000k" is "400M", "0.3Gi" is "322122547200m".
std::string to_string(const Quantity& quantity);

// Whole units, rounded up.
long long whole(const Quantity& quantity);
// The same of a resource list's entry; none when absent.
std::optional<long long> whole_at(const Json& resources, std::string_view name);

}  // namespace plimsoll::test
