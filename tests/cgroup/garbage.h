// SPDX-License-Identifier: Apache-2.0
//
// Text that is almost a kernel file: what a parser must survive. Deterministic, so that a failure
// comes back.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace plimsoll::test {

inline std::string damage(std::string_view sample, std::mt19937& random) {
  static constexpr std::string_view kPieces[] = {
      "-1",
      "99999999999999999999999",
      "18446744073709551615",
      "max",
      "\n",
      "\n\n",
      " ",
      "  ",
      "=",
      "nan",
      "inf",
      "1e400",
      "0x10",
      "+5",
      ".",
      std::string_view("\0", 1),
      "\xff\xfe",
      "\t",
      "1.",
  };
  const auto below = [&random](std::size_t end) {
    return std::uniform_int_distribution<std::size_t>(0, end - 1)(random);
  };
  std::string text(sample);
  for (std::size_t changes = 1 + below(4); changes > 0; --changes) {
    const std::size_t at = text.empty() ? 0 : below(text.size());
    switch (below(5)) {
      case 0:
        if (!text.empty()) text[at] = static_cast<char>(below(256));
        break;
      case 1:
        text.resize(at);
        break;
      case 2:
        text.insert(at, kPieces[below(std::size(kPieces))]);
        break;
      case 3:
        text.erase(at, 1 + below(8));
        break;
      default:
        text.insert(at, text.substr(at, below(40)));
    }
  }
  return text;
}

// Calls `parse` on 20,000 damaged samples; each must come back as a value or as kMalformed. The
// text ends where its memory ends, so that the address sanitizer sees a read beyond it.
template <typename Parse>
void survives_garbage(std::string_view sample, Parse parse) {
  std::mt19937 random(20231);
  std::size_t refused = 0;
  constexpr std::size_t kRounds = 20000;
  for (std::size_t round = 0; round < kRounds; ++round) {
    const std::string damaged = damage(sample, random);
    const std::vector<char> exact(damaged.begin(), damaged.end());
    const auto result = parse(std::string_view(exact.data(), exact.size()));
    if (result) continue;
    ++refused;
    ASSERT_EQ(result.error().code, Code::kMalformed) << result.error().message;
    ASSERT_LT(result.error().message.size(), 200U);
  }
  EXPECT_GT(refused, kRounds / 100) << "the damage hardly ever hits";
  EXPECT_LT(refused, kRounds) << "the damage is always fatal";
}

}  // namespace plimsoll::test
