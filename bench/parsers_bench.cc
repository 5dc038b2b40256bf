// SPDX-License-Identifier: Apache-2.0
//
// What reading costs once the kernel has answered: the parsers over files recorded from a kernel,
// and the configuration file with every key.
#include <benchmark/benchmark.h>

#include <string>

#include "agent/config/config.h"
#include "agent/config/keys.h"
#include "agent/config/parse.h"
#include "base/file.h"
#include "cgroup/meminfo.h"
#include "cgroup/memory_events.h"
#include "cgroup/memory_stat.h"
#include "cgroup/pressure.h"

namespace plimsoll::bench {
namespace {

std::string recorded(benchmark::State& state, const char* name) {
  const auto text =
      read_file(std::string(PLIMSOLL_SOURCE_DIR) + "/tests/contract/cgroup/6.12/" + name);
  if (!text) state.SkipWithError(text.error().message.c_str());
  return text.value_or("");
}

template <typename Parser>
void parse(benchmark::State& state, Parser parser, const char* name) {
  const std::string text = recorded(state, name);
  for (auto _ : state) {
    auto value = parser(text);
    if (!value) state.SkipWithError("the file was not understood");
    benchmark::DoNotOptimize(value);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}
BENCHMARK_CAPTURE(parse, memory_stat, cgroup::parse_memory_stat, "memory.stat");
BENCHMARK_CAPTURE(parse, memory_events, cgroup::parse_memory_events, "memory.events");
BENCHMARK_CAPTURE(parse, memory_pressure, cgroup::parse_pressure, "memory.pressure");
BENCHMARK_CAPTURE(parse, meminfo, cgroup::parse_meminfo, "meminfo");

void parse_config_with_every_key(benchmark::State& state) {
  std::string text;
  for (const agent::ConfigKey& key : agent::config_keys()) {
    if (const auto value = agent::value_text(key, {})) {
      text += std::string(key.name) + ": " + *value + "\n";
    }
  }
  for (auto _ : state) {  // NOLINT(clang-analyzer-deadcode.DeadStores)
    auto config = agent::parse_config(text, "bench.yaml");
    if (!config) state.SkipWithError(config.error().message.c_str());
    benchmark::DoNotOptimize(config);
  }
}
BENCHMARK(parse_config_with_every_key);

}  // namespace
}  // namespace plimsoll::bench
