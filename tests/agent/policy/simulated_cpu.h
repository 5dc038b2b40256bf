// SPDX-License-Identifier: Apache-2.0
//
// CFS bandwidth control of one cgroup, in steps of a millisecond: quota, periods, burst,
// throttling, and what a write of cpu.max does. With the controllers that the policy is compared
// with. The kernel's side of it is compared with real kernels by tests/vm/cpu_programs_vmtest.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "agent/policy/cpu.h"
#include "agent/policy/decide_cpu.h"

namespace plimsoll::test {

using agent::CpuPolicy;

// What came of one run.
struct CpuRun {
  std::uint64_t periods = 0;
  std::uint64_t throttled = 0;
  double quota_seconds = 0;  // of CPU time that the limit stood for, over the whole run
  double used_seconds = 0;
  std::uint64_t writes = 0;
  // From the start of the load to the end of the last throttled period; absent: none was.
  std::optional<std::int64_t> settled_ms;
  std::vector<std::int64_t> latencies_ms;  // of requests, where the load has some

  std::int64_t percentile_ms(double share) const;
};

// A load, asked once a millisecond: threads that want to run; and how many of its CPU milliseconds
// were served, so that work that is left over stays.
class CpuLoad {
 public:
  virtual ~CpuLoad() = default;
  virtual std::uint32_t threads(std::int64_t now_ms) = 0;
  virtual void serve(std::int64_t now_ms, double cpu_ms) = 0;
  std::vector<std::int64_t> latencies_ms;
};

struct CpuScene {
  MilliCpu floor{500};
  MilliCpu ceiling{1500};
  std::uint32_t cpus = 4;
  std::int64_t length_ms = 30'000;
  std::int64_t load_at_ms = 2'000;  // for CpuRun::settled_ms
};

enum class CpuController : std::uint8_t { kStatic, kBurstOnly, kLoop, kOurs };

// kLoop: once a second, 1.2 times the limit when a period of that second was throttled, up to three
// times the floor, else 0.8 times, down to the floor.
CpuRun run_cpu(CpuController controller, const CpuScene& scene, CpuLoad& load,
               const CpuPolicy& policy = {});

// `threads` from `begin` on until `end`.
class StepLoad : public CpuLoad {
 public:
  StepLoad(std::uint32_t threads, std::int64_t begin_ms, std::int64_t end_ms)
      : threads_(threads), begin_ms_(begin_ms), end_ms_(end_ms) {}
  std::uint32_t threads(std::int64_t now_ms) override {
    return now_ms >= begin_ms_ && now_ms < end_ms_ ? threads_ : 0;
  }
  void serve(std::int64_t, double) override {}

 private:
  std::uint32_t threads_;
  std::int64_t begin_ms_;
  std::int64_t end_ms_;
};

// Requests of `work_ms` CPU time each, `count` of them every `every_ms` from `begin_ms` on, one
// thread for each.
class BurstLoad : public CpuLoad {
 public:
  struct Shape {
    std::int64_t begin_ms = 2'000;
    std::int64_t end_ms = 28'000;
    std::int64_t every_ms = 1'000;
    std::uint32_t count = 20;
    double work_ms = 10;
    std::int64_t apart_ms = 10;  // between two requests of a burst
  };
  explicit BurstLoad(const Shape& shape) : shape_(shape) {}
  std::uint32_t threads(std::int64_t now_ms) override;
  void serve(std::int64_t now_ms, double cpu_ms) override;

 private:
  struct Request {
    std::int64_t came_ms;
    double left_ms;
  };
  Shape shape_;
  std::vector<Request> queue_;
};

}  // namespace plimsoll::test
