// SPDX-License-Identifier: Apache-2.0
//
// The kernel's files, each parser on each text: a value that is taken is written and read again as
// the same, what is refused is malformed.
#include "cgroup/cgroup_events.h"
#include "cgroup/controllers.h"
#include "cgroup/meminfo.h"
#include "cgroup/memory_events.h"
#include "cgroup/memory_stat.h"
#include "cgroup/mounts.h"
#include "cgroup/pressure.h"
#include "cgroup/procs.h"
#include "cgroup/value.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzz_target.h"

using namespace plimsoll;  // NOLINT(google-build-using-namespace): a program of its own
using plimsoll::test::require;

namespace {

template <typename T>
void check(const Result<T>& result) {
  if (result) return;
  require(result.error().message.size() < 1000, "a message that a person can read");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = test::text_of(data, size);
  check(cgroup::parse_cgroup_events(text));
  check(cgroup::parse_controllers(text));
  check(cgroup::parse_meminfo(text));
  check(cgroup::parse_memory_events(text));
  check(cgroup::parse_memory_stat(text));
  check(cgroup::parse_own_cgroup(text));
  check(cgroup::parse_pressure(text));
  check(cgroup::parse_bytes_file(text));
  (void)cgroup::parse_mountinfo(text);
  const auto procs = cgroup::parse_procs(text);
  check(procs);
  if (procs) {
    for (const pid_t pid : procs->pids) require(pid > 0, "kill(2) takes 0 and -1 for many");
  }
  const auto limit = cgroup::parse_limit_file(text);
  check(limit);
  if (limit) {
    cgroup::ValueBuffer buffer{};
    Limit again;
    require(cgroup::parse_limit_value(cgroup::format_limit(*limit, buffer), again),
            "what is written is read");
    require(again == *limit, "as the same");
  }
  return 0;
}

std::vector<std::string> fuzz_seeds() { return test::contract_files("cgroup"); }
