// SPDX-License-Identifier: Apache-2.0
//
// What can be asked of Root and Group that the contract cannot show on a kernel's tree: links.
#include "cgroup/root.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "cgroup/limit_file.h"
#include "cgroup/writer.h"
#include "tests/support/cgroup_tree.h"

namespace plimsoll::cgroup::root_test {
namespace {

namespace fs = std::filesystem;

template <typename T>
Code code_of(const Result<T>& result) {
  EXPECT_FALSE(result.has_value());
  return result ? Code::kUnavailable : result.error().code;
}

TEST(Root, TakesOnlyCgroupFileSystemsUnlessTold) {
  const test::CgroupTree tree;
  EXPECT_EQ(code_of(Root::open(tree.path())), Code::kUnsupported);
  EXPECT_EQ(code_of(Root::open(tree.path() + "/none")), Code::kGone);
  EXPECT_TRUE(Root::open(tree.path(), Filesystem::kAny));
}

TEST(Root, NoLinkIsFollowed) {
  const test::CgroupTree outside{{"victim", {}}};
  const test::CgroupTree tree{{"a", {}}, {"b", {}}};
  fs::create_directory_symlink(outside.path() + "/victim", tree.path() + "/absolute");
  fs::create_directory_symlink("a", tree.path() + "/inside");
  fs::create_directory_symlink("../..", tree.path() + "/a/up");
  const Root root = tree.root();
  EXPECT_EQ(code_of(root.open_group("absolute")), Code::kDenied);
  EXPECT_EQ(code_of(root.open_group("inside")), Code::kDenied);
  EXPECT_EQ(code_of(root.open_group("a/up")), Code::kDenied);

  fs::remove(tree.path() + "/b/memory.max");
  fs::create_symlink(outside.path() + "/victim/memory.max", tree.path() + "/b/memory.max");
  const Group linked = tree.group("b");
  EXPECT_EQ(code_of(linked.read_memory_max()), Code::kDenied);
  EXPECT_EQ(code_of(LimitFile::open_max(linked)), Code::kDenied);
  EXPECT_EQ(code_of(Writer().set_memory_max(linked, Limit{kMiB})), Code::kDenied);
  EXPECT_EQ(outside.get("victim", "memory.max"), "max\n");
}

TEST(Group, BrokenFilesAreMalformed) {
  test::CgroupTree tree{{"a", {{"memory.stat", "anon many\n"}, {"memory.max", "\n"}}}};
  const Group group = tree.group("a");
  EXPECT_EQ(code_of(group.read_memory_stat()), Code::kMalformed);
  EXPECT_EQ(code_of(group.read_memory_max()), Code::kMalformed);
  EXPECT_EQ(code_of(Writer().set_memory_max(group, Limit{kMiB})), Code::kMalformed);
  EXPECT_EQ(tree.get("a", "memory.max"), "\n") << "written without knowing what was there";
  // No file can exhaust the reader.
  tree.set("a", "cgroup.procs", std::string(2 * kMiB, '1'));
  EXPECT_EQ(code_of(group.read_procs()), Code::kMalformed);
}

TEST(Group, OldKernelsLackSomeFiles) {
  test::CgroupTree tree{{"a", {}}};
  const Group group = tree.group("a");
  for (const char* const file : {"memory.peak", "memory.events.local", "memory.reclaim"}) {
    tree.drop("a", file);
  }
  EXPECT_EQ(code_of(group.read_memory_peak()), Code::kUnsupported);
  EXPECT_EQ(code_of(group.read_memory_events_local()), Code::kUnsupported);
  EXPECT_EQ(code_of(Writer().reclaim(group, Bytes{kMiB})), Code::kUnsupported);
  EXPECT_TRUE(group.read_memory_events());
}

TEST(Group, ErrorsNameTheFileAndTheGroup) {
  test::CgroupTree tree{{"a/b", {}}};
  tree.drop("a/b", "memory.peak");
  const auto peak = tree.group("a/b").read_memory_peak();
  ASSERT_FALSE(peak);
  EXPECT_NE(peak.error().message.find("memory.peak of \"/a/b\""), std::string::npos)
      << peak.error().message;
}

}  // namespace
}  // namespace plimsoll::cgroup::root_test
