// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/run_cgroup.h"

#include <dirent.h>
#include <unistd.h>

#include <charconv>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/file.h"

namespace plimsoll::agent {
namespace {

constexpr std::string_view kPrefix = "plimsoll-run-";

std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

// Field 22 of /proc/<pid>/stat; the name in field 2 may hold anything, so it is counted from the
// last parenthesis.
std::optional<std::uint64_t> start_time_of(std::uint64_t pid) {
  const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  if (!stat) return std::nullopt;
  std::string_view rest(*stat);
  const std::size_t name_end = rest.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  rest.remove_prefix(name_end + 1);
  for (int field = 2; field < 22; ++field) {
    const std::size_t blank = rest.find(' ');
    if (blank == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(blank + 1);
  }
  return take_number(rest);
}

}  // namespace

std::string run_cgroup_name(pid_t pid, std::uint64_t start_time, std::string_view name) {
  std::string text(kPrefix);
  text += std::to_string(pid) + "-" + std::to_string(start_time);
  if (!name.empty()) text += "-" + std::string(name);
  return text;
}

bool is_stale_run_cgroup(std::string_view cgroup_name) {
  if (!cgroup_name.starts_with(kPrefix)) return false;
  cgroup_name.remove_prefix(kPrefix.size());
  const auto pid = take_number(cgroup_name);
  if (!pid || !cgroup_name.starts_with('-')) return false;
  cgroup_name.remove_prefix(1);
  const auto start_time = take_number(cgroup_name);
  if (!start_time || !(cgroup_name.empty() || cgroup_name.starts_with('-'))) return false;
  return start_time_of(*pid) != start_time;
}

std::size_t remove_stale_run_cgroups(const cgroup::Root& root, const cgroup::Group& parent,
                                     const cgroup::Writer& writer) {
  std::vector<std::string> stale;
  const std::string path = root.path() + "/" + parent.path();
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
  if (!directory) return 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (is_stale_run_cgroup(entry->d_name)) stale.emplace_back(entry->d_name);
  }
  std::size_t removed = 0;
  for (const std::string& name : stale) {
    const auto group = root.open_group(parent.path() + "/" + name);
    // Not when something lives in it: then the removal fails as a whole, and that is right.
    const auto events = group ? group->read_cgroup_events() : tl::unexpected(group.error());
    if (events && !events->populated && writer.remove_group(*group)) ++removed;
  }
  return removed;
}

Result<RunCgroup> RunCgroup::make(const cgroup::Root& root, const cgroup::Group& parent,
                                  std::string_view name) {
  const cgroup::Writer writer;
  remove_stale_run_cgroups(root, parent, writer);
  const pid_t pid = ::getpid();
  const auto start_time = start_time_of(static_cast<std::uint64_t>(pid));
  auto group = writer.create_group(parent, run_cgroup_name(pid, start_time.value_or(0), name));
  if (!group) return tl::unexpected(group.error());
  return RunCgroup(std::move(*group));
}

RunCgroup::RunCgroup(RunCgroup&& other) noexcept
    : group_(std::move(other.group_)), removed_(std::exchange(other.removed_, true)) {}

RunCgroup::~RunCgroup() {
  if (!removed_) (void)remove();
}

Result<void> RunCgroup::remove() {
  removed_ = true;
  (void)writer_.kill(group_);
  Result<void> result;
  // A killed process leaves the cgroup when the kernel has torn it down.
  for (int attempt = 0; attempt < 500; ++attempt) {
    result = writer_.remove_group(group_);
    if (result || result.error().code != Code::kConflict) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  if (!result && result.error().code == Code::kGone) return {};
  return result;
}

}  // namespace plimsoll::agent
