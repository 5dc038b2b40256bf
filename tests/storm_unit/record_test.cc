// SPDX-License-Identifier: Apache-2.0
// What the storm tools read: sizes, a load's result, Plimsoll's report, their own lines.
#include "tests/storm/storm_record.h"

#include <gtest/gtest.h>

#include "tests/storm/storm_cell.h"
#include "tests/storm/storm_result.h"
#include "tests/storm/storm_size.h"

namespace plimsoll::storm::record_test {
namespace {

TEST(Size, WholeNumbersWithAKnownUnit) {
  EXPECT_EQ(parse_size("4096"), 4096U);
  EXPECT_EQ(parse_size("64Mi"), 64 * kMiB);
  EXPECT_EQ(parse_size("2G"), 2 * kGiB);
  for (const char* bad :
       {"", "Mi", "-1", "1.5G", "64MiB", "64 M", "99999999999999999999", "18014398509481984K"}) {
    EXPECT_FALSE(parse_size(bad).has_value()) << bad;
  }
}

TEST(List, EmptyPartsAreLeftOut) {
  EXPECT_EQ(split_list("a,,b,"), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(split_list("").empty());
}

TEST(LoadResult, SurvivesBeingWrittenAndRead) {
  LoadResult result;
  result.program = "burst2";
  result.bytes = 7;
  result.errors = 2;
  result.first_error = "read: EFAULT";
  result.seconds = 1.5;
  result.shrink_seen = false;
  const auto read = parse_load_result(to_json_value(result).dump());
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->errors, 2U);
  EXPECT_EQ(read->first_error, "read: EFAULT");
  EXPECT_EQ(read->seconds, 1.5);
  EXPECT_EQ(read->shrink_seen, false);
  EXPECT_FALSE(read->stall_ms.has_value());
}

TEST(LoadResult, WhatIsCutOffIsNone) {
  EXPECT_FALSE(parse_load_result("").has_value());
  EXPECT_FALSE(parse_load_result("{\"bytes\":1,\"errors\":0").has_value());
  EXPECT_FALSE(parse_load_result("{\"bytes\":1}").has_value());
}

constexpr const char* kReport = R"({"exit_code":0,"signal":null,"duration_seconds":1.5,"tier":"A",
  "start_limit_bytes":33554432,"ceiling_bytes":276824064,"peak_bytes":5,"final_limit_bytes":"max",
  "oom_kills":0,"grants":[
    {"at_seconds":0.1,"layer":"predicted","from_bytes":1,"to_bytes":9,"reaction_us":14.5},
    {"at_seconds":0.2,"layer":"at_the_door","from_bytes":9,"to_bytes":8,"reaction_us":3}],
  "grants_total":2,"shrinks_total":1,"denials":{"ceiling":4},
  "holds":{"held":1,"saved":1,"expired":0,"missed":0,"held_seconds":0.25},
  "events":{"urgent":2,"dropped":0},"reason":"the OOM killer was not needed"})";

TEST(Report, IsReadInFull) {
  const auto report = parse_report(kReport);
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->tier, "A");
  EXPECT_EQ(report->grants, 2U);
  EXPECT_EQ(report->shrinks, 1U);
  EXPECT_EQ(report->layers, (Counts{{"at_the_door", 1}, {"predicted", 1}}));
  EXPECT_EQ(report->highest_limit_bytes, 9U);
  EXPECT_EQ(report->worst_reaction_us, 14.5);
  EXPECT_EQ(report->denials, (Counts{{"ceiling", 4}}));
  EXPECT_EQ(report->holds.at("held"), 1U);
  EXPECT_EQ(report->final_limit_bytes, 0U);  // none
}

TEST(Report, WithoutItsCountsIsNone) {
  for (const char* key : {"grants_total", "shrinks_total", "oom_kills", "grants"}) {
    nlohmann::json value = nlohmann::json::parse(kReport);
    value.erase(key);
    EXPECT_FALSE(parse_report(value.dump()).has_value()) << key;
    value[key] = "many";
    EXPECT_FALSE(parse_report(value.dump()).has_value()) << key;
  }
}

TEST(Record, SurvivesBeingWrittenAndRead) {
  RunRecord run;
  run.run = 3;
  run.cell = "touch/always/32";
  run.mode = "plimsoll";
  run.seconds = 0.5;
  run.report = parse_report(kReport);
  run.faults = {"a fault"};
  const auto read = parse_record(nlohmann::json(run).dump());
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->cell, run.cell);
  EXPECT_EQ(read->seconds, 0.5);
  EXPECT_FALSE(read->signal.has_value());
  ASSERT_TRUE(read->report.has_value());
  EXPECT_EQ(read->report->layers, run.report->layers);
  EXPECT_EQ(read->faults, run.faults);
}

TEST(Record, OtherLinesAreNone) {
  for (const char* line : {"", "{\"done\":5}", "12/40 touch", "{\"run\":1,\"cell\":2}"}) {
    EXPECT_FALSE(parse_record(line).has_value()) << line;
  }
}

TEST(Cells, EveryLoadIsAboveItsLimitAndBelowItsCeiling) {
  for (const std::string& program : killing_programs()) {
    for (const uint64_t limit : {32 * kMiB, 256 * kMiB}) {
      const Cell cell = killing_cell(program, true, limit);
      EXPECT_GE(cell.load_bytes, 2 * cell.limit_bytes) << cell.name;
      EXPECT_GT(cell.ceiling_bytes, cell.load_bytes) << cell.name;
    }
  }
  for (const Cell& cell : wrong_cells(false)) {
    if (cell.expect == Expect::kNoGrant || cell.expect == Expect::kDoorOnly) continue;
    EXPECT_GT(cell.load_bytes, cell.ceiling_bytes) << cell.name;
    EXPECT_TRUE(cell.supervised) << cell.name;
  }
}

}  // namespace
}  // namespace plimsoll::storm::record_test
