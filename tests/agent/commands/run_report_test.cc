// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/run_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace plimsoll::agent::run_report_test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr Bytes mebibytes(std::uint64_t count) { return {count * kMiB}; }
constexpr MonotonicTime at(double seconds) {
  return MonotonicTime(
      std::chrono::duration_cast<Nanoseconds>(std::chrono::duration<double>(seconds)));
}

Record grant(Layer layer, Bytes from, Bytes to, double seconds = 1, int reaction_us = 50) {
  return {.kind = Record::Kind::kGrant,
          .at = at(seconds),
          .layer = layer,
          .reason = Reason::kWatermark,
          .change = MemoryChange{from, to},
          .reaction = std::chrono::microseconds(reaction_us)};
}
Record denial(Reason reason) { return {.kind = Record::Kind::kDenial, .reason = reason}; }

// A run that was fed twice and came back.
RunReport survivor() {
  RunReport report;
  report.command = {"make", "-j8"};
  report.started = at(10);
  report.ended = at(12.5);
  report.start_limit = limit_of(mebibytes(64));
  report.final_limit = limit_of(mebibytes(64));
  report.ceiling = mebibytes(1024);
  report.peak = mebibytes(200);
  report.counters = bpf::Counters{};
  report.add(grant(Layer::kPredicted, mebibytes(64), mebibytes(128), 10.5, 40));
  report.add(grant(Layer::kAtTheDoor, mebibytes(128), mebibytes(256), 11, 60));
  report.add(
      {.kind = Record::Kind::kShrink, .change = MemoryChange{mebibytes(256), mebibytes(64)}});
  return report;
}

// A run that the OOM killer ended.
RunReport victim() {
  RunReport report = survivor();
  report.exit = {.code = 137, .signal = 9};
  report.oom_kills = 1;
  return report;
}

TEST(RunReport, SaysWhatBecameOfWhatWasAnnounced) {
  RunReport report = survivor();
  EXPECT_THAT(to_text(report), Not(HasSubstr("announced")));
  EXPECT_EQ(json::parse(to_json(report)).at("announced"), json::array());
  report.announced = {{.command = {"make", mebibytes(300)},
                       .begun = 2,
                       .provided = mebibytes(300),
                       .grown = mebibytes(250)},
                      {.command = {"ninja", {}}}};
  EXPECT_THAT(to_text(report),
              HasSubstr("announced make: begun 2, 300 MiB provided for, grew by 250 MiB\n"));
  EXPECT_THAT(to_text(report), HasSubstr("announced ninja: did not begin\n"));
  const json all = json::parse(to_json(report)).at("announced");
  EXPECT_EQ(all.at(0).at("size_bytes"), 300 * kMiB);
  EXPECT_EQ(all.at(0).at("grown_bytes"), 250 * kMiB);
  EXPECT_EQ(all.at(0).at("begun_total"), 2);
  EXPECT_FALSE(all.at(1).contains("size_bytes"));
}

std::string reason_of(const RunReport& report) { return json::parse(to_json(report)).at("reason"); }

TEST(RunReport, JsonIsOneLineWithEveryFigure) {
  const std::string text = to_json(survivor());
  EXPECT_EQ(text.find('\n'), std::string::npos);
  const json value = json::parse(text);
  EXPECT_EQ(value.at("command"), json({"make", "-j8"}));
  EXPECT_EQ(value.at("exit_code"), 0);
  EXPECT_TRUE(value.at("signal").is_null());
  EXPECT_DOUBLE_EQ(value.at("duration_seconds").get<double>(), 2.5);
  EXPECT_EQ(value.at("tier"), "A");
  EXPECT_EQ(value.at("start_limit_bytes"), 64 * kMiB);
  EXPECT_EQ(value.at("final_limit_bytes"), 64 * kMiB);
  EXPECT_EQ(value.at("ceiling_bytes"), 1024 * kMiB);
  EXPECT_EQ(value.at("peak_bytes"), 200 * kMiB);
  EXPECT_EQ(value.at("oom_kills"), 0);
  EXPECT_EQ(value.at("grants_total"), 2);
  EXPECT_EQ(value.at("shrinks_total"), 1);
  ASSERT_EQ(value.at("grants").size(), 2u);
  const json& first = value.at("grants").at(0);
  EXPECT_DOUBLE_EQ(first.at("at_seconds").get<double>(), 0.5);
  EXPECT_EQ(first.at("layer"), "predicted");
  EXPECT_EQ(first.at("reason"), "watermark");
  EXPECT_EQ(first.at("from_bytes"), 64 * kMiB);
  EXPECT_EQ(first.at("to_bytes"), 128 * kMiB);
  EXPECT_NEAR(first.at("reaction_us").get<double>(), 40, 1e-6);
  EXPECT_TRUE(value.at("denials").empty());
  EXPECT_TRUE(value.at("failures").empty());
  EXPECT_EQ(value.at("reason"), "the OOM killer was not needed");
}

TEST(RunReport, JsonHasTheHoldsAndWhatWasLost) {
  RunReport report = survivor();
  report.counters = bpf::Counters{.events_urgent = 5,
                                  .events_dropped = 1,
                                  .held = 7,
                                  .saved = 4,
                                  .expired = 3,
                                  .missed = 2,
                                  .refused_heartbeat = 8,
                                  .refused_budget = 9,
                                  .held_for = std::chrono::milliseconds(1500)};
  report.lost = 6;
  const json value = json::parse(to_json(report));
  EXPECT_EQ(value.at("holds"), (json{{"held", 7},
                                     {"saved", 4},
                                     {"expired", 3},
                                     {"missed", 2},
                                     {"refused_heartbeat", 8},
                                     {"refused_budget", 9},
                                     {"held_seconds", 1.5}}));
  EXPECT_EQ(value.at("events"), (json{{"urgent", 5}, {"dropped", 1}, {"lost", 6}}));
}

TEST(RunReport, NoLimitIsAWordAndNotANumber) {
  RunReport report = survivor();
  report.start_limit = kNoLimit;
  report.final_limit = kNoLimit;
  const json value = json::parse(to_json(report));
  EXPECT_EQ(value.at("start_limit_bytes"), "max");
  EXPECT_EQ(value.at("final_limit_bytes"), "max");
}

TEST(RunReport, CommandOfAnyBytesIsStillJson) {
  RunReport report = survivor();
  report.command = {"a\"b", "\xff\xfe", "line\nline", ""};
  const json value = json::parse(to_json(report));
  EXPECT_EQ(value.at("command").size(), 4u);
  EXPECT_EQ(value.at("command").at(0), "a\"b");
  EXPECT_EQ(value.at("command").at(2), "line\nline");
}

TEST(RunReport, GrantsOverTheMostAreCountedOnly) {
  RunReport report = survivor();
  report.grants.clear();
  report.grants_by_layer = {};
  for (std::size_t i = 0; i < RunReport::kMostRecords + 5; ++i) {
    report.add(grant(Layer::kAtTheLimit, mebibytes(1), mebibytes(2)));
  }
  const json value = json::parse(to_json(report));
  EXPECT_EQ(value.at("grants").size(), RunReport::kMostRecords);
  EXPECT_EQ(value.at("grants_total"), RunReport::kMostRecords + 5);
}

TEST(RunReport, VerdictOfACeiling) {
  RunReport report = victim();
  report.final_limit = limit_of(report.ceiling);
  report.add(denial(Reason::kCeiling));
  EXPECT_EQ(reason_of(report),
            "the kernel's OOM killer ended a process: it needed more than the ceiling of 1 GiB");
}

TEST(RunReport, VerdictOfABudget) {
  RunReport report = victim();
  report.add(denial(Reason::kBudget));
  EXPECT_EQ(reason_of(report),
            "the kernel's OOM killer ended a process: the node had nothing left to give");
}

TEST(RunReport, VerdictOfALeak) {
  RunReport report = victim();
  report.add(denial(Reason::kLeak));
  report.add(denial(Reason::kBudget));
  EXPECT_EQ(reason_of(report),
            "the kernel's OOM killer ended a process: it climbed without a plateau through several "
            "grants, which is a leak");
}

// Denied on its way, but nobody was killed: the denial is told, and not as the end's reason.
TEST(RunReport, VerdictOfASurvivorNamesNoDenial) {
  RunReport report = survivor();
  report.add(denial(Reason::kBudget));
  EXPECT_EQ(reason_of(report), "the OOM killer was not needed");
  EXPECT_THAT(to_text(report), HasSubstr("  denied   1 budget\n"));
}

TEST(RunReport, VerdictOfAKillThatNothingExplains) {
  EXPECT_EQ(reason_of(victim()), "the kernel's OOM killer ended a process");
}

TEST(RunReport, TextIsTheWholeStory) {
  EXPECT_EQ(
      to_text(survivor()),
      "plimsoll: make ended with status 0 after 2.5 s; the OOM killer was not needed\n"
      "  limit    64 MiB, at most 256 MiB, 64 MiB at the end; peak use 200 MiB; ceiling 1 GiB\n"
      "  grants   2: 1 predicted, 1 at_the_door; event to written limit 60 us median, 60 us "
      "at most\n"
      "  shrinks  1\n");
}

TEST(RunReport, TextNamesTheSignal) {
  EXPECT_THAT(to_text(victim()),
              HasSubstr("plimsoll: make was ended by signal 9 (Killed) after 2.5 s; the kernel's "
                        "OOM killer ended a process\n"));
}

TEST(RunReport, TextHasHoldsLossesAndFailuresOnlyWhereThereAreSome) {
  RunReport report = survivor();
  const std::string quiet = to_text(report);
  for (const char* word : {"holds", "lost", "failed", "denied", "tier"}) {
    EXPECT_THAT(quiet, Not(HasSubstr(word))) << word;
  }
  report.counters =
      bpf::Counters{.held = 3, .saved = 2, .expired = 1, .held_for = std::chrono::milliseconds(20)};
  report.lost = 4;
  report.add({.kind = Record::Kind::kFailure, .error = "No such device"});
  const std::string text = to_text(report);
  EXPECT_THAT(text, HasSubstr("  holds    3: 2 saved, 1 expired; 20 ms in all\n"));
  EXPECT_THAT(text, HasSubstr("  lost     4 events\n"));
  EXPECT_THAT(text, HasSubstr("  failed   No such device\n"));
}

// What a lower tier cannot promise is said each time.
TEST(RunReport, TextSaysWhatALowerTierDoesNotPromise) {
  RunReport report = survivor();
  report.tier = bpf::Tier::kC;
  EXPECT_THAT(
      to_text(report),
      HasSubstr(
          "  tier     C: growth before a kill is likely, not guaranteed; see plimsoll doctor\n"));
}

// The slow loop's own raises are no reactions to an event.
TEST(RunReport, ReactionTimesAreThoseOfEvents) {
  RunReport report = survivor();
  report.grants.clear();
  report.grants_by_layer = {};
  report.add(grant(Layer::kSlowLoop, mebibytes(64), mebibytes(128), 11, 900'000));
  EXPECT_THAT(to_text(report), HasSubstr("  grants   1: 1 slow_loop\n"));
}

Record cpu_change(Record::Kind kind, MilliCpu from, MilliCpu to, int reaction_us = 70) {
  return {.kind = kind,
          .at = at(11),
          .layer = kind == Record::Kind::kGrant ? Layer::kAtTheLimit : Layer::kSlowLoop,
          .reason = Reason::kThrottled,
          .facts = CpuFacts{.use = {1900}, .throttled = 2, .runnable = 3},
          .change = CpuChange{from, to},
          .reaction = std::chrono::microseconds(reaction_us)};
}

// A run whose CPU limit was raised and given back; its memory never was.
RunReport busy() {
  RunReport report;
  report.command = {"make"};
  report.started = at(10);
  report.cpu = CpuRunReport{.floor = {500}, .ceiling = {4000}, .final_limit = {500}};
  report.cpu->stat =
      cgroup::CpuStat{.usage = std::chrono::seconds(7), .periods = 40, .throttled = 1};
  Record burst = cpu_change(Record::Kind::kGrant, {500}, {500}, 50);
  burst.burst = std::chrono::milliseconds(50);
  report.add(burst);
  report.add(cpu_change(Record::Kind::kGrant, {500}, {2090}));
  report.add(cpu_change(Record::Kind::kShrink, {2090}, {500}));
  Record refused = cpu_change(Record::Kind::kDenial, {500}, {500});
  refused.reason = Reason::kNodeBusy;
  report.add(refused);
  return report;
}

TEST(RunReport, CpuIsCountedApartFromMemory) {
  const RunReport report = busy();
  EXPECT_TRUE(report.grants.empty());
  EXPECT_EQ(report.shrinks, 0u);
  EXPECT_TRUE(report.denials.empty());
  EXPECT_EQ(report.cpu->bursts, 1u);
  EXPECT_EQ(report.cpu->raises, 1u);
  EXPECT_EQ(report.cpu->lowerings, 1u);
  EXPECT_EQ(report.cpu->changes.size(), 3u);
  Record failure = cpu_change(Record::Kind::kFailure, {500}, {600});
  failure.error = "No such device";
  RunReport failed = report;
  failed.add(failure);
  EXPECT_EQ(failed.failures.size(), 1u);
}

TEST(RunReport, CpuIsInTheSummaryAndInTheJson) {
  const std::string text = to_text(busy());
  EXPECT_THAT(text, HasSubstr("cpu      500m, at most 2090m, 500m at the end; ceiling 4; used 7 s, "
                              "throttled in 1 of 40 periods"));
  EXPECT_THAT(text, HasSubstr("1 raises, 1 bursts, 1 lowerings; throttle to written limit 70 us "
                              "median, 70 us at most"));
  EXPECT_THAT(text, HasSubstr("denied   cpu: 1 node_busy"));
  const json cpu = json::parse(to_json(busy())).at("cpu");
  EXPECT_EQ(cpu.at("changes").size(), 3u);
  EXPECT_EQ(cpu.at("changes")[0].at("burst_us"), 50'000);
  EXPECT_EQ(cpu.at("changes")[1].at("to_millicpu"), 2090);
  EXPECT_EQ(cpu.at("changes")[1].at("runnable"), 3);
  EXPECT_EQ(cpu.at("denials").at("node_busy"), 1);
  EXPECT_EQ(cpu.at("throttled_periods"), 1);
  EXPECT_FALSE(json::parse(to_json(survivor())).contains("cpu"));
  EXPECT_THAT(to_text(survivor()), Not(HasSubstr("cpu ")));
}

}  // namespace
}  // namespace plimsoll::agent::run_report_test
