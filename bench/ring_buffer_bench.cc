// SPDX-License-Identifier: Apache-2.0
//
// What an event costs its reader once it is awake: MemoryPrograms::drain_urgent() over events that
// wait in the ring buffer. Needs root; events are put there by a program, outside of the time.
#include <benchmark/benchmark.h>

#include <optional>

#include "bench/figures.h"
#include "bench/trigger.h"
#include "bpf/memory_programs.h"

namespace plimsoll::bench {
namespace {

std::optional<bpf::MemoryPrograms> load_programs(std::string& why) {
  // Where the kernel refuses the hooks, the trigger's events are as good without them.
  for (const bool attached : {true, false}) {
    auto programs = bpf::MemoryPrograms::load({}, attached);
    if (programs) return std::move(*programs);
    why = programs.error().message;
  }
  return std::nullopt;
}

void drain_urgent(benchmark::State& state) {
  std::string why;
  auto programs = load_programs(why);
  if (!programs) return state.SkipWithError(why.c_str());
  auto trigger = Trigger::load(programs->urgent_fd());
  if (!trigger) return state.SkipWithError(trigger.error().message.c_str());
  const auto waiting = static_cast<std::uint32_t>(state.range(0));
  std::uint64_t sum = 0;
  for (auto _ : state) {  // NOLINT(clang-analyzer-deadcode.DeadStores)
    if (auto filled = trigger->fill(waiting, {64 * kMiB}); !filled) {
      return state.SkipWithError(filled.error().message.c_str());
    }
    const double begin = now_ns();
    const std::size_t handled = programs->drain_urgent(
        [](void* context, const pl_memory_event& event) {
          *static_cast<std::uint64_t*>(context) += event.usage_bytes;
        },
        &sum);
    state.SetIterationTime((now_ns() - begin) / 1e9);
    if (handled != waiting) return state.SkipWithError("events were lost");
  }
  benchmark::DoNotOptimize(sum);
  state.counters["per_item"] =
      benchmark::Counter(static_cast<double>(state.iterations() * state.range(0)),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(drain_urgent)->Arg(1)->Arg(500)->UseManualTime();

}  // namespace
}  // namespace plimsoll::bench
