// SPDX-License-Identifier: Apache-2.0
#include "tests/support/cgroup_tree.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "base/file.h"

namespace plimsoll::test {
namespace {

namespace fs = std::filesystem;

const std::string kPressure =
    "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";

// As Linux 6.12 shows a cgroup that was just made, without the lines that nothing here reads.
const CgroupTree::Files& every_group() {
  static const CgroupTree::Files kFiles{
      {"cgroup.controllers", "cpu memory pids\n"},
      {"cgroup.subtree_control", "memory\n"},
      {"cgroup.procs", ""},
      {"cpu.stat",
       "usage_usec 0\nuser_usec 0\nsystem_usec 0\nnice_usec 0\nnr_periods 0\nnr_throttled 0\n"
       "throttled_usec 0\nnr_bursts 0\nburst_usec 0\n"},
      {"memory.stat",
       "anon 0\nfile 0\nkernel 0\nshmem 0\nfile_dirty 0\nfile_writeback 0\ninactive_file 0\n"
       "active_file 0\nunevictable 0\nslab_reclaimable 0\nworkingset_refault_anon 0\n"
       "workingset_refault_file 0\npgscan 0\npgsteal 0\n"},
      {"memory.pressure", kPressure}};
  return kFiles;
}

// Those that the top of the kernel's tree does not have.
const CgroupTree::Files& below_top() {
  static const std::string kEvents = "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n";
  static const CgroupTree::Files kFiles{{"cgroup.events", "populated 0\nfrozen 0\n"},
                                        {"cgroup.freeze", "0\n"},
                                        {"cgroup.kill", ""},
                                        {"cpu.max", "max 100000\n"},
                                        {"cpu.max.burst", "0\n"},
                                        {"cpu.pressure", kPressure},
                                        {"memory.current", "0\n"},
                                        {"memory.events", kEvents},
                                        {"memory.events.local", kEvents},
                                        {"memory.high", "max\n"},
                                        {"memory.max", "max\n"},
                                        {"memory.peak", "0\n"},
                                        {"memory.reclaim", ""}};
  return kFiles;
}

template <typename T>
T value_or_throw(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

}  // namespace

CgroupTree::CgroupTree(std::initializer_list<std::pair<const std::string, Files>> groups) {
  std::string name = (fs::temp_directory_path() / "plimsoll-cgroup-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    throw std::system_error(errno, std::generic_category(), "mkdtemp " + name);
  }
  path_ = std::move(name);
  for (const auto& [file, text] : every_group()) set("", file, text);
  for (const auto& [path, files] : groups) add(path, files);
}

CgroupTree::~CgroupTree() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

cgroup::Root CgroupTree::root() const {
  return value_or_throw(cgroup::Root::open(path_, cgroup::Filesystem::kAny));
}

cgroup::Group CgroupTree::group(std::string_view path) const {
  return value_or_throw(root().open_group(path));
}

void CgroupTree::add(const std::string& path, const Files& files) {
  const std::string parent = fs::path(path).parent_path().string();
  if (!parent.empty() && !fs::exists(fs::path(path_) / parent)) add(parent);
  // The files of a group that was made already are kept, but for those named.
  if (fs::create_directory(fs::path(path_) / path)) {
    for (const auto& [file, text] : every_group()) set(path, file, text);
    for (const auto& [file, text] : below_top()) set(path, file, text);
  }
  for (const auto& [file, text] : files) set(path, file, text);
}

void CgroupTree::remove(const std::string& path) { fs::remove_all(fs::path(path_) / path); }

void CgroupTree::set(const std::string& path, const std::string& file, std::string_view text) {
  std::ofstream stream(fs::path(path_) / path / file, std::ios::trunc | std::ios::binary);
  stream << text;
  if (!stream.flush()) throw std::runtime_error("cannot write " + path + "/" + file);
}

std::string CgroupTree::get(const std::string& path, const std::string& file) const {
  return value_or_throw(read_file(path_ + "/" + path + "/" + file));
}

void CgroupTree::drop(const std::string& path, const std::string& file) {
  if (!fs::remove(fs::path(path_) / path / file)) {
    throw std::runtime_error("no file " + path + "/" + file);
  }
}

}  // namespace plimsoll::test
