// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/file_limit.h"

#include <sys/resource.h>

#include <cerrno>

namespace plimsoll::agent {

Result<std::uint64_t> raise_file_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return errno_error(errno, "read RLIMIT_NOFILE");
  if (limit.rlim_cur == limit.rlim_max) return limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return errno_error(errno, "raise RLIMIT_NOFILE");
  return limit.rlim_cur;
}

}  // namespace plimsoll::agent
