// SPDX-License-Identifier: Apache-2.0
#include "agent/reaction/resident_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "base/fd.h"

namespace plimsoll::agent::resident_memory_test {
namespace {

constexpr std::size_t kPages = 16;
const std::size_t kPage = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));

// A file mapped as a library's is, all of it touched.
class MappedFile {
 public:
  explicit MappedFile(const std::string& name)
      : path_(std::filesystem::temp_directory_path() / (name + std::to_string(::getpid()))) {
    std::ofstream(path_) << std::string(kPages * kPage, 'f');
    const Fd fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    text_ = static_cast<char*>(
        ::mmap(nullptr, size(), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd.get(), 0));
    EXPECT_NE(text_, MAP_FAILED);
    // A test before this one may have started a reaction thread, which locks what the process maps
    // from then on: locked pages do not go when protect() says so, and MAP_POPULATE does nothing.
    EXPECT_EQ(::munlock(text_, size()), 0);
    std::memset(text_, 'f', size());
  }
  ~MappedFile() {
    ::munmap(text_, size());
    std::filesystem::remove(path_);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  // As text and constants are; the pages are the file's own.
  void protect() {
    EXPECT_EQ(::mprotect(text_, size(), PROT_READ), 0);
    EXPECT_EQ(::madvise(text_, size(), MADV_DONTNEED), 0);
    read_all();
  }
  // As relocated constants are: written to, then protected.
  void relocate_and_protect() {
    std::memset(text_, 'r', kPage);
    EXPECT_EQ(::mprotect(text_, size(), PROT_READ), 0);
    read_all();
  }
  int lock() const { return ::mlock2(text_, size(), MLOCK_ONFAULT); }
  char at(std::size_t index) const { return text_[index]; }
  static std::size_t size() { return kPages * kPage; }

  // Pages of it that this process has mapped, as the kernel counts them.
  std::size_t resident() const {
    std::ifstream maps("/proc/self/smaps");
    std::ostringstream begin;
    begin << std::hex << reinterpret_cast<std::uintptr_t>(text_) << '-';
    bool here = false;
    for (std::string line; std::getline(maps, line);) {
      if (line.starts_with(begin.str())) here = true;
      if (here && line.starts_with("Rss:")) return std::stoul(line.substr(4)) * kKiB / kPage;
    }
    ADD_FAILURE() << "no mapping at " << begin.str();
    return 0;
  }

 private:
  void read_all() const {
    volatile char seen = 0;
    for (std::size_t i = 0; i < size(); i += kPage) seen = text_[i];
    (void)seen;
  }

  std::filesystem::path path_;
  char* text_ = nullptr;
};

TEST(Resident, UnchangedPagesOfFilesGoAndComeBack) {
  MappedFile library("libunused.so.");
  library.protect();
  ASSERT_EQ(library.resident(), kPages);
  const auto dropped = drop_unneeded_pages();
  ASSERT_TRUE(dropped) << dropped.error().message;
  EXPECT_GE(dropped->value, MappedFile::size());
  EXPECT_EQ(library.resident(), 0U);
  EXPECT_EQ(library.at(0), 'f');
  EXPECT_EQ(library.at(MappedFile::size() - 1), 'f');
}

TEST(Resident, LockedPagesGoAndAreLockedAgain) {
  MappedFile library("liblocked.so.");
  library.protect();
  ASSERT_EQ(library.lock(), 0);
  ASSERT_TRUE(drop_unneeded_pages());
  EXPECT_EQ(library.resident(), 0U);
  EXPECT_EQ(library.at(0), 'f');
  EXPECT_GT(library.resident(), 0U);
}

TEST(Resident, WhatWasWrittenStays) {
  MappedFile relocated("librelocated.so.");
  relocated.relocate_and_protect();
  MappedFile writable("libwritable.so.");
  ASSERT_TRUE(drop_unneeded_pages());
  EXPECT_EQ(relocated.resident(), kPages);
  EXPECT_EQ(relocated.at(0), 'r');
  EXPECT_EQ(relocated.at(kPage), 'f');
  EXPECT_EQ(writable.resident(), kPages);
}

TEST(Resident, WhatIsKeptStays) {
  MappedFile library("libbpf.so.");
  library.protect();
  ASSERT_TRUE(drop_unneeded_pages());
  EXPECT_EQ(library.resident(), kPages);
}

}  // namespace
}  // namespace plimsoll::agent::resident_memory_test
