// SPDX-License-Identifier: Apache-2.0
// Tells systemd one memory limit as the agent does, and says what became of it. Used by the guest
// of tests/vm/systemd. Usage: systemd-tell ROOT PATH BYTES
#include <poll.h>

#include <cstdio>

#include "agent/pods/cgroup_name.h"
#include "agent/systemd/units.h"

namespace plimsoll::agent {
namespace {

Result<void> tell(const std::string& root_path, const std::string& path, std::string_view bytes) {
  const auto limit = parse_limit(bytes);
  if (!limit) return tl::unexpected(limit.error());
  const auto root = cgroup::Root::open(root_path);
  if (!root) return tl::unexpected(root.error());
  const auto unit = unit_of_cgroup(path);
  if (!unit) return fail(Code::kMalformed, path + " is not the cgroup of a unit");
  const auto units = SystemdUnits::start(*root, {});
  if (!units) return tl::unexpected(units.error());
  (*units)->tell({*unit, path, *limit, std::nullopt});
  pollfd ready{(*units)->outcome_fd(), POLLIN, 0};
  constexpr int kMinute = 60'000;
  ::poll(&ready, 1, kMinute);
  for (const UnitOutcome& outcome : (*units)->collect()) {
    if (outcome.error) return tl::unexpected(*outcome.error);
    return {};
  }
  return fail(Code::kUnavailable, "no outcome within a minute");
}

}  // namespace
}  // namespace plimsoll::agent

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto told = plimsoll::agent::tell(argv[1], argv[2], argv[3]);
  if (told) return 0;
  std::fprintf(stderr, "systemd-tell: %s\n", told.error().message.c_str());
  return 1;
}
