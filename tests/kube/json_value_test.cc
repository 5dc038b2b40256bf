// SPDX-License-Identifier: Apache-2.0
#include "kube/json_value.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace plimsoll::kube::json_value_test {
namespace {

TEST(JsonValue, ReadsWhatIsThere) {
  const auto document = JsonDocument::parse(
      R"({"text":"a","number":-7,"large":9223372036854775807,"yes":true,"list":[1,null,3],
          "object":{"b":"2","a":"1"},"nothing":null,"quantity":0.5})");
  ASSERT_TRUE(document);
  const JsonValue root = document->root();
  EXPECT_EQ(root["text"].text(), "a");
  EXPECT_EQ(root["number"].integer(), -7);
  EXPECT_EQ(root["large"].integer(), 9'223'372'036'854'775'807);
  EXPECT_TRUE(root["yes"].boolean());
  EXPECT_EQ(root["list"].size(), 3U);
  EXPECT_EQ(root["quantity"].text_or_number(), "0.5");
  EXPECT_EQ(root["text"].text_or_number(), "a");
  std::vector<bool> present;
  root["list"].for_each_element([&](JsonValue element) { present.push_back(element.present()); });
  EXPECT_EQ(present, (std::vector{true, false, true}));
  std::string members;
  root["object"].for_each_member(
      [&](std::string_view key, JsonValue member) { members += std::string(key) + member.text(); });
  EXPECT_EQ(members, "a1b2");
  EXPECT_FALSE(document->problem());
}

TEST(JsonValue, AbsentIsNoProblem) {
  const auto document = JsonDocument::parse(R"({"nothing":null})");
  for (const JsonValue value : {document->root()["nothing"], document->root()["missing"],
                                document->root()["missing"]["member"]}) {
    EXPECT_FALSE(value.present());
    EXPECT_EQ(value.text(), "");
    EXPECT_EQ(value.text_or_number(), "");
    EXPECT_EQ(value.integer(), std::nullopt);
    EXPECT_FALSE(value.boolean());
    EXPECT_EQ(value.size(), 0U);
    value.for_each_element([](JsonValue) { FAIL(); });
    value.for_each_member([](std::string_view, JsonValue) { FAIL(); });
  }
  EXPECT_FALSE(document->problem());
}

TEST(JsonValue, TheFirstProblemIsNamedByItsPath) {
  const auto document = JsonDocument::parse(R"({"a":[{"b":1},{"b":{"c":2}}]})");
  document->root()["a"].for_each_element([](JsonValue element) { (void)element["b"]["c"]; });
  ASSERT_TRUE(document->problem());
  EXPECT_EQ(document->problem()->message, "a[0].b is not an object");
  (void)document->root()["a"].text();
  EXPECT_EQ(document->problem()->message, "a[0].b is not an object");

  const auto top = JsonDocument::parse("7");
  (void)top->root()["a"];
  EXPECT_EQ(top->problem()->message, "the document is not an object");
}

TEST(JsonDocument, KeepsOnlyWhatIsAskedFor) {
  std::vector<std::string> asked;
  const auto document = JsonDocument::parse(
      R"({"a":{"x":1,"y":[{"z":2,"w":[9]},[8]]},"b":{"a":{"x":3}},"c":[[{"x":4}],5]})",
      [&](std::span<const std::string> path) {
        std::string joined;
        for (const std::string& key : path) joined += "/" + key;
        asked.push_back(joined);
        return joined != "/a/x" && joined != "/a/y/w" && joined != "/b";
      });
  ASSERT_TRUE(document);
  // Nobody asks for what lies below a member that is not kept.
  EXPECT_EQ(asked, (std::vector<std::string>{"/a", "/a/x", "/a/y", "/a/y/z", "/a/y/w", "/b", "/c",
                                             "/c/x"}));
  const JsonValue root = document->root();
  EXPECT_FALSE(root["a"]["x"].present());
  EXPECT_FALSE(root["b"].present());
  EXPECT_EQ(root["a"]["y"].size(), 2U);
  root["a"]["y"].for_each_element([count = 0](JsonValue element) mutable {
    if (count++ == 0) {
      EXPECT_EQ(element["z"].integer(), 2);
    } else {
      EXPECT_EQ(element.size(), 1U);
    }
  });
  EXPECT_EQ(root["c"].size(), 2U);
}

TEST(JsonDocument, IsBounded) {
  const JsonLimits limits{.most_values = 5, .deepest_nesting = 3};
  EXPECT_TRUE(JsonDocument::parse("[1,2,3,4]", {}, limits));
  EXPECT_FALSE(JsonDocument::parse("[1,2,3,4,5]", {}, limits));
  EXPECT_TRUE(JsonDocument::parse("[[[]]]", {}, limits));
  EXPECT_FALSE(JsonDocument::parse("[[[[]]]]", {}, limits));
  EXPECT_FALSE(JsonDocument::parse(std::string(1'000'000, '['), {}, limits));
  for (const std::string& text :
       {std::string("[]\0x", 4), std::string("[]\0", 3), std::string("")}) {
    EXPECT_FALSE(JsonDocument::parse(text)) << text.size();
  }
  for (const std::string text : {"", "{", "[1,]", "{\"a\"}", "1 2", "\"\xff\"", "nul", "01"}) {
    const auto document = JsonDocument::parse(text);
    ASSERT_FALSE(document) << text;
    EXPECT_EQ(document.error().code, Code::kMalformed);
  }
}

}  // namespace
}  // namespace plimsoll::kube::json_value_test
