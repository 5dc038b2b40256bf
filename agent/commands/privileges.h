// SPDX-License-Identifier: Apache-2.0
//
// Privileges: what this process may do of what the agent and `plimsoll run` need. Read once by
// doctor and by what chooses the cgroup; real-time and memory locking are tried, not computed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

// Numbers of linux/capability.h.
enum class Capability : std::uint8_t {
  kDacOverride = 1,
  kIpcLock = 14,
  kSysAdmin = 21,
  kSysNice = 23,
  kSysResource = 24,
  kPerfmon = 38,
  kBpf = 39,
};
std::string_view to_string(Capability capability);  // "CAP_BPF"

struct Privileges {
  std::uint32_t uid = 0;           // effective
  std::uint64_t capabilities = 0;  // effective, a bit each
  // False: the capabilities count for little outside of our user namespace.
  bool initial_user_namespace = true;
  Limit memlock;              // RLIMIT_MEMLOCK, soft
  std::uint64_t rtprio = 0;   // RLIMIT_RTPRIO, soft
  bool real_time = false;     // a thread could be made SCHED_FIFO
  std::string real_time_why;  // when not
  bool memory_lock = false;   // a page could be locked
  std::string memory_lock_why;

  bool has(Capability capability) const;
  bool operator==(const Privileges&) const = default;
};

// The CapEff line of a /proc/<pid>/status. kMalformed: there is none, or it is no number.
Result<std::uint64_t> parse_capabilities(std::string_view status);
// A /proc/<pid>/uid_map that maps every uid to itself.
bool is_initial_user_namespace(std::string_view uid_map);

// Which of `wanted` are missing, as "CAP_BPF and CAP_PERFMON". CAP_SYS_ADMIN stands for the two
// that were split off it.
std::string missing_capabilities(const Privileges& privileges,
                                 const std::vector<Capability>& wanted);

// Tries on a thread and a page of their own, which are gone when it returns.
Result<Privileges> read_privileges();

}  // namespace plimsoll::agent
