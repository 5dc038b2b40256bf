// SPDX-License-Identifier: Apache-2.0
#include "agent/restore/systemd.h"

#include <poll.h>

#include <chrono>
#include <map>

#include "agent/pods/cgroup_name.h"
#include "cgroup/cpu_max.h"

namespace plimsoll::agent {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::microseconds kPeriod{100'000};  // systemd's, and the kubelet's
constexpr std::uint64_t kUsPerMilliCpu = 1000;         // of CPU time per second

}  // namespace

std::size_t tell_restored(const RestoreReport& report, const cgroup::Root& root,
                          const SystemdUnitsConfig& systemd) {
  SystemdUnitsConfig at_once = systemd;
  at_once.settle = Nanoseconds(0);
  std::map<std::string, UnitLimits> waiting;
  for (const RestoreItem& item : report.items) {
    if (item.outcome != RestoreItem::Outcome::kRestored) continue;
    const auto unit = unit_of_cgroup(item.path);
    if (!unit) continue;
    UnitLimits& limits = waiting[*unit];
    limits.unit = *unit;
    limits.path = item.path;
    if (item.is_cpu()) {
      // What the file has; the kernel takes no quota below its least.
      const cgroup::CpuMax target = cgroup::cpu_max_of(std::get<MilliCpu>(item.target), kPeriod);
      limits.cpu_quota_us_per_second = cgroup::cpus_of(target)->value * kUsPerMilliCpu;
    } else {
      limits.memory_max = std::get<Limit>(item.target);
    }
  }
  if (waiting.empty()) return 0;
  const auto units = SystemdUnits::start(root, at_once);
  if (!units) return waiting.size();
  std::size_t refused = 0;
  for (const auto& [unit, limits] : waiting) (void)(*units)->tell(limits);
  const auto deadline = Clock::now() + systemd.timeout;
  while (!waiting.empty() && Clock::now() < deadline) {
    pollfd ready{(*units)->outcome_fd(), POLLIN, 0};
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    ::poll(&ready, 1, static_cast<int>(rest.count()));
    for (const UnitOutcome& outcome : (*units)->collect()) {
      if (waiting.erase(outcome.limits.unit) > 0 && outcome.error &&
          outcome.error->code != Code::kGone) {
        ++refused;
      }
    }
  }
  return waiting.size() + refused;
}

}  // namespace plimsoll::agent
