// SPDX-License-Identifier: Apache-2.0
// The driver's own way with cgroup files. Not the project's on purpose: what measures must not
// share a mistake with what is measured.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <thread>

#include "tests/storm/storm_driver.h"

namespace plimsoll::storm {

namespace fs = std::filesystem;

std::optional<std::string> read_file(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::nullopt;
  std::string text;
  char part[4096];
  for (ssize_t got = 0; (got = read(file, part, sizeof(part))) > 0;) {
    text.append(part, static_cast<size_t>(got));
  }
  close(file);
  return text;
}

bool write_file(const std::string& path, const std::string& text) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return false;
  const bool written = write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(file);
  return written;
}

std::optional<uint64_t> read_counter(const std::string& path, const std::string& key) {
  const auto text = read_file(path);
  if (!text) return std::nullopt;
  std::istringstream lines(*text);
  for (std::string name, value; lines >> name >> value;) {
    if (name == key) return parse_count(value);
  }
  return std::nullopt;
}

std::set<std::string> all_cgroups() {
  std::set<std::string> found;
  std::error_code failure;
  for (fs::recursive_directory_iterator entry(kCgroupRoot, failure), end; entry != end;
       entry.increment(failure)) {
    if (failure) break;
    if (entry->is_directory(failure)) found.insert(entry->path().string());
  }
  return found;
}

bool make_cgroup(const std::string& path, std::optional<uint64_t> limit_bytes) {
  if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return false;
  const std::string swap = path + "/memory.swap.max";
  if (access(swap.c_str(), W_OK) == 0 && !write_file(swap, "0")) return false;
  return write_file(path + "/memory.max", limit_bytes ? std::to_string(*limit_bytes) : "max");
}

bool remove_cgroup(const std::string& path) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  do {
    write_file(path + "/cgroup.kill", "1");
    std::error_code failure;
    std::vector<std::string> paths = {path};
    for (fs::recursive_directory_iterator entry(path, failure), end; !failure && entry != end;
         entry.increment(failure)) {
      if (entry->is_directory(failure)) paths.push_back(entry->path().string());
    }
    // A child's path is longer than its parent's: deepest first.
    std::sort(paths.begin(), paths.end(),
              [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
    for (const std::string& each : paths) rmdir(each.c_str());
    if (access(path.c_str(), F_OK) != 0) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}

}  // namespace plimsoll::storm
