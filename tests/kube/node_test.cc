// SPDX-License-Identifier: Apache-2.0
#include "kube/node.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "tests/support/source_path.h"

namespace plimsoll::kube::node_test {
namespace {

TEST(Node, AsARealServerSendsIt) {
  const auto text = read_file(source_path("tests/contract/kube/00-node-node-a.json"));
  ASSERT_TRUE(text) << text.error().message;
  const auto recording = nlohmann::json::parse(*text);
  const auto node = parse_node(recording["exchanges"].back()["response"]["body"].dump());
  ASSERT_TRUE(node) << node.error().message;
  EXPECT_EQ(*node, (Node{.allocatable = Bytes{30 * kGiB},
                         .allocatable_cpu = MilliCpu{7800},
                         .resizes_init_containers = true,
                         .resizes_pod_level = true}));
}

TEST(Node, WhatIsNotSaidIsAbsent) {
  const auto node = parse_node(R"({"kind":"Node","status":{}})");
  ASSERT_TRUE(node);
  EXPECT_EQ(*node, Node{});
}

TEST(Node, Nonsense) {
  for (const char* body :
       {"", "[]", R"({"kind":"Pod"})", R"({"kind":"Node","status":{"allocatable":{"memory":"x"}}})",
        R"({"kind":"Node","status":{"allocatable":{"cpu":"x"}}})",
        R"({"kind":"Node","status":{"declaredFeatures":[1]}})"}) {
    const auto node = parse_node(body);
    ASSERT_FALSE(node) << body;
    EXPECT_EQ(node.error().code, Code::kMalformed) << body;
  }
}

}  // namespace
}  // namespace plimsoll::kube::node_test
