// SPDX-License-Identifier: Apache-2.0
#include "kube/json_members.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/kube/heap.h"

namespace plimsoll::kube::json_members_test {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct Cut {
  Pairs members;
  bool fed = true;
  bool complete = false;
};

Cut cut(const std::string& text, std::size_t size = 1, std::size_t largest = 1000) {
  Cut result;
  JsonMembers members("items", largest, [&](const JsonMembers::Member& member) {
    result.members.emplace_back(member.key,
                                std::string(member.value) + (member.whole ? "" : "..."));
  });
  for (std::size_t at = 0; at < text.size() && result.fed; at += size) {
    result.fed = members.feed(std::string_view(text).substr(at, size)).has_value();
  }
  result.complete = members.complete();
  return result;
}

TEST(JsonMembers, CutsAnObject) {
  const std::string text =
      R"( { "a" : 1 , "b":"x,}]\"{" ,"c": [1,{"items":[2]}] , "d":{"e":"[\\"},"f":null,"g":-1.5e3} )";
  const Pairs expected{
      {"a", "1"},    {"b", R"("x,}]\"{")"}, {"c", R"([1,{"items":[2]}])"}, {"d", R"({"e":"[\\"})"},
      {"f", "null"}, {"g", "-1.5e3"}};
  for (std::size_t size = 1; size <= text.size(); ++size) {
    const Cut result = cut(text, size);
    EXPECT_TRUE(result.fed && result.complete);
    EXPECT_EQ(result.members, expected) << size;
  }
  EXPECT_TRUE(cut("{}").complete);
  EXPECT_TRUE(cut("{}").members.empty());
}

TEST(JsonMembers, CutsTheElementsOfOneArray) {
  EXPECT_EQ(
      cut(R"({"items":[{"a":[1]},2,"x"],"other":[3,4]})").members,
      (Pairs{{"items", R"({"a":[1]})"}, {"items", "2"}, {"items", "\"x\""}, {"other", "[3,4]"}}));
  EXPECT_TRUE(cut(R"({"items":[ ]})").complete);
  EXPECT_EQ(cut(R"({"items":null})").members, (Pairs{{"items", "null"}}));
}

TEST(JsonMembers, TakesNoArrayApartUnlessToldTo) {
  Pairs pairs;
  JsonMembers members(std::nullopt, 100, [&](const JsonMembers::Member& member) {
    pairs.emplace_back(member.key, member.value);
  });
  EXPECT_TRUE(members.feed(R"({"":[1,2],"items":[3]})"));
  EXPECT_EQ(pairs, (Pairs{{"", "[1,2]"}, {"items", "[3]"}}));
}

TEST(JsonMembers, KeepsTheBeginningOfWhatIsTooLong) {
  EXPECT_EQ(cut(R"({"a":"123456789","b":[[[[[[[]]]]]]],"c":1})", 3, 8).members,
            (Pairs{{"a", "\"1234567..."}, {"b", "[[[[[[[]..."}, {"c", "1"}}));
  EXPECT_EQ(cut(R"({"a":12345678,"b":123456789})", 3, 8).members,
            (Pairs{{"a", "12345678"}, {"b", "12345678..."}}));
}

// A watch lives for minutes after its one large pod.
TEST(JsonMembers, GivesALargeBufferBack) {
  const std::string text = "{\"a\":\"" + std::string(1'000'000, 'x') + "\"}";
  JsonMembers members(std::nullopt, 2'000'000, [](const JsonMembers::Member&) {});
  const std::ptrdiff_t before = test::heap_bytes();
  ASSERT_TRUE(members.feed(text));
  EXPECT_TRUE(members.complete());
  EXPECT_LT(test::heap_bytes() - before, 1000);
}

TEST(JsonMembers, RefusesWhatIsNoObject) {
  for (const std::string text : {"[",
                                 "1",
                                 "\"a\"",
                                 "x",
                                 "{a",
                                 "{1",
                                 "{\"a\" 1",
                                 "{\"a\":,",
                                 "{\"a\":}",
                                 "{\"a\":]",
                                 "{\"a\"::",
                                 "{\"a\":1 2",
                                 "{\"a\":1,}",
                                 "{\"a\":1]",
                                 "{\"items\":[}",
                                 "{\"items\":[,",
                                 "{\"items\":[1,]",
                                 "{\"items\":[1}",
                                 "{\"items\":[1 2",
                                 "{} {",
                                 "{}x",
                                 "{,"}) {
    EXPECT_FALSE(cut(text).fed) << text;
    EXPECT_FALSE(cut(text).complete) << text;
  }
  EXPECT_FALSE(cut("{\"" + std::string(1000, 'k')).fed);
}

TEST(JsonMembers, BeginsAnewAfterReset) {
  Pairs pairs;
  JsonMembers members("items", 100, [&](const JsonMembers::Member& member) {
    pairs.emplace_back(member.key, member.value);
  });
  EXPECT_TRUE(members.untouched());
  for (const std::string damage : {"{\"a\":\"b\\", "{\"items\":[1,[", "x", "{\"items\":[1"}) {
    (void)members.feed(damage);
    members.reset();
    EXPECT_TRUE(members.untouched());
    pairs.clear();
    EXPECT_TRUE(members.feed("{\"c\":1}"));
    EXPECT_TRUE(members.complete());
    EXPECT_EQ(pairs, (Pairs{{"c", "1"}})) << damage;
    members.reset();
  }
}

}  // namespace
}  // namespace plimsoll::kube::json_members_test
