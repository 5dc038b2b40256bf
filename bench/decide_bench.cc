// SPDX-License-Identifier: Apache-2.0
//
// What deciding costs: the slow loop's decide() per container, and the reaction path's verdict.
#include <benchmark/benchmark.h>

#include <cstdint>

#include "agent/policy/decide.h"

namespace plimsoll::bench {
namespace {

using agent::Snapshot;

// A node of `count` containers at second `second`: every one is used a little, every fourth has
// grown above its floor, every tenth moves up and down.
Snapshot node_of(std::int64_t count, int second) {
  Snapshot snapshot{.now = MonotonicTime(std::chrono::seconds(1000 + second)),
                    .node = {.total = Bytes{256 * kGiB}, .available = Bytes{100 * kGiB}}};
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint64_t limit = (i % 4 == 0 ? 512 : 256) * kMiB;
    const std::uint64_t moving =
        i % 10 == 0 ? static_cast<std::uint64_t>(second % 7) * 8 * kMiB : 0;
    snapshot.containers.push_back({.slot = static_cast<agent::Slot>(i),
                                   .id = CgroupId{static_cast<std::uint64_t>(i) + 100},
                                   .bounds = {.floor = {256 * kMiB}, .ceiling = {1 * kGiB}},
                                   .facts = {.limit = {limit},
                                             .usage = {100 * kMiB + moving},
                                             .reclaimable = {20 * kMiB},
                                             .rate_per_second = {moving / 8}},
                                   .peak = Bytes{90 * kMiB + moving},
                                   .refaults = 0,
                                   .activations = 0,
                                   .stall_ratio = 0.0});
  }
  return snapshot;
}

// Includes what the engine does around it: the history moves in and out.
void decide_per_container(benchmark::State& state) {
  std::vector<Snapshot> seconds;
  seconds.reserve(64);
  for (int i = 0; i < 64; ++i) seconds.push_back(node_of(state.range(0), i));
  const agent::Policy policy;
  agent::History history;
  std::size_t second = 0;
  for (auto _ : state) {  // NOLINT(clang-analyzer-deadcode.DeadStores)
    Snapshot& snapshot = seconds[second % seconds.size()];
    agent::Decision decision = agent::decide(snapshot, policy, std::move(history));
    history = std::move(decision.history);
    benchmark::DoNotOptimize(decision.plan);
    snapshot.now += std::chrono::seconds(static_cast<std::int64_t>(seconds.size()));
    ++second;
  }
  state.counters["per_item"] =
      benchmark::Counter(static_cast<double>(state.iterations() * state.range(0)),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(decide_per_container)->Arg(1)->Arg(110)->Arg(1000);

void grow_on_event(benchmark::State& state) {
  const agent::MemoryPolicy policy;
  const agent::Armed armed{.bounds = {.floor = {64 * kMiB}, .ceiling = {4 * kGiB}}};
  agent::MemoryFacts facts{.limit = {256 * kMiB},
                           .usage = {250 * kMiB},
                           .reclaimable = {8 * kMiB},
                           .rate_per_second = {200 * kMiB}};
  for (auto _ : state) {  // NOLINT(clang-analyzer-deadcode.DeadStores)
    benchmark::DoNotOptimize(facts);
    benchmark::DoNotOptimize(
        agent::grow_on_event(policy, armed, facts, agent::Layer::kPredicted, Bytes{8 * kGiB}));
  }
}
BENCHMARK(grow_on_event);

}  // namespace
}  // namespace plimsoll::bench
