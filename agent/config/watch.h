// SPDX-License-Identifier: Apache-2.0
//
// The configuration file while the agent runs: read at the start, and again when it has changed. A
// ConfigMap volume changes by a symlink that is swapped beside the file, so the file's directory is
// watched (inotify), which sees a file that is replaced or written in place too. Nothing is polled.
// Used by the slow loop: fd() goes into its epoll.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "agent/config/config.h"
#include "agent/config/parse.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

class ConfigWatch {
 public:
  // Reads the file and watches from then on. As load_config(), or why its directory cannot be
  // watched. A change is read when it has been quiet for `settle`.
  static Result<ConfigWatch> open(std::string path,
                                  Nanoseconds settle = std::chrono::milliseconds(200));

  // Readable when take() has something to look at.
  int fd() const { return epoll_.get(); }

  // nullopt: nothing new (yet). A configuration: it is in force from now on. An error: the file is
  // refused as a whole, and the last good one stays in force. Blocks on the file.
  std::optional<Result<Config>> take();

  // The last good one.
  const Config& config() const { return config_; }
  // How many good ones there were: 1 from the start.
  std::uint64_t generation() const { return generation_; }
  // What is wrong with the file as it is now.
  const std::optional<Error>& error() const { return error_; }
  const std::string& path() const { return path_; }

 private:
  ConfigWatch() = default;
  Result<void> watch_directory();
  bool drain_events();
  std::optional<Result<Config>> read_again();

  std::string path_;
  Nanoseconds settle_{};
  Fd inotify_;
  Timer timer_;
  Fd epoll_;
  std::optional<MonotonicTime> changing_since_;  // the timer runs
  bool blind_ = false;                           // there is no directory to watch any more
  std::optional<std::string> text_;              // as last read, good or bad; absent: unreadable
  Config config_;
  std::uint64_t generation_ = 1;
  std::optional<Error> error_;
};

}  // namespace plimsoll::agent
