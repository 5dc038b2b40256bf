// SPDX-License-Identifier: Apache-2.0
#include "tests/agent/policy/simulated_cpu.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "bpf/record_time.h"

namespace plimsoll::test {
namespace {

using agent::CpuArmed;
using agent::CpuFacts;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::int64_t kPeriodMs = 100;

// What the kernel keeps of one cgroup, in CPU milliseconds.
struct Bandwidth {
  double quota = 0;
  double burst = 0;
  double runtime = 0;
  double snap = 0;
  bool throttled = false;
  bool active = false;  // its period timer runs
  bool idle = false;
  std::int64_t refilled_ms = 0;
  std::uint64_t history = 0;
  double used_in_period = 0;

  void refill(std::int64_t now_ms) {
    runtime = std::min(runtime + quota, quota + burst);
    snap = runtime;
    refilled_ms = now_ms;
  }
  void write(double new_quota, double new_burst, std::int64_t now_ms) {
    quota = new_quota;
    burst = new_burst;
    refill(now_ms);
    throttled = false;
  }
};

double quota_of(MilliCpu cpus) { return static_cast<double>(cpus.value) * kPeriodMs / 1000; }
MilliCpu cpus_of(double per_period) {
  return {static_cast<std::uint64_t>(std::lround(per_period * 1000 / kPeriodMs))};
}
MonotonicTime time_of(std::int64_t now_ms) { return MonotonicTime(milliseconds(now_ms)); }

// The policy, driven as the CPU thread and the slow loop drive it.
class Ours {
 public:
  Ours(const CpuScene& scene, const CpuPolicy& policy) : scene_(scene), policy_(policy) {}

  // True: it has written. One event at a time; the answer takes a millisecond.
  bool on_throttle(Bandwidth& cgroup, std::int64_t now_ms, std::uint32_t runnable) {
    const std::uint32_t window = policy_.window - 1;
    const std::uint64_t mask = (std::uint64_t{1} << window) - 1;
    const auto throttled = static_cast<std::uint32_t>(std::popcount(cgroup.history & mask)) + 1;
    const MilliCpu remembered = agent::remembered_of(policy_, hold_, time_of(now_ms));
    const microseconds burst(std::lround(cgroup.burst * 1000));
    const bool at_once = agent::answers_at_once(
        policy_, armed_, {.limit = cpus_of(cgroup.quota), .burst = burst}, hold_, time_of(now_ms));
    if (throttled <= agent::tolerated_periods(policy_, at_once)) return false;
    const CpuFacts facts{
        .limit = cpus_of(cgroup.quota),
        .use = agent::use_of(microseconds(std::lround((cgroup.snap - cgroup.runtime) * 1000)),
                             milliseconds(now_ms - cgroup.refilled_ms)),
        .remembered = remembered,
        .burst = burst,
        .throttled = throttled,
        .runnable = runnable};
    const agent::CpuVerdict verdict = agent::grow_on_throttle(policy_, armed_, facts, budget_);
    if (verdict.burst) {
      cgroup.write(cgroup.quota, static_cast<double>(verdict.burst->count()) / 1000, now_ms);
      hold_.burst_at = time_of(now_ms);
      return true;
    }
    if (!verdict.limit) return false;
    budget_ -= *verdict.limit - facts.limit;
    ++raises_;
    agent::note_raise(policy_, time_of(now_ms), hold_);
    cgroup.write(quota_of(*verdict.limit), cgroup.burst, now_ms);
    return true;
  }

  // At each period.
  bool on_check(Bandwidth& cgroup, std::int64_t now_ms, double used) {
    const auto to = agent::give_back_cpu(policy_, scene_.floor, cpus_of(cgroup.quota),
                                         cpus_of(used), time_of(now_ms), hold_);
    if (!to) return false;
    cgroup.write(quota_of(*to), cgroup.burst, now_ms);
    return true;
  }

  void on_tick(const Bandwidth& cgroup, std::int64_t now_ms, double used, double peak,
               std::uint64_t throttled) {
    agent::Snapshot snapshot{.now = time_of(now_ms)};
    const MilliCpu use = cpus_of(used / 10);
    snapshot.node.cpu = {.capacity = MilliCpu{scene_.cpus * std::uint64_t{1000}}, .use = use};
    agent::ContainerSnapshot container{.slot = 0, .id = CgroupId{1}};
    container.cpu = {.bounds = {.floor = scene_.floor, .ceiling = scene_.ceiling},
                     .limit = cpus_of(cgroup.quota),
                     .burst = microseconds(
                         static_cast<std::int64_t>(quota_of(scene_.floor) * policy_.burst * 1000)),
                     .use = use,
                     .peak = cpus_of(peak),
                     .throttled = throttled,
                     .raises = std::exchange(raises_, 0)};
    snapshot.containers.push_back(container);
    agent::CpuDecision decision = agent::decide_cpu(snapshot, policy_, std::move(history_));
    history_ = std::move(decision.history);
    armed_ = decision.plan.arming.front().armed;
    budget_ = decision.plan.budget;
  }

 private:
  CpuScene scene_;
  CpuPolicy policy_;
  CpuArmed armed_;
  MilliCpu budget_;
  std::uint32_t raises_ = 0;
  std::map<CgroupId, agent::CpuHistory> history_;
  agent::CpuHold hold_;
};

}  // namespace

std::int64_t CpuRun::percentile_ms(double share) const {
  if (latencies_ms.empty()) return 0;
  std::vector<std::int64_t> sorted = latencies_ms;
  std::sort(sorted.begin(), sorted.end());
  return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
}

std::uint32_t BurstLoad::threads(std::int64_t now_ms) {
  if (now_ms >= shape_.begin_ms && now_ms < shape_.end_ms) {
    const std::int64_t at = (now_ms - shape_.begin_ms) % shape_.every_ms;
    if (at % shape_.apart_ms == 0 && at / shape_.apart_ms < std::int64_t{shape_.count}) {
      queue_.push_back({now_ms, shape_.work_ms});
    }
  }
  return static_cast<std::uint32_t>(queue_.size());
}

void BurstLoad::serve(std::int64_t now_ms, double cpu_ms) {
  // A thread has at most one CPU; those that came first go first.
  for (Request& request : queue_) {
    const double given = std::min({cpu_ms, request.left_ms, 1.0});
    request.left_ms -= given;
    cpu_ms -= given;
    if (request.left_ms < 1e-9) latencies_ms.push_back(now_ms + 1 - request.came_ms);
  }
  std::erase_if(queue_, [](const Request& request) { return request.left_ms < 1e-9; });
}

CpuRun run_cpu(CpuController controller, const CpuScene& scene, CpuLoad& load,
               const CpuPolicy& policy) {
  CpuRun run;
  Bandwidth cgroup;
  const double floor = quota_of(scene.floor);
  cgroup.write(floor, controller == CpuController::kBurstOnly ? floor : 0, 0);
  Ours ours(scene, policy);
  std::uint64_t throttled_at_tick = 0;
  double used = 0;
  double peak = 0;
  bool write_is_due = false;
  for (std::int64_t now = 0; now < scene.length_ms; ++now) {
    if (now % kPeriodMs == 0) {
      const double last = cgroup.used_in_period;
      // As do_sched_cfs_period_timer(): idle for a whole period ends it.
      if (cgroup.active) {
        ++run.periods;
        cgroup.history = cgroup.history << 1 | (cgroup.throttled ? 1 : 0);
        if (cgroup.throttled) {
          ++run.throttled;
          if (now > scene.load_at_ms) run.settled_ms = now - scene.load_at_ms;
        }
        cgroup.active = !cgroup.idle || cgroup.throttled;
      }
      cgroup.idle = true;
      cgroup.throttled = false;
      cgroup.used_in_period = 0;
      peak = std::max(peak, last);
      cgroup.refill(now);
      if (controller == CpuController::kOurs && ours.on_check(cgroup, now, last)) ++run.writes;
    }
    if (now % 1000 == 0) {
      if (controller == CpuController::kLoop) {
        const double most = 3 * floor;
        const double quota = run.throttled > throttled_at_tick
                                 ? std::min(cgroup.quota * 1.2, most)
                                 : std::max(cgroup.quota * 0.8, floor);
        if (quota != cgroup.quota) {
          cgroup.write(quota, 0, now);
          ++run.writes;
        }
      }
      if (controller == CpuController::kOurs) {
        ours.on_tick(cgroup, now, used, peak, run.throttled - throttled_at_tick);
      }
      throttled_at_tick = run.throttled;
      used = 0;
      peak = 0;
    }
    const std::uint32_t threads = load.threads(now);
    if (write_is_due && ours.on_throttle(cgroup, now, threads)) ++run.writes;
    write_is_due = false;
    double got = 0;
    if (threads > 0 && !cgroup.throttled) {
      cgroup.idle = false;
      cgroup.active = true;
      got = std::min<double>(std::min(threads, scene.cpus), cgroup.runtime);
      cgroup.runtime -= got;
    }
    load.serve(now, got);
    used += got;
    cgroup.used_in_period += got;
    run.used_seconds += got / 1000;
    run.quota_seconds += cgroup.quota / kPeriodMs / 1000;
    if (threads > 0 && cgroup.runtime < 1e-9 && !cgroup.throttled) {
      cgroup.throttled = true;
      write_is_due = controller == CpuController::kOurs;
    }
  }
  run.latencies_ms = load.latencies_ms;
  return run;
}

}  // namespace plimsoll::test
