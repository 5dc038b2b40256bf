// SPDX-License-Identifier: Apache-2.0
#include "cgroup/text.h"

#include <gtest/gtest.h>

#include <string>

namespace plimsoll::cgroup::text_test {
namespace {

TEST(Text, CutsLines) {
  std::string_view text = "a b\n\nc";
  EXPECT_EQ(next_line(text), "a b");
  EXPECT_EQ(next_line(text), "");
  EXPECT_EQ(next_line(text), "c");
  EXPECT_EQ(next_line(text), std::nullopt);
}

TEST(Text, CutsWords) {
  std::string_view line = "  one\ttwo   ";
  EXPECT_EQ(next_word(line), "one");
  EXPECT_EQ(next_word(line), "two");
  EXPECT_EQ(next_word(line), std::nullopt);
  std::string_view empty;
  EXPECT_EQ(next_word(empty), std::nullopt);
}

TEST(Text, ReadsOnlyWholeNumbers) {
  EXPECT_EQ(parse_unsigned("0"), 0U);
  EXPECT_EQ(parse_unsigned("18446744073709551615"), 18446744073709551615U);
  for (const char* const text :
       {"", " 1", "1 ", "-1", "+1", "0x1", "1.0", "18446744073709551616"}) {
    EXPECT_EQ(parse_unsigned(text), std::nullopt) << text;
  }
}

TEST(Text, ExcerptIsShortAndPrintable) {
  EXPECT_EQ(excerpt("a\nb\x80"), "\"a?b?\"");
  EXPECT_EQ(excerpt(std::string(61, 'x')), "\"" + std::string(60, 'x') + "...\"");
}

}  // namespace
}  // namespace plimsoll::cgroup::text_test
