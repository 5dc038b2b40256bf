// SPDX-License-Identifier: Apache-2.0
// What a storm's run must have done to count as right. Each case starts from a run that is right
// and breaks one thing.
#include "tests/storm/storm_judge.h"

#include <gtest/gtest.h>

namespace plimsoll::storm::judge_test {
namespace {

RunRecord right_run(const std::string& expect, const std::string& mode) {
  RunRecord run;
  run.cell = expect + "/never/64";
  run.mode = mode;
  run.expect = expect;
  run.limit_bytes = 64;
  run.ceiling_bytes = 256;
  run.exit_code = 0;
  run.result_written = true;
  if (mode != "plimsoll") return run;
  run.report.emplace();
  run.report->grants = 2;
  run.report->highest_limit_bytes = 200;
  return run;
}

RunRecord killed_run(const std::string& expect, const std::string& mode) {
  RunRecord run = right_run(expect, mode);
  run.killed = true;
  run.oom_kills = 1;
  run.exit_code = 137;
  return run;
}

TEST(Judge, ARunThatLivesAndWasFedIsRight) {
  EXPECT_TRUE(judge(right_run("survive", "plimsoll")).empty());
}

TEST(Judge, EverythingThatGoesWrongInASurvivingCellIsAFault) {
  const auto faulty = [](auto&& change) {
    RunRecord run = right_run("survive", "plimsoll");
    change(run);
    return judge(run).size();
  };
  EXPECT_EQ(faulty([](RunRecord& run) { run.killed = true; }), 1U);
  EXPECT_EQ(faulty([](RunRecord& run) { run.errors = 1; }), 1U);
  EXPECT_EQ(faulty([](RunRecord& run) { run.exit_code = 1; }), 1U);
  EXPECT_EQ(faulty([](RunRecord& run) { run.exit_code.reset(); }), 1U);
  EXPECT_EQ(faulty([](RunRecord& run) { run.result_written = false; }), 1U);
  EXPECT_EQ(faulty([](RunRecord& run) { run.timed_out = true; }), 2U);
  EXPECT_EQ(faulty([](RunRecord& run) { run.report.reset(); }), 1U);
  EXPECT_EQ(faulty([](RunRecord& run) { run.report->grants = 0; }), 1U);
  EXPECT_EQ(faulty([](RunRecord& run) {
              run.cell = "late-touch/always/64";
              run.report->layers = {{"at_the_door", 1}, {"predicted", 1}};
            }),
            1U);
  EXPECT_EQ(faulty([](RunRecord& run) { run.report->highest_limit_bytes = 257; }), 1U);
  EXPECT_EQ(faulty([](RunRecord& run) { run.shrink_seen = false; }), 1U);
  EXPECT_EQ(faulty([](RunRecord& run) { run.residue = {"/sys/fs/cgroup/x"}; }), 1U);
  EXPECT_EQ(faulty([](RunRecord& run) { run.limit_after_bytes = 65; }), 1U);
}

TEST(Judge, ABaselineThatLivesMakesTheCellWorthless) {
  EXPECT_TRUE(judge(killed_run("survive", "baseline")).empty());
  EXPECT_EQ(judge(right_run("survive", "baseline")).size(), 1U);
}

TEST(Judge, WithoutALimitEverythingLives) {
  EXPECT_TRUE(judge(right_run("survive", "unlimited")).empty());
  EXPECT_EQ(judge(killed_run("survive", "unlimited")).size(), 1U);
}

TEST(Judge, PageCacheIsNotFedAndNotKilled) {
  RunRecord run = right_run("no-grant", "plimsoll");
  EXPECT_EQ(judge(run).size(), 1U);
  run.report->grants = 0;
  EXPECT_TRUE(judge(run).empty());
  run.killed = true;
  EXPECT_EQ(judge(run).size(), 1U);
  EXPECT_TRUE(judge(right_run("no-grant", "baseline")).empty());
}

TEST(Judge, DirtyPagesAreFedAtTheDoorOnly) {
  RunRecord run = right_run("door-only", "plimsoll");
  run.report->grants = 2;
  run.report->layers = {{"at_the_door", 1}, {"predicted", 1}};
  EXPECT_EQ(judge(run).size(), 1U);
  run.report->grants = 1;
  run.report->layers = {{"at_the_door", 1}};
  EXPECT_TRUE(judge(run).empty());
  EXPECT_TRUE(judge(killed_run("door-only", "baseline")).empty());
  EXPECT_TRUE(judge(right_run("door-only", "baseline")).empty());
}

TEST(Judge, TheCeilingIsReachedAndNamed) {
  RunRecord run = killed_run("ceiling", "plimsoll");
  EXPECT_EQ(judge(run).size(), 1U);
  run.report->reason = "it needed more than the ceiling of 256 MiB";
  EXPECT_TRUE(judge(run).empty());
  run.report->reason.clear();
  run.report->denials["ceiling"] = 1;
  EXPECT_TRUE(judge(run).empty());
  run.report->grants = 0;
  EXPECT_EQ(judge(run).size(), 1U);
}

TEST(Judge, TheLeakRuleStopsBeforeTheCeiling) {
  RunRecord run = killed_run("leak-rule", "plimsoll");
  run.report->denials["leak"] = 1;
  EXPECT_TRUE(judge(run).empty());
  run.report->highest_limit_bytes = 256;
  EXPECT_EQ(judge(run).size(), 1U);
}

TEST(Judge, WhatIsDeniedIsNeitherFedNorHeldNorSaved) {
  for (const std::string rule : {"ceiling", "budget"}) {
    RunRecord run = killed_run("denied-" + rule, "plimsoll");
    run.report->denials[rule] = 1;
    run.report->grants = 0;
    EXPECT_TRUE(judge(run).empty()) << rule;
    run.report->holds["held"] = 1;
    EXPECT_EQ(judge(run).size(), 1U) << rule;
    run.report->grants = 1;
    EXPECT_EQ(judge(run).size(), 2U) << rule;
    run.killed = false;
    EXPECT_EQ(judge(run).size(), 3U) << rule;
    run.report->denials.clear();
    EXPECT_EQ(judge(run).size(), 4U) << rule;
  }
}

}  // namespace
}  // namespace plimsoll::storm::judge_test
