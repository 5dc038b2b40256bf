// SPDX-License-Identifier: Apache-2.0
//
// What the kernel says of this process, for the names that every Prometheus client library uses.
#pragma once

#include <cstdint>
#include <optional>

#include "base/units.h"

namespace plimsoll::agent {

struct ProcessStats {
  std::optional<Bytes> resident;
  std::optional<Bytes> virtual_size;
  std::optional<double> cpu_seconds;
  std::optional<double> start_unix_seconds;
  std::optional<std::uint64_t> open_fds;
  std::optional<std::uint64_t> threads;
};
// Read when it is asked for; absent: the kernel did not say.
ProcessStats read_own_process();

}  // namespace plimsoll::agent
