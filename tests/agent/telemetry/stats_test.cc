// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/stats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "agent/telemetry/exposition.h"
#include "agent/telemetry/metric_table.h"
#include "base/file.h"
#include "tests/support/source_path.h"

namespace plimsoll::agent::stats_test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Bytes mebibytes(std::uint64_t count) { return {count * kMiB}; }

Record record(Record::Kind kind, Layer layer = Layer::kPredicted,
              Reason reason = Reason::kWatermark) {
  return {.kind = kind,
          .layer = layer,
          .reason = reason,
          .change = MemoryChange{mebibytes(64), mebibytes(96)},
          .reaction = microseconds(60)};
}

// Each line that is no comment: name and labels, and the value.
std::map<std::string, double> samples_of(const std::string& text) {
  std::map<std::string, double> samples;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('#')) continue;
    const std::size_t space = line.rfind(' ');
    EXPECT_TRUE(samples.emplace(line.substr(0, space), std::stod(line.substr(space + 1))).second)
        << "twice: " << line;
  }
  return samples;
}

std::map<std::string, double> scraped(const AgentStats& stats, const ProcessStats& process = {}) {
  return samples_of(metrics_text(stats, process));
}

TEST(Metrics, DocsArePrintedFromTheTable) {
  const auto page = read_file(source_path("docs/metrics.md"));
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_EQ(*page, render_metrics_docs());
}

// https://prometheus.io/docs/practices/naming/
TEST(Metrics, NamesFollowTheConventions) {
  std::set<std::string_view> names;
  for (const Metric& metric : metric_table()) {
    SCOPED_TRACE(metric.name);
    EXPECT_TRUE(names.insert(metric.name).second);
    EXPECT_TRUE(metric.name.starts_with("plimsoll_") || metric.name.starts_with("process_"));
    EXPECT_TRUE(std::all_of(metric.name.begin(), metric.name.end(),
                            [](unsigned char c) { return std::islower(c) != 0 || c == '_'; }));
    EXPECT_EQ(metric.name.ends_with("_total"), metric.type == MetricType::kCounter);
    for (const std::string_view scaled : {"milli", "micro", "_ms", "_kb", "_mb", "percent"}) {
      EXPECT_THAT(std::string(metric.name), Not(HasSubstr(std::string(scaled))));
    }
    if (metric.type == MetricType::kHistogram) {
      EXPECT_TRUE(metric.name.ends_with("_seconds"));
    }
    EXPECT_TRUE(metric.help.ends_with("."));
    EXPECT_EQ(metric.help.find('|'), std::string_view::npos) << "would break the table's page";
    for (const std::string_view label : metric.labels) {
      EXPECT_THAT((std::set<std::string_view>{"pod", "container", "uid", "le", "quantile"}),
                  Not(Contains(label)));
    }
  }
}

TEST(Metrics, CpuLimitsAreCountedApartFromMemory) {
  Activity activity;
  Record record{.kind = Record::Kind::kGrant,
                .layer = Layer::kAtTheLimit,
                .reason = Reason::kThrottled,
                .change = CpuChange{{200}, {900}},
                .reaction = std::chrono::microseconds(80)};
  activity.add(record);
  record.burst = std::chrono::milliseconds(20);
  activity.add(record);
  record.kind = Record::Kind::kShrink;
  activity.add(record);
  record.kind = Record::Kind::kDenial;
  record.reason = Reason::kNodeBusy;
  activity.add(record);
  EXPECT_EQ(activity.cpu.grants.at(Reason::kThrottled), 1U);
  EXPECT_EQ(activity.cpu_bursts, 1U);
  EXPECT_EQ(activity.cpu.shrinks, 1U);
  EXPECT_EQ(activity.cpu.denials.at(Reason::kNodeBusy), 1U);
  EXPECT_GT(activity.cpu.reaction_seconds.sum(), 0);
  EXPECT_TRUE(activity.memory.grants.empty());
  EXPECT_TRUE(activity.memory.denials.empty());
  EXPECT_EQ(activity.memory.shrinks, 0U);
  EXPECT_EQ(activity.granted_bytes, 0U);
  EXPECT_EQ(activity.saves, (std::array<std::uint64_t, kLayers>{}));
}

TEST(Metrics, EverySampleHasTheLabelsOfItsRow) {
  AgentStats stats{};
  stats.engine.kernel = bpf::Counters{};
  stats.budget = mebibytes(1);
  stats.cpu.budget = MilliCpu{500};
  stats.pods.namespaces = {{"shop", mebibytes(1), mebibytes(2)}};
  stats.api.add({.verb = ApiVerb::kPatch, .status = 200});
  stats.activity.add(ResizeEvent{.kind = ResizeEvent::Kind::kRefused, .cause = "quota"});
  const ProcessStats process = read_own_process();
  for (const Metric& metric : metric_table()) {
    const auto labels = static_cast<std::size_t>(
        std::count_if(metric.labels.begin(), metric.labels.end(),
                      [](std::string_view label) { return !label.empty(); }));
    const std::vector<Sample> samples = metric.read({stats, process});
    EXPECT_FALSE(samples.empty()) << metric.name << " is never exported";
    std::set<std::vector<std::string>> seen;
    for (const Sample& sample : samples) {
      EXPECT_EQ(sample.label_values.size(), labels) << metric.name;
      EXPECT_TRUE(seen.insert(sample.label_values).second) << metric.name << " twice";
      EXPECT_EQ(sample.distribution != nullptr, metric.type == MetricType::kHistogram);
    }
  }
}

TEST(Metrics, RecordsAreCountedByKind) {
  AgentStats stats{};
  stats.activity.add(record(Record::Kind::kGrant, Layer::kPredicted, Reason::kTimeToLimit));
  stats.activity.add(record(Record::Kind::kGrant, Layer::kAtTheDoor, Reason::kOomDoor));
  stats.activity.add(record(Record::Kind::kGrant, Layer::kSlowLoop, Reason::kThrashing));
  stats.activity.add(record(Record::Kind::kShrink, Layer::kSlowLoop, Reason::kLeaseEnded));
  stats.activity.add(record(Record::Kind::kReclaim));
  stats.activity.add(record(Record::Kind::kDenial, Layer::kPredicted, Reason::kCeiling));
  stats.activity.add(record(Record::Kind::kDenial, Layer::kPredicted, Reason::kCeiling));
  stats.activity.add(record(Record::Kind::kFailure));
  stats.activity.add(record(Record::Kind::kOomKill));
  stats.activity.add(record(Record::Kind::kWish, Layer::kPredicted, Reason::kTimeToLimit));
  const auto samples = scraped(stats);
  EXPECT_EQ(samples.at("plimsoll_saves_total{layer=\"predicted\"}"), 1);
  EXPECT_EQ(samples.at("plimsoll_saves_total{layer=\"at_the_limit\"}"), 0);
  EXPECT_EQ(samples.at("plimsoll_saves_total{layer=\"at_the_door\"}"), 1);
  EXPECT_EQ(samples.at("plimsoll_saves_total{layer=\"slow_loop\"}"), 1);
  EXPECT_EQ(samples.at("plimsoll_grants_total{reason=\"oom_door\"}"), 1);
  EXPECT_EQ(samples.at("plimsoll_grants_total{reason=\"watermark\"}"), 0);
  EXPECT_EQ(samples.at("plimsoll_denials_total{reason=\"ceiling\"}"), 2);
  EXPECT_EQ(samples.at("plimsoll_wishes_total{reason=\"time_to_limit\"}"), 1);
  EXPECT_EQ(samples.at("plimsoll_shrinks_total"), 1);
  EXPECT_EQ(samples.at("plimsoll_reclaims_total"), 1);
  EXPECT_EQ(samples.at("plimsoll_failures_total"), 1);
  EXPECT_EQ(samples.at("plimsoll_oom_kills_total"), 1);
  EXPECT_EQ(samples.at("plimsoll_granted_bytes_total"), 96.0 * kMiB);
  // The slow loop's raise answered no event.
  EXPECT_EQ(samples.at("plimsoll_reaction_seconds_count"), 2);
}

// A raise is one save, whether it was written, applied by the API, or first one and then the other.
TEST(Metrics, ABridgedRaiseIsOneSave) {
  AgentStats stats{};
  ResizeEvent applied{.kind = ResizeEvent::Kind::kApplied,
                      .change = MemoryChange{mebibytes(64), mebibytes(96)},
                      .layer = Layer::kPredicted,
                      .patch_to_limit = milliseconds(470)};
  stats.activity.add(applied);
  EXPECT_EQ(scraped(stats).at("plimsoll_saves_total{layer=\"predicted\"}"), 1);
  applied.bridged = true;
  stats.activity.add(record(Record::Kind::kGrant, Layer::kPredicted, Reason::kTimeToLimit));
  stats.activity.add(applied);
  applied = {.kind = ResizeEvent::Kind::kApplied,
             .change = MemoryChange{mebibytes(96), mebibytes(64)}};
  stats.activity.add(applied);  // lowered: saves nobody
  const auto samples = scraped(stats);
  EXPECT_EQ(samples.at("plimsoll_saves_total{layer=\"predicted\"}"), 2);
  EXPECT_EQ(samples.at("plimsoll_saves_total{layer=\"slow_loop\"}"), 0);
  EXPECT_EQ(samples.at("plimsoll_granted_bytes_total"), 64.0 * kMiB);
  EXPECT_EQ(samples.at("plimsoll_resizes_total{step=\"applied\"}"), 3);
  EXPECT_EQ(samples.at("plimsoll_patch_to_limit_seconds_count"), 2);
}

TEST(Metrics, ACpuLimitIsNoMemoryThatWasGranted) {
  AgentStats stats{};
  stats.activity.add(ResizeEvent{.kind = ResizeEvent::Kind::kApplied,
                                 .change = CpuChange{MilliCpu{500}, MilliCpu{2000}}});
  const auto samples = scraped(stats);
  EXPECT_EQ(samples.at("plimsoll_resizes_total{step=\"applied\"}"), 1);
  EXPECT_EQ(samples.at("plimsoll_saves_total{layer=\"slow_loop\"}"), 0);
  EXPECT_EQ(samples.at("plimsoll_granted_bytes_total"), 0);
}

TEST(Metrics, HistogramsAreCumulativeAndEndInInfinity) {
  AgentStats stats{};
  for (const int micros : {5, 10, 60, 60, 5'000'000}) {
    Record grant = record(Record::Kind::kGrant);
    grant.reaction = microseconds(micros);
    stats.activity.add(grant);
  }
  const auto samples = scraped(stats);
  EXPECT_EQ(samples.at("plimsoll_reaction_seconds_bucket{le=\"1e-05\"}"), 2) << "a bound is in";
  EXPECT_EQ(samples.at("plimsoll_reaction_seconds_bucket{le=\"5e-05\"}"), 2);
  EXPECT_EQ(samples.at("plimsoll_reaction_seconds_bucket{le=\"0.0001\"}"), 4);
  EXPECT_EQ(samples.at("plimsoll_reaction_seconds_bucket{le=\"1\"}"), 4);
  EXPECT_EQ(samples.at("plimsoll_reaction_seconds_bucket{le=\"+Inf\"}"), 5);
  EXPECT_EQ(samples.at("plimsoll_reaction_seconds_count"), 5);
  EXPECT_NEAR(samples.at("plimsoll_reaction_seconds_sum"), 5.000135, 1e-9);
}

TEST(Metrics, ExchangesAreCountedByVerbStatusAndOutcome) {
  AgentStats stats{};
  stats.api.add({.verb = ApiVerb::kPatch, .status = 200, .took = milliseconds(6)});
  stats.api.add({.verb = ApiVerb::kPatch, .status = 409, .code = Code::kConflict});
  stats.api.add({.verb = ApiVerb::kList, .status = 0, .code = Code::kUnavailable});
  const auto samples = scraped(stats);
  const auto requests = [&](const char* verb, const char* status, const char* outcome) {
    return samples.at("plimsoll_api_requests_total{verb=\"" + std::string(verb) + "\",status=\"" +
                      status + "\",outcome=\"" + outcome + "\"}");
  };
  EXPECT_EQ(requests("patch", "2xx", "ok"), 1);
  EXPECT_EQ(requests("patch", "4xx", "conflict"), 1);
  EXPECT_EQ(requests("list", "none", "unavailable"), 1);
  EXPECT_EQ(samples.at("plimsoll_api_request_seconds_count{verb=\"patch\"}"), 2);
}

TEST(Metrics, SeriesStayBoundedWhateverComes) {
  AgentStats stats{};
  for (std::uint64_t i = 0; i < 500; ++i) {
    stats.activity.add(
        ResizeEvent{.kind = ResizeEvent::Kind::kRefused, .cause = "cause" + std::to_string(i)});
    stats.pods.namespaces.push_back({"ns" + std::to_string(i), mebibytes(i), mebibytes(1000)});
  }
  const auto samples = scraped(stats);
  const auto series = [&](const std::string& name) {
    return std::count_if(samples.begin(), samples.end(),
                         [&](const auto& each) { return each.first.starts_with(name + "{"); });
  };
  EXPECT_LE(series("plimsoll_resize_refusals_total"), 24);
  EXPECT_EQ(samples.at("plimsoll_resize_refusals_total{cause=\"other\"}"), 500 - 23);
  EXPECT_EQ(series("plimsoll_namespace_granted_bytes"), 21);
  EXPECT_EQ(samples.at("plimsoll_namespace_granted_bytes{namespace=\"ns499\"}"), 499.0 * kMiB);
  EXPECT_EQ(samples.at("plimsoll_namespace_granted_bytes{namespace=\"_other\"}"),
            479.0 * 480 / 2 * kMiB);
  EXPECT_EQ(series("plimsoll_namespace_budget_bytes"), 20) << "the others have no budget together";
  EXPECT_LT(samples.size(), 350U);
}

TEST(Metrics, WhatIsNotKnownIsAbsentAndNotZero) {
  const auto samples = scraped(AgentStats{});
  EXPECT_FALSE(samples.contains("plimsoll_budget_bytes"));
  EXPECT_FALSE(samples.contains("plimsoll_holds_total"));
  EXPECT_FALSE(samples.contains("process_resident_memory_bytes"));
  AgentStats known{};
  known.budget = Bytes{0};
  known.engine.kernel = bpf::Counters{
      .held = 3, .saved = 2, .expired = 1, .missed = 4, .held_for = milliseconds(1500)};
  const auto more = scraped(known);
  EXPECT_EQ(more.at("plimsoll_budget_bytes"), 0);
  EXPECT_EQ(more.at("plimsoll_holds_total"), 3);
  EXPECT_EQ(more.at("plimsoll_holds_saved_total"), 2);
  EXPECT_EQ(more.at("plimsoll_holds_expired_total"), 1);
  EXPECT_EQ(more.at("plimsoll_holds_missed_total"), 4);
  EXPECT_EQ(more.at("plimsoll_lost_total{what=\"kernel_recursion\"}"), 4);
  EXPECT_EQ(more.at("plimsoll_hold_seconds_total"), 1.5);
}

TEST(Metrics, StateIsShownAsItIs) {
  AgentStats stats{};
  stats.engine.tier = bpf::Tier::kC;
  stats.version = "1.2.3";
  stats.node = "node-\"a\"\n";
  stats.config = {.generation = 7,
                  .last_reload_good = false,
                  .taken = std::chrono::system_clock::time_point(std::chrono::seconds(1795296692)),
                  .failures = 2};
  stats.pods.leases = 3;
  stats.log_overruns = 5;
  const auto samples = scraped(stats);
  EXPECT_EQ(samples.at("plimsoll_tier{tier=\"A\"}"), 0);
  EXPECT_EQ(samples.at("plimsoll_tier{tier=\"C\"}"), 1);
  EXPECT_EQ(samples.at("plimsoll_build_info{version=\"1.2.3\",node=\"node-\\\"a\\\"\\n\"}"), 1);
  EXPECT_EQ(samples.at("plimsoll_config_generation"), 7);
  EXPECT_EQ(samples.at("plimsoll_config_last_reload_successful"), 0);
  EXPECT_EQ(samples.at("plimsoll_config_last_reload_success_timestamp_seconds"), 1795296692);
  EXPECT_EQ(samples.at("plimsoll_config_reload_failures_total"), 2);
  EXPECT_EQ(samples.at("plimsoll_leases_active"), 3);
  EXPECT_EQ(samples.at("plimsoll_lost_total{what=\"log_lines\"}"), 5);
}

TEST(Metrics, EveryFamilySaysItsTypeAndHelp) {
  const std::string text = metrics_text(AgentStats{}, {});
  EXPECT_THAT(text, HasSubstr("# TYPE plimsoll_saves_total counter\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE plimsoll_leases_active gauge\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE plimsoll_reaction_seconds histogram\n"));
  EXPECT_THAT(text, HasSubstr("# HELP plimsoll_leases_active Direct writes"));
}

TEST(Metrics, TheProcessKnowsItself) {
  const ProcessStats before = read_own_process();
  ASSERT_TRUE(before.resident && before.virtual_size && before.cpu_seconds && before.open_fds &&
              before.threads && before.start_unix_seconds);
  EXPECT_GT(before.resident->value, kMiB);
  EXPECT_GE(before.virtual_size->value, before.resident->value);
  EXPECT_GE(*before.threads, 1U);
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  EXPECT_LE(*before.start_unix_seconds, now + 1);
  EXPECT_GE(*before.start_unix_seconds, now - 3600);
  const Fd more(::dup(STDERR_FILENO));
  EXPECT_EQ(read_own_process().open_fds, *before.open_fds + 1);
}

}  // namespace
}  // namespace plimsoll::agent::stats_test
