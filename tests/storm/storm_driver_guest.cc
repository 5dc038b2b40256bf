// SPDX-License-Identifier: Apache-2.0
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "tests/storm/storm_driver.h"

namespace plimsoll::storm {
namespace {

constexpr const char* kWork = "/run/storm";

std::string failed(const std::string& what) { return what + ": " + strerror(errno); }

bool mount_tmpfs(const std::string& path, const char* data) {
  mkdir(path.c_str(), 0755);
  return mount("storm", path.c_str(), "tmpfs", 0, data) == 0;
}

// Formats the disk and fills a file on it. Written by a process outside the storm's cgroups, then
// dropped from the cache: the storm's own reads bring it back, charged to the storm.
std::string prepare_disk(const DriverOptions& options, Guest& guest) {
  const std::string mounted = std::string(kWork) + "/disk";
  mkdir(mounted.c_str(), 0755);
  Ended ended = run_command({"busybox", "mke2fs", "-F", options.disk}, "", options.timeout);
  if (ended.exit_code != 0) return "mke2fs " + options.disk + ": " + ended.output;
  if (mount(options.disk.c_str(), mounted.c_str(), "ext4", 0, nullptr) != 0) {
    return failed("mounting " + options.disk);
  }
  guest.cache_file = mounted + "/stream";
  ended = run_command({options.load, "fill", "--bytes", "192Mi", "--file", guest.cache_file}, "",
                      options.timeout);
  if (ended.exit_code != 0) return "filling the file to stream: " + ended.output;
  sync();
  write_file("/proc/sys/vm/drop_caches", "3");
  return "";
}

}  // namespace

bool set_thp(bool always) {
  return write_file("/sys/kernel/mm/transparent_hugepage/enabled", always ? "always" : "never");
}

Guest prepare_guest(const DriverOptions& options, bool with_disk) {
  Guest guest;
  mkdir(kWork, 0755);
  write_file(std::string(kCgroupRoot) + "/cgroup.subtree_control", "+memory");
  const auto controllers = read_file(std::string(kCgroupRoot) + "/cgroup.subtree_control");
  if (!controllers || controllers->find("memory") == std::string::npos) {
    guest.problem = "no memory controller below " + std::string(kCgroupRoot);
    return guest;
  }
  guest.tmpfs_small_pages = std::string(kWork) + "/tmpfs";
  guest.tmpfs_huge_pages = std::string(kWork) + "/tmpfs-huge";
  if (!mount_tmpfs(guest.tmpfs_small_pages, "size=95%,huge=never") ||
      !mount_tmpfs(guest.tmpfs_huge_pages, "size=95%,huge=always")) {
    guest.problem = failed("mounting a tmpfs");
    return guest;
  }
  if (!set_thp(true)) {
    guest.problem = "this kernel has no transparent huge pages to set";
    return guest;
  }
  if (with_disk) guest.problem = prepare_disk(options, guest);
  // The program's text comes into memory here, not at the first cell's expense.
  run_command({options.load, "touch", "--bytes", "64Mi"}, "", options.timeout);
  return guest;
}

}  // namespace plimsoll::storm
