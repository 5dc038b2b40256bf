// SPDX-License-Identifier: Apache-2.0
//
// InMemory: the first base class of a fixture whose temporary directories are to be in memory: for
// tests that make tens of thousands of directories.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace plimsoll::test {

class InMemory {
 public:
  InMemory() {
    if (const char* const before = std::getenv(kName)) before_ = before;
    if (std::filesystem::is_directory(kMemory)) ::setenv(kName, kMemory, 1);
  }
  ~InMemory() {
    if (before_) {
      ::setenv(kName, before_->c_str(), 1);
    } else {
      ::unsetenv(kName);
    }
  }
  InMemory(const InMemory&) = delete;
  InMemory& operator=(const InMemory&) = delete;

 private:
  static constexpr const char* kName = "TMPDIR";
  static constexpr const char* kMemory = "/dev/shm";
  std::optional<std::string> before_;
};

}  // namespace plimsoll::test
