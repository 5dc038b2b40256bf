// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/fd.h"

namespace plimsoll::sim {

struct File::Content {
  std::pair<dev_t, ino_t> inode;
  std::string text;
};

namespace {

// For one thread, and never destroyed: files are closed after the end of main().
struct Table {
  std::map<std::pair<dev_t, ino_t>, File::Content*> by_inode;
  std::vector<File::Content*> by_fd;  // nullptr: not known
};
Table& table() {
  static Table* const all = new Table;
  return *all;
}

// nullptr: an ordinary file. Only ours are remembered: they are closed by nobody but close().
File::Content* find(int fd) {
  Table& all = table();
  const auto index = static_cast<std::size_t>(fd);
  if (fd >= 0 && index < all.by_fd.size() && all.by_fd[index] != nullptr) return all.by_fd[index];
  struct stat is {};
  if (all.by_inode.empty() || ::fstat(fd, &is) != 0) return nullptr;
  const auto found = all.by_inode.find({is.st_dev, is.st_ino});
  if (found == all.by_inode.end()) return nullptr;
  all.by_fd.resize(std::max(all.by_fd.size(), index + 1));
  return all.by_fd[index] = found->second;
}

}  // namespace

File::File(const std::filesystem::path& directory, const char* name, std::string_view text)
    : content_(std::make_unique<Content>()) {
  const Fd fd(::open((directory / name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  struct stat is {};
  if (!fd || ::fstat(fd.get(), &is) != 0) {
    throw std::runtime_error("cannot make " + (directory / name).string());
  }
  content_->inode = {is.st_dev, is.st_ino};
  content_->text = text;
  table().by_inode.insert_or_assign(content_->inode, content_.get());
}

// Whoever still has it open reads an empty file.
File::~File() {
  Table& all = table();
  all.by_inode.erase(content_->inode);
  std::replace(all.by_fd.begin(), all.by_fd.end(), content_.get(), static_cast<Content*>(nullptr));
}

const std::string& File::text() const { return content_->text; }
void File::put(std::string_view text) { content_->text = text; }

}  // namespace plimsoll::sim

extern "C" {

ssize_t pread(int fd, void* to, size_t size, off_t offset) {
  const plimsoll::sim::File::Content* file = plimsoll::sim::find(fd);
  if (file == nullptr) return ::syscall(SYS_pread64, fd, to, size, offset);
  const std::string_view text = file->text;
  const auto from = std::min(static_cast<std::size_t>(offset), text.size());
  const std::size_t got = std::min(size, text.size() - from);
  std::memcpy(to, text.data() + from, got);
  return static_cast<ssize_t>(got);
}

ssize_t pwrite(int fd, const void* from, size_t size, off_t offset) {
  plimsoll::sim::File::Content* file = plimsoll::sim::find(fd);
  if (file == nullptr) return ::syscall(SYS_pwrite64, fd, from, size, offset);
  file->text.assign(static_cast<const char*>(from), size);
  return static_cast<ssize_t>(size);
}

int close(int fd) {
  auto& known = plimsoll::sim::table().by_fd;
  const auto index = static_cast<std::size_t>(fd);
  if (fd >= 0 && index < known.size()) known[index] = nullptr;
  return static_cast<int>(::syscall(SYS_close, fd));
}

}  // extern "C"
