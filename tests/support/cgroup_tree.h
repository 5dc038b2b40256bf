// SPDX-License-Identifier: Apache-2.0
//
// CgroupTree: a cgroup tree of ordinary files in a temporary directory, for tests of what reads and
// writes cgroups. Compared with the kernel by tests/cgroup/tree_contract.h.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "cgroup/root.h"

namespace plimsoll::test {

// What it is not: a write changes nothing but its file, values are not rounded, files of a removed
// group that are still open stay writable (the kernel says ENODEV), and remove_group() finds files
// in its way.
class CgroupTree {
 public:
  using Files = std::map<std::string, std::string>;

  // CgroupTree tree{{"pod", {{"memory.max", "104857600\n"}}}, {"pod/container", {}}}; Each group
  // has the files of a fresh cgroup with the memory controller, overridden by those named. Parents
  // come into being with their children. The top has, as the kernel's, no limits.
  CgroupTree(std::initializer_list<std::pair<const std::string, Files>> groups = {});
  ~CgroupTree();
  CgroupTree(const CgroupTree&) = delete;
  CgroupTree& operator=(const CgroupTree&) = delete;

  const std::string& path() const { return path_; }
  cgroup::Root root() const;
  cgroup::Group group(std::string_view path) const;

  void add(const std::string& path, const Files& files = {});
  // The group and what is below it.
  void remove(const std::string& path);
  void set(const std::string& path, const std::string& file, std::string_view text);
  std::string get(const std::string& path, const std::string& file) const;
  // As on a kernel that has no such file.
  void drop(const std::string& path, const std::string& file);

 private:
  std::string path_;
};

}  // namespace plimsoll::test
