// SPDX-License-Identifier: Apache-2.0
//
// The files of the simulated cgroups. They lie in a directory, where the product opens them; what
// is in them is kept in memory: files.cc puts its own pread(), pwrite() and close() in the place of
// libc's, so that the millions of reads of a history are no system calls. A write replaces the
// whole text, as with the kernel's files.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace plimsoll::sim {

class File {
 public:
  // Makes `name` in `directory`.
  File(const std::filesystem::path& directory, const char* name, std::string_view text);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::string& text() const;
  void put(std::string_view text);

  struct Content;

 private:
  std::unique_ptr<Content> content_;
};

}  // namespace plimsoll::sim
