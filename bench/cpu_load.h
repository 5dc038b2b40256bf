// SPDX-License-Identifier: Apache-2.0
//
// The loads of bench-cpu, as commands of their own that run under a CPU limit. Work is counted in
// CPU time of the thread that does it, so that it does not depend on how fast the guest is.
//
// What they say on standard output, for whoever started them: "ready PID", then one line
// "work BEGIN END" (CLOCK_MONOTONIC, ns) for each step or burst, then "done". They sleep until they
// are killed, so that what becomes of the limit afterwards can be seen.
#pragma once

#include <chrono>
#include <cstdint>

namespace plimsoll::bench {

using std::chrono::milliseconds;

struct StepLoad {
  unsigned threads = 1;
  milliseconds rest{1500};   // before it
  milliseconds busy{10000};  // wall time
};
[[noreturn]] void run_step(const StepLoad& load);

struct BurstLoad {
  milliseconds rest{1500};
  milliseconds every{2000};
  milliseconds work{500};  // CPU time of one thread
  unsigned count = 6;
};
[[noreturn]] void run_bursts(const BurstLoad& load);

// An HTTP server on loopback: a page of 4 KiB, each costing `work` CPU time.
struct ServeLoad {
  unsigned threads = 8;
  milliseconds work{25};
  std::uint16_t port = 8080;
};
[[noreturn]] void run_serve(const ServeLoad& load);

}  // namespace plimsoll::bench
