// SPDX-License-Identifier: Apache-2.0
//
// CgroupFiles: the few things that a kubelet and a runtime do to the cgroup tree, on the kernel's
// or on one of ordinary files. It knows nothing of cgroup/, which is what the tests are about.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace plimsoll::test {

class CgroupFiles {
 public:
  // `made` makes a group, with its files, where no kernel does. `writing` is told the group and the
  // file of each write just before it.
  explicit CgroupFiles(std::string root, std::function<void(const std::string&)> made = {},
                       std::function<void(const std::string&, const std::string&)> writing = {});

  const std::string& root() const { return root_; }
  std::string full(const std::string& group) const { return root_ + "/" + group; }
  // With its parents, and with the controllers that they must hand down.
  bool make(const std::string& group) const;
  // Ends its processes first; true when it is gone.
  bool remove(const std::string& group) const;
  bool exists(const std::string& group) const;

  bool write(const std::string& group, const std::string& file, const std::string& text) const;
  std::string read(const std::string& group, const std::string& file) const;
  // memory.max; none for "max" and for what is not there.
  std::optional<std::int64_t> limit(const std::string& group) const;
  std::int64_t usage(const std::string& group) const;
  // Of memory.events: "oom_kill".
  std::int64_t events(const std::string& group, const std::string& key) const;

 private:
  std::string root_;
  std::function<void(const std::string&)> made_;
  std::function<void(const std::string&, const std::string&)> writing_;
};

}  // namespace plimsoll::test
