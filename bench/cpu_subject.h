// SPDX-License-Identifier: Apache-2.0
//
// One load under a CPU limit, kept in one of four ways, and what the kernel says of its cgroup
// while it runs. bench-cpu compares the ways with it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"
#include "cgroup/cpu_files.h"
#include "cgroup/root.h"

namespace plimsoll::bench {

enum class CpuWay : std::uint8_t {
  kStatic,    // the limit stays
  kLoop,      // once a second: times 1.2 up to 3 times the floor when throttled, else times 0.8
  kBurst,     // the limit stays, cpu.max.burst is as large as the quota
  kPlimsoll,  // `plimsoll run --cpu`
};
const char* to_string(CpuWay way);

struct CpuSample {
  double at_ns = 0;
  double limit = 0;  // CPUs
  double used_seconds = 0;
  std::uint64_t periods = 0;
  std::uint64_t throttled = 0;
};

struct Work {
  double begin_ns = 0;
  double end_ns = 0;
};

class CpuSubject {
 public:
  // `load` is a command as of bench/cpu_load.h. Returns when it is ready.
  static Result<CpuSubject> start(CpuWay way, MilliCpu floor, const std::vector<std::string>& load);
  CpuSubject(const CpuSubject&) = delete;
  CpuSubject& operator=(const CpuSubject&) = delete;
  CpuSubject(CpuSubject&&) noexcept;
  CpuSubject& operator=(CpuSubject&&) = delete;
  ~CpuSubject();

  // One look at the cgroup; kLoop does its part. To be called every 10 ms or so.
  Result<void> look();
  bool is_done() const { return done_; }  // the load said so
  bool is_at_floor() const;
  const std::vector<CpuSample>& samples() const { return samples_; }
  const std::vector<Work>& work() const { return work_; }
  // Ends the load, and whoever keeps its limit; the cgroup goes.
  void stop();

 private:
  CpuSubject(CpuWay way, MilliCpu floor) : way_(way), floor_(floor) {}

  Result<void> launch(const std::vector<std::string>& load);
  Result<void> find();
  void hear();
  void keep(const CpuSample& sample);

  CpuWay way_;
  MilliCpu floor_;
  std::string made_;  // the cgroup that is ours to remove
  pid_t pid_ = -1;
  pid_t load_pid_ = 0;
  Fd output_;
  std::string heard_;
  bool done_ = false;
  std::optional<cgroup::CpuFiles> files_;
  std::vector<CpuSample> samples_;
  std::vector<Work> work_;
  CpuSample kept_;  // when the loop last did something
};

}  // namespace plimsoll::bench
