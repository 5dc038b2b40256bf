// SPDX-License-Identifier: Apache-2.0
#include "tests/storm/storm_summary.h"

#include <gtest/gtest.h>

namespace plimsoll::storm::summary_test {
namespace {

RunRecord run_of(const std::string& cell, const std::string& expect, const std::string& mode,
                 double seconds) {
  RunRecord run;
  run.cell = cell;
  run.expect = expect;
  run.mode = mode;
  run.exit_code = 0;
  run.result_written = true;
  run.seconds = seconds;
  return run;
}

RunRecord killed_after(const std::string& expect, const std::string& mode, double stall_ms) {
  RunRecord run = run_of(expect + "/never/64", expect, mode, 1);
  run.killed = true;
  run.exit_code = 137;
  run.stall_ms = stall_ms;
  if (mode == "plimsoll") run.report.emplace();
  return run;
}

TEST(Median, OfNothingOddAndEven) {
  EXPECT_FALSE(median({}).has_value());
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 3}), 2.5);
}

TEST(Summary, TimeIsComparedWithTheSameCellOnly) {
  const Summary summary = summarize(
      {run_of("a", "survive", "unlimited", 1.0), run_of("a", "survive", "plimsoll", 1.1),
       run_of("b", "survive", "unlimited", 10.0), run_of("b", "survive", "plimsoll", 12.0),
       run_of("c", "survive", "plimsoll", 99.0)},
      "6.1", true);
  ASSERT_TRUE(summary.median_time_ratio.has_value());
  EXPECT_NEAR(*summary.median_time_ratio, 1.15, 1e-9);
  EXPECT_NEAR(*summary.worst_cell_time_ratio, 1.2, 1e-9);
  EXPECT_EQ(summary.runs, 3U);
  EXPECT_EQ(summary.survived, 3U);
  EXPECT_TRUE(summary.ok);
}

TEST(Summary, AKilledRunIsARunThatDidNotSurviveAndGivesNoTime) {
  RunRecord killed = run_of("a", "survive", "plimsoll", 50.0);
  killed.killed = true;
  killed.faults = {"did not survive"};
  const Summary summary = summarize(
      {run_of("a", "survive", "unlimited", 1.0), run_of("a", "survive", "plimsoll", 1.0), killed},
      "6.1", true);
  EXPECT_EQ(summary.runs, 2U);
  EXPECT_EQ(summary.survived, 1U);
  EXPECT_EQ(summary.median_time_ratio, 1.0);
  EXPECT_FALSE(summary.ok);
}

TEST(Summary, TheMedianRunMayTakeAQuarterLongerAndNoMore) {
  const auto with = [](double seconds) {
    return summarize({run_of("a", "survive", "unlimited", 1.0),
                      run_of("a", "survive", "plimsoll", seconds)},
                     "6.1", true)
        .ok;
  };
  EXPECT_TRUE(with(1.25));
  EXPECT_FALSE(with(1.26));
}

TEST(Summary, WrongCellsCountApart) {
  RunRecord cache = run_of("cache", "no-grant", "plimsoll", 1);
  cache.report.emplace();
  cache.report->grants = 2;
  RunRecord denied = killed_after("denied-budget", "plimsoll", 10);
  denied.report->grants = 1;
  denied.report->holds["held"] = 3;
  RunRecord fed = killed_after("ceiling", "plimsoll", 10);
  fed.report->grants = 5;
  fed.report->holds["held"] = 5;
  const Summary summary = summarize({cache, denied, fed}, "6.1", true);
  EXPECT_EQ(summary.runs, 0U);
  EXPECT_EQ(summary.wrong_runs, 3U);
  EXPECT_EQ(summary.wrong_grants, 3U);
  EXPECT_EQ(summary.wrong_holds, 3U);
}

TEST(Summary, AKillPutOffIsAFault) {
  const auto with = [](double stall_ms, int times) {
    std::vector<RunRecord> runs;
    for (int run = 0; run < times; ++run) {
      runs.push_back(killed_after("denied-budget", "baseline", 40.0));
      runs.push_back(killed_after("denied-budget", "plimsoll", stall_ms));
    }
    return summarize(runs, "6.1", true).ok;
  };
  EXPECT_TRUE(with(49, 9));
  EXPECT_FALSE(with(51, 9));
  EXPECT_TRUE(with(51, 3));
  EXPECT_FALSE(with(81, 3));
}

TEST(Summary, MissingRunsAreAFault) {
  EXPECT_FALSE(summarize({run_of("a", "survive", "plimsoll", 1)}, "6.1", false).ok);
  EXPECT_FALSE(summarize({}, "6.1", true).ok);
}

TEST(Summary, TheJsonHasTheNamedTotals) {
  const nlohmann::json value = summarize({}, "6.12", true);
  for (const char* key : {"kernel", "runs", "survived", "program_errors", "baseline_runs",
                          "baseline_killed", "median_time_ratio", "wrong_grants", "wrong_holds"}) {
    EXPECT_TRUE(value.contains(key)) << key;
  }
}

}  // namespace
}  // namespace plimsoll::storm::summary_test
