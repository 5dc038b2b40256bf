// SPDX-License-Identifier: Apache-2.0
#include "agent/state/state_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "agent/state/node_state_json.h"
#include "base/file.h"

namespace plimsoll::agent {
namespace {

// All that can be watched, with the longest names, several times over.
constexpr std::size_t kLargestState = std::size_t{8} << 20U;

namespace fs = std::filesystem;

constexpr mode_t kPrivate = 0600;

std::string backup_of(const std::string& path) { return path + ".1"; }

Result<NodeState> read_one(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return errno_error(errno, "open " + path);
  auto state = read_all(fd, path, kLargestState).and_then(parse_state);
  if (!state) {
    Error error = std::move(state).error();
    // What read_all says names the file already.
    if (error.message.find(path) == std::string::npos) error.message = path + ": " + error.message;
    return tl::unexpected(std::move(error));
  }
  return state;
}

std::string directory_of(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

Result<Fd> lock(const std::string& path) {
  const std::string name = path + ".lock";
  Fd fd(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kPrivate));
  if (!fd) return errno_error(errno, "open " + name);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return fail(Code::kConflict, path + " is in use by an agent that runs, or by a restore");
    }
    return errno_error(errno, "lock " + name);
  }
  return fd;
}

Result<void> sync(const Fd& fd, const std::string& what) {
  if (::fsync(fd.get()) != 0) return errno_error(errno, "fsync " + what);
  return {};
}

// On disk, complete, under a name that nobody reads.
Result<void> write_whole(const std::string& path, const std::string& text) {
  const Fd fd(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, kPrivate));
  if (!fd) return errno_error(errno, "open " + path);
  return write_all(fd, text, path).and_then([&] { return sync(fd, path); });
}

}  // namespace

FoundState read_state(const std::string& path, const std::string& boot_id) {
  FoundState found;
  for (const std::string& name : {path, backup_of(path)}) {
    auto state = read_one(name);
    if (!state) {
      if (state.error().code != Code::kGone) found.complaints.push_back(state.error().message);
      continue;
    }
    if (state->boot_id != boot_id) {
      found.other_boot = true;
    } else {
      found.state = std::move(*state);
      found.from_backup = name != path;
    }
    break;
  }
  found.state.boot_id = boot_id;
  return found;
}

StateFile::StateFile(std::string path, Fd lock, FoundState found, Nanoseconds coalesce)
    : path_(std::move(path)),
      lock_(std::move(lock)),
      found_(std::move(found)),
      coalesce_(coalesce),
      saved_(found_.state),
      ceilings_(direct_ceilings(saved_)) {}

Result<StateFile> StateFile::open(std::string path, const std::string& boot_id,
                                  Nanoseconds coalesce) {
  const std::string directory = directory_of(path);
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return errno_error(error.value(), "make " + directory);
  auto locked = lock(path);
  if (!locked) return tl::unexpected(std::move(locked).error());
  FoundState found = read_state(path, boot_id);
  return StateFile(std::move(path), std::move(*locked), std::move(found), coalesce);
}

bool StateFile::covers(CgroupId id, Limit direct_ceiling) const {
  const auto known = ceilings_.find(id);
  return known != ceilings_.end() && known->second.memory >= direct_ceiling;
}

bool StateFile::covers_cpu(CgroupId id, MilliCpu direct_ceiling) const {
  if (direct_ceiling == MilliCpu{}) return true;
  const auto known = ceilings_.find(id);
  return known != ceilings_.end() && known->second.cpu >= direct_ceiling;
}

Result<bool> StateFile::update(NodeState state, MonotonicTime now) {
  state.boot_id = saved_.boot_id;
  const bool wait = saved_at_ && now - *saved_at_ < coalesce_;
  if (wait && explains(saved_, state)) return false;
  return flush(std::move(state), now);
}

Result<bool> StateFile::flush(NodeState state, MonotonicTime now) {
  if (!lock_) return fail(Code::kConflict, path_ + " belongs to another agent by now");
  state.boot_id = saved_.boot_id;
  state.generation = saved_.generation;
  // What is on disk is not what we know when it had to be read from the backup, or not at all.
  const bool damaged = !saved_at_ && !found_.complaints.empty();
  if (state == saved_ && !damaged) return false;
  ++state.generation;
  const auto replaced = replace(format_state(state));
  if (!replaced) return tl::unexpected(replaced.error());
  saved_ = std::move(state);
  ceilings_ = direct_ceilings(saved_);
  saved_at_ = now;
  return true;
}

// At every moment either PATH or PATH.1 is whole, and PATH is the newer.
Result<void> StateFile::replace(const std::string& text) const {
  if (text.size() > kLargestState) {
    return fail(Code::kUnavailable, path_ + " would have " + std::to_string(text.size()) +
                                        " bytes, more than a state may have");
  }
  const std::string next = path_ + ".new";
  auto written = write_whole(next, text);
  if (!written) {
    ::unlink(next.c_str());
    return written;
  }
  // Only what was read or written well is worth keeping: a damaged file must not push out the last
  // good one. Without a backup the replacement is as safe, so its failures do not matter.
  if (saved_at_ || found_.complaints.empty()) {
    const std::string older = backup_of(path_) + ".new";
    ::unlink(older.c_str());
    if (::link(path_.c_str(), older.c_str()) == 0) {
      ::rename(older.c_str(), backup_of(path_).c_str());
    }
  }
  if (::rename(next.c_str(), path_.c_str()) != 0) return errno_error(errno, "rename " + next);
  const std::string directory = directory_of(path_);
  const Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return errno_error(errno, "open " + directory);
  return sync(fd, directory);
}

}  // namespace plimsoll::agent
