// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace plimsoll {

Result<std::string> read_all(const Fd& fd, std::string_view name, std::size_t most) {
  std::string text;
  constexpr std::size_t kChunk = 4096;
  while (true) {
    const std::size_t have = text.size();
    if (have > most) {
      return fail(Code::kMalformed, "read " + std::string(name) + ": longer than " +
                                        std::to_string(most >> 20U) + " MiB");
    }
    text.resize(have + kChunk);
    ssize_t got = ::pread(fd.get(), text.data() + have, kChunk, static_cast<off_t>(have));
    // A pipe, such as /dev/stdin, has no offsets.
    if (got < 0 && errno == ESPIPE) got = ::read(fd.get(), text.data() + have, kChunk);
    if (got < 0 && errno == EINTR) {
      text.resize(have);
      continue;
    }
    if (got < 0) return errno_error(errno, "read " + std::string(name));
    text.resize(have + static_cast<std::size_t>(got));
    if (got == 0) return text;
  }
}

Result<std::string> read_file(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return errno_error(errno, "open " + path);
  return read_all(fd, path);
}

Result<void> write_all(const Fd& fd, std::string_view text, std::string_view name) {
  ssize_t put = 0;
  do {
    put = ::pwrite(fd.get(), text.data(), text.size(), 0);
  } while (put < 0 && errno == EINTR);
  if (put < 0) return errno_error(errno, "write " + std::string(name));
  if (static_cast<std::size_t>(put) != text.size()) {
    return fail(Code::kUnavailable, "write " + std::string(name) + ": short write");
  }
  return {};
}

}  // namespace plimsoll
