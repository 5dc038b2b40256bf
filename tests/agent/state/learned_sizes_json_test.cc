// SPDX-License-Identifier: Apache-2.0
#include "agent/state/learned_sizes_json.h"

#include <gtest/gtest.h>

namespace plimsoll::agent::learned_sizes_json_test {
namespace {

constexpr Bytes mib(std::uint64_t count) { return {count * kMiB}; }

TEST(LearnedSizes, ComeBackFromTheirText) {
  LearnedSizes learned;
  learned.learn("ns/shop/app", "make", mib(10), 0);
  learned.learn("ns/shop/app", "ninja", mib(7), 0);
  learned.learn("ns/shop/app", "make", mib(12), 0);
  const auto read = parse_learned_sizes(to_json(learned));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(to_json(*read), to_json(learned));
  EXPECT_EQ(read->size("ns/shop/app", "make"), mib(12));
  EXPECT_EQ(parse_learned_sizes("[]").value(), LearnedSizes{});
}

TEST(LearnedSizes, OtherTextsAreRefused) {
  for (const char* text : {"", "{}", "7", "[7]", "[{}]", R"([{"workload":"w","command":"c"}])",
                           R"([{"workload":"w","command":"c","sizes_bytes":[1]}])",
                           R"([{"workload":"w","command":"c","day":-1,"sizes_bytes":[1]}])",
                           R"([{"workload":"w","command":"c","day":1,"sizes_bytes":[]}])",
                           R"([{"workload":"w","command":"c","day":1,"sizes_bytes":[-1]}])",
                           R"([{"workload":"w","command":"c","day":1,"sizes_bytes":["1"]}])",
                           R"([{"workload":1,"command":"c","day":1,"sizes_bytes":[1]}])"}) {
    EXPECT_FALSE(parse_learned_sizes(text)) << text;
  }
}

}  // namespace
}  // namespace plimsoll::agent::learned_sizes_json_test
