// SPDX-License-Identifier: Apache-2.0
//
// What libbpf says while something is loaded, kept for the error message instead of printed.
// One at a time in the process, since libbpf has one print function.
#pragma once

#include <string>

namespace plimsoll::bpf {

class LibbpfLog {
 public:
  LibbpfLog();
  ~LibbpfLog();
  LibbpfLog(const LibbpfLog&) = delete;
  LibbpfLog& operator=(const LibbpfLog&) = delete;

  // The last lines, each trimmed, as " (line; line)"; empty when nothing was said.
  std::string tail() const;
};

}  // namespace plimsoll::bpf
