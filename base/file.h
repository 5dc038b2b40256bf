// SPDX-License-Identifier: Apache-2.0
//
// Whole small files (kernel files, /proc, configuration): read and write in one call each.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace plimsoll {

// Nothing that we read is longer, but for the state; a longer file is kMalformed, so that no file
// can exhaust us.
inline constexpr std::size_t kLargestFile = 1024 * 1024;

// Reads from offset 0 to the end, whatever the file position, and a pipe to its end; blocks as the
// file does. A file that is longer than `most` bytes is kMalformed.
Result<std::string> read_all(const Fd& fd, std::string_view name, std::size_t most = kLargestFile);
Result<std::string> read_file(const std::string& path);

// One write(2) of the whole text at offset 0: kernel files take a value in one piece or not at
// all, so a short write is an error.
Result<void> write_all(const Fd& fd, std::string_view text, std::string_view name);

}  // namespace plimsoll
