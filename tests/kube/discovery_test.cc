// SPDX-License-Identifier: Apache-2.0
#include "kube/discovery.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/kube/recording.h"

namespace plimsoll::kube::discovery_test {
namespace {

std::string version(const std::string& major, const std::string& minor) {
  return R"({"major":")" + major + R"(","minor":")" + minor + R"(","gitVersion":"v1"})";
}

TEST(Discovery, ARealServerSaysItsVersionAndListsResize) {
  const auto replies = test::recorded("00-version");
  ASSERT_EQ(replies.size(), 2U);
  EXPECT_EQ(replies[0].path, version_request().path);
  EXPECT_EQ(replies[1].path, discovery_request().path);
  const auto parsed = parse_version(replies[0].body);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(*parsed, (ServerVersion{1, 36, "v1.36.2"}));
  const auto listed = lists_resize(replies[1].body);
  ASSERT_TRUE(listed) << listed.error().message;
  EXPECT_TRUE(*listed);
  EXPECT_EQ(resize_path(*parsed, *listed), ResizePath::kSubresource);
}

TEST(Discovery, VersionsOfProvidersAreRead) {
  EXPECT_EQ(parse_version(version("1", "36+"))->minor, 36);
  EXPECT_EQ(parse_version(version("1", "27-gke.100"))->minor, 27);
  EXPECT_EQ(parse_version(version("1+", "27"))->major, 1);
  EXPECT_EQ(parse_version(version("2", "0"))->major, 2);
}

TEST(Discovery, WhatIsNoVersionIsMalformed) {
  for (const std::string& body :
       {std::string(), std::string("null"), std::string("[]"), std::string("{}"), version("", "36"),
        version("1", ""), version("1", "x36"), version("1", "36x"), version("1", "-36"),
        version("1", "99999999999"), std::string("{\"major\":1,\"minor\":3}"),
        std::string("404 page not found")}) {
    const auto parsed = parse_version(body);
    ASSERT_FALSE(parsed) << body;
    EXPECT_EQ(parsed.error().code, Code::kMalformed);
  }
}

TEST(Discovery, ResizeMustBeListedWithPatch) {
  const auto list = [](const std::string& resources) {
    return R"({"kind":"APIResourceList","resources":[)" + resources + "]}";
  };
  EXPECT_FALSE(*lists_resize(list("")));
  EXPECT_FALSE(*lists_resize(list(R"({"name":"pods","verbs":["patch"]})")));
  EXPECT_FALSE(*lists_resize(list(R"({"name":"pods/resize","verbs":["get","update"]})")));
  EXPECT_FALSE(*lists_resize(list(R"({"name":"pods/resize","verbs":"patch"})")));
  EXPECT_FALSE(*lists_resize(list(R"({"name":"pods/resize"},1,null)")));
  EXPECT_TRUE(*lists_resize(list(R"({"name":"pods/resize","verbs":["get","patch"]})")));
}

TEST(Discovery, WhatIsNoListIsMalformed) {
  for (const char* body :
       {"", "null", "[]", "{}", R"({"kind":"APIResourceList"})",
        R"({"kind":"Status","resources":[]})", R"({"kind":"APIResourceList","resources":{}})"}) {
    const auto listed = lists_resize(body);
    ASSERT_FALSE(listed) << body;
    EXPECT_EQ(listed.error().code, Code::kMalformed);
  }
}

TEST(Discovery, ThePathOfEachVersion) {
  struct Row {
    int minor;
    bool listed;
    ResizePath path;
  };
  for (const Row& row :
       {Row{26, false, ResizePath::kNone}, Row{27, false, ResizePath::kPodPatch},
        Row{31, false, ResizePath::kPodPatch}, Row{32, false, ResizePath::kNone},
        Row{32, true, ResizePath::kSubresource}, Row{33, true, ResizePath::kSubresource},
        Row{36, false, ResizePath::kNone}, Row{36, true, ResizePath::kSubresource},
        Row{99, true, ResizePath::kSubresource}}) {
    EXPECT_EQ(resize_path({1, row.minor, ""}, row.listed), row.path)
        << row.minor << " " << row.listed;
  }
  EXPECT_EQ(resize_path({2, 28, ""}, false), ResizePath::kNone);
  EXPECT_EQ(resize_path({0, 30, ""}, false), ResizePath::kNone);
}

}  // namespace
}  // namespace plimsoll::kube::discovery_test
