// SPDX-License-Identifier: Apache-2.0
#include "cgroup/value.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/cgroup/garbage.h"

namespace plimsoll::cgroup::value_test {
namespace {

TEST(Value, NumberAndMaxAreDifferentThings) {
  EXPECT_EQ(parse_limit_file("max\n"), kNoLimit);
  EXPECT_EQ(parse_limit_file("0\n"), limit_of(Bytes{0}));
  EXPECT_EQ(parse_limit_file("104857600"), limit_of(Bytes{104857600}));
  EXPECT_EQ(parse_bytes_file("104857600\n"), Bytes{104857600});
  EXPECT_FALSE(parse_bytes_file("max\n"));
  // The largest number would be taken for "max".
  EXPECT_FALSE(parse_limit_file("18446744073709551615\n"));
  EXPECT_EQ(parse_bytes_file("18446744073709551615\n"), Bytes{18446744073709551615U});
}

TEST(Value, OnlyTheFirstLineCounts) {
  EXPECT_EQ(parse_limit_file("4096\nx"), limit_of(Bytes{4096}));
  EXPECT_EQ(parse_bytes_file("4096\n00\n"), Bytes{4096});
}

TEST(Value, AnythingElseIsMalformed) {
  for (const char* const text : {"", "\n", "maximum", "MAX", "-1", "1 ", " 1", "1k"}) {
    const auto limit = parse_limit_file(text);
    ASSERT_FALSE(limit) << text;
    EXPECT_EQ(limit.error().code, Code::kMalformed);
    ASSERT_FALSE(parse_bytes_file(text)) << text;
  }
}

TEST(Value, FormatsWhatItParses) {
  ValueBuffer buffer;
  EXPECT_EQ(format_limit(kNoLimit, buffer), "max\n");
  for (const std::uint64_t bytes : {0UL, 1UL, 4096UL, 18446744073709551614UL}) {
    const Limit limit = limit_of(Bytes{bytes});
    EXPECT_EQ(format_limit(limit, buffer), std::to_string(bytes) + "\n");
    EXPECT_EQ(parse_limit_file(format_limit(limit, buffer)), limit);
  }
}

TEST(Value, SurvivesGarbage) {
  test::survives_garbage("104857600\n", parse_limit_file);
  test::survives_garbage("max\n", parse_limit_file);
  test::survives_garbage("104857600\n", parse_bytes_file);
}

}  // namespace
}  // namespace plimsoll::cgroup::value_test
