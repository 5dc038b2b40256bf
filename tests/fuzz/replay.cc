// SPDX-License-Identifier: Apache-2.0
//
// The fuzz targets without libFuzzer: each gets its seeds and a number of mutations of them, the
// same ones every time. A target that finds something ends the process.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/mutate.h"

namespace plimsoll::test {
namespace {

class Fuzz : public testing::TestWithParam<FuzzTarget> {};

void run(const FuzzTarget& target, const std::string& text) {
  // A copy of just this size, so that a sanitizer sees what reads past its end.
  const std::vector<std::uint8_t> bytes(text.begin(), text.end());
  ASSERT_EQ(target.run(bytes.data(), bytes.size()), 0);
}

TEST_P(Fuzz, SurvivesItsSeedsAndDamageToThem) {
  constexpr std::size_t kMutatedBytes = 2'000'000;  // in all, so that every target takes as long
  constexpr int kMostMutations = 20'000;
  const std::vector<std::string> seeds = GetParam().seeds();
  ASSERT_FALSE(seeds.empty());
  run(GetParam(), "");
  for (const std::string& seed : seeds) run(GetParam(), seed);
  std::mt19937_64 random(20261121);  // NOLINT(cert-msc51-cpp): the same numbers every time
  std::size_t bytes = 0;
  for (int i = 0; i < kMostMutations && bytes < kMutatedBytes; ++i) {
    const std::string text = mutated(seeds, random);
    bytes += text.size() + 100;
    run(GetParam(), text);
  }
}

INSTANTIATE_TEST_SUITE_P(, Fuzz, testing::ValuesIn(fuzz_targets()),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace plimsoll::test
