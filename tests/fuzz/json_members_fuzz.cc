// SPDX-License-Identifier: Apache-2.0
//
// The cutting of JSON against a whole parser: what that takes for an object is cut into the same
// members.
#include <nlohmann/json.hpp>

#include "kube/json_members.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzz_target.h"

using namespace plimsoll;  // NOLINT(google-build-using-namespace): a program of its own
using plimsoll::test::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = test::text_of(data, size);
  std::string rebuilt;
  kube::JsonMembers members(std::nullopt, size, [&](const kube::JsonMembers::Member& member) {
    require(member.whole, "nothing is longer than the text");
    rebuilt += (rebuilt.empty() ? "\"" : ",\"") + std::string(member.key) + "\":";
    rebuilt += member.value;
  });
  const bool fed = members.feed(text).has_value();
  require(fed || !members.complete(), "what is broken is not complete");

  std::size_t elements = 0;
  kube::JsonMembers in_elements("items", 16, [&](const kube::JsonMembers::Member& member) {
    require(member.value.size() <= 16, "the bound is kept");
    if (member.key == "items") ++elements;
  });
  const bool fed_elements = in_elements.feed(text).has_value();

  // The other parser takes a NUL for the end, and skips a byte order mark.
  if (text.find('\0') != std::string_view::npos || text.starts_with("\xef")) return 0;
  const auto json = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  if (!json.is_object()) return 0;
  require(fed && members.complete(), "an object is cut");
  require(nlohmann::json::parse("{" + rebuilt + "}", nullptr, false) == json, "the same object");
  require(fed_elements && in_elements.complete(), "an array is cut");
  // Two members of one name are one to the other parser.
  const auto items = json.find("items");
  if (items != json.end() && items->is_array() && text.find("items") == text.rfind("items")) {
    require(elements == items->size(), "as many elements");
  }
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  return {R"({"a":1,"items":[{"b":[2,"]"]},"x",null],"c":"\\\"}"})",
          R"( { "a" : { } , "b" : [ ] , "items" : [ 1 , 2 ] } )", "{}", R"({"items":[[1],[2]]})",
          R"({"\u0061":-1.5e3,"t":true})"};
}
