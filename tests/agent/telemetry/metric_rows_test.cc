// SPDX-License-Identifier: Apache-2.0
//
// No row of the table of metrics shows the same whatever happens, and nothing of AgentStats is left
// out of the table. The other half, that the product sets all of AgentStats, is the compiler's: see
// agent/node/publish.cc, and below the same for this test.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/telemetry/metric_table.h"

#pragma GCC diagnostic error "-Wmissing-field-initializers"

namespace plimsoll::agent::metric_rows_test {
namespace {

// Each another number, and all are remembered.
class Numbers {
 public:
  std::uint64_t next() { return *given_.insert(1000 + given_.size() * 1000).first; }
  std::array<std::uint64_t, kStartupEnds> ends() {
    std::array<std::uint64_t, kStartupEnds> all{};
    std::generate(all.begin(), all.end(), [this] { return next(); });
    return all;
  }
  const std::set<std::uint64_t>& given() const { return given_; }

 private:
  std::set<std::uint64_t> given_;
};

Record record(std::size_t kind, std::size_t layer, std::size_t reason) {
  Record record;
  record.kind = static_cast<Record::Kind>(kind);
  record.layer = static_cast<Layer>(layer);
  record.reason = static_cast<Reason>(reason);
  record.change = MemoryChange{{}, {kMiB}};
  record.reaction = std::chrono::microseconds(60);
  return record;
}

// Everything that a record or an answer can say, once.
Activity all_said() {
  constexpr auto kKinds = static_cast<std::size_t>(Record::Kind::kWish) + 1;
  constexpr auto kReasons = static_cast<std::size_t>(Reason::kNodeBusy) + 1;
  Activity activity;
  for (std::size_t i = 0; i < kKinds * kLayers * kReasons; ++i) {
    Record said = record(i / kLayers / kReasons, i / kReasons % kLayers, i % kReasons);
    activity.add(said);
    said.change = CpuChange{};
    activity.add(said);
    said.burst = std::chrono::milliseconds(20);
    activity.add(said);
  }
  for (std::size_t i = 0; i < ResizeEvent::kKinds; ++i) {
    ResizeEvent answer;
    answer.kind = static_cast<ResizeEvent::Kind>(i);
    answer.cause = "quota";
    answer.patch_to_limit = std::chrono::milliseconds(400);
    activity.add(answer);
  }
  return activity;
}

ApiTotals all_asked() {
  ApiTotals api;
  for (std::size_t i = 0; i < kApiVerbs; ++i) {
    ApiExchange exchange;
    exchange.verb = static_cast<ApiVerb>(i);
    exchange.status = 200;
    api.add(exchange);
  }
  return api;
}

bpf::Counters counters(Numbers& numbers) {
  bpf::Counters counters;
  for (std::uint64_t* each :
       {&counters.events_dropped, &counters.held, &counters.saved, &counters.expired,
        &counters.missed, &counters.refused_heartbeat, &counters.refused_budget}) {
    *each = numbers.next();
  }
  counters.held_for = std::chrono::seconds(numbers.next());
  return counters;
}

AgentStats all_told(Numbers& numbers) {
  const auto next = [&] { return numbers.next(); };
  const Bytes granted{next()};
  return {.version = "1.2.3",
          .node = "node-a",
          .activity = all_said(),
          .engine = {.tier = bpf::Tier::kC,
                     .tier_refusals = "",
                     .quality = {.realtime = true, .memory_locked = true, .warning = ""},
                     .beat = {},
                     .kernel = counters(numbers),
                     .lost = 0,  // shown by what it was made of
                     .reports_lost = next(),
                     .malformed_events = next(),
                     .refused = next(),
                     .slots_in_use = 0,
                     .cpu = CpuStatus{.refusal = "", .throttled_periods = next(), .lost = next()}},
          .budget = Bytes{next()},
          .cpu = {.containers = next(),
                  .granted = MilliCpu{1000 * next()},
                  .budget = MilliCpu{1000 * next()}},
          .pods = {.known = next(),
                   .managed = next(),
                   .unanswered = next(),
                   .tracked = next(),
                   .leases = next(),
                   .namespaces = {{.name_space = "shop",
                                   .granted = granted,
                                   .limit = granted + Bytes{next()}}}},
          .announce = {.containers = next(),
                       .running = next(),
                       .begun = next(),
                       .ended = next(),
                       .provided_bytes = next(),
                       .grown_bytes = next(),
                       .learned = next(),
                       .failures = next(),
                       .kernel = bpf::ExecCounters{.events = 1,
                                                   .events_dropped = next(),
                                                   .forgotten = next(),
                                                   .missed = next()}},
          .startup = {.boosted = next(), .begun = next(), .ended = numbers.ends()},
          .api = all_asked(),
          .watch = {.relists = next(), .pods_malformed = next()},
          .resizes_dropped = next(),
          .events = {.posted = next(), .suppressed = next(), .dropped = next(), .failed = next()},
          .config = {.generation = next(),
                     .last_reload_good = false,
                     .taken = std::chrono::system_clock::time_point(std::chrono::seconds(next())),
                     .failures = next()},
          .state = {.writes = next(), .write_failures = next()},
          .log_overruns = next()};
}

std::map<std::vector<std::string>, double> values_of(const Metric& metric, const Scrape& scrape) {
  std::map<std::vector<std::string>, double> values;
  for (const Sample& sample : metric.read(scrape)) {
    double value = sample.value;
    if (sample.distribution != nullptr) {
      for (const std::uint64_t count : sample.distribution->counts()) {
        value += static_cast<double>(count);
      }
    }
    values[sample.label_values] = value;
  }
  return values;
}

TEST(MetricRows, EverySampleComesFromSomethingThatIsCounted) {
  Numbers numbers;
  const AgentStats told = all_told(numbers);
  const AgentStats silent{};
  const ProcessStats process = read_own_process();
  const ProcessStats no_process;
  std::set<double> shown;
  for (const Metric& metric : metric_table()) {
    const auto before = values_of(metric, {silent, no_process});
    const auto after = values_of(metric, {told, process});
    EXPECT_FALSE(after.empty()) << metric.name << " is never exported";
    for (const auto& [labels, value] : after) {
      shown.insert(value);
      if (metric.name == "plimsoll_tier" && labels[0] == "C") continue;  // told: B; silent: A
      const auto found = before.find(labels);
      EXPECT_TRUE(found == before.end() || found->second != value)
          << metric.name << " of " << (labels.empty() ? "all" : labels[0]) << " stays " << value;
    }
  }
  for (const std::uint64_t number : numbers.given()) {
    EXPECT_TRUE(shown.contains(static_cast<double>(number)))
        << "no row shows what was given as number " << number / 1000;
  }
}

}  // namespace
}  // namespace plimsoll::agent::metric_rows_test
