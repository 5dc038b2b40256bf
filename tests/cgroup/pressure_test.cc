// SPDX-License-Identifier: Apache-2.0
#include "cgroup/pressure.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "tests/cgroup/garbage.h"

namespace plimsoll::cgroup::pressure_test {
namespace {

using std::chrono::microseconds;

const std::string kSample =
    "some avg10=12.50 avg60=3.00 avg300=0.75 total=123456\n"
    "full avg10=1.25 avg60=0.00 avg300=100.00 total=42\n";

TEST(Pressure, PercentBecomesRatioAndMicrosecondsTime) {
  const auto pressure = parse_pressure(kSample);
  ASSERT_TRUE(pressure) << pressure.error().message;
  EXPECT_EQ(pressure->some, (Stall{0.125, 0.03, 0.0075, microseconds(123456)}));
  EXPECT_EQ(pressure->full, (Stall{0.0125, 0.0, 1.0, microseconds(42)}));
}

TEST(Pressure, FullMayBeMissing) {
  const auto pressure = parse_pressure("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
  ASSERT_TRUE(pressure);
  EXPECT_EQ(pressure->full, std::nullopt);
}

TEST(Pressure, UnknownLinesAndKeysAreSkipped) {
  const auto pressure =
      parse_pressure("most avg10=x\nsome avg10=1.00 avg1=7 avg60=0.00 extra avg300=0.00 total=5\n");
  ASSERT_TRUE(pressure) << pressure.error().message;
  EXPECT_EQ(pressure->some, (Stall{0.01, 0, 0, microseconds(5)}));
}

TEST(Pressure, NoRatioIsAboveOne) {
  const auto pressure = parse_pressure("some avg10=100.30 avg60=0.00 avg300=0.00 total=0\n");
  ASSERT_TRUE(pressure);
  EXPECT_EQ(pressure->some.avg10_ratio, 1.0);
}

TEST(Pressure, BrokenValuesAreMalformed) {
  for (const char* const line : {
           "",
           "full avg10=0.00 avg60=0.00 avg300=0.00 total=0",
           "some avg10=0.00 avg60=0.00 total=0",
           "some avg10=nan avg60=0.00 avg300=0.00 total=0",
           "some avg10=-1.00 avg60=0.00 avg300=0.00 total=0",
           "some avg10=1e9 avg60=0.00 avg300=0.00 total=0",
           "some avg10=1.00x avg60=0.00 avg300=0.00 total=0",
           "some avg10=1.00 avg60=0.00 avg300=0.00 total=18446744073709551615",
       }) {
    const auto pressure = parse_pressure(line);
    ASSERT_FALSE(pressure) << line;
    EXPECT_EQ(pressure.error().code, Code::kMalformed);
  }
}

TEST(Pressure, SurvivesGarbage) { test::survives_garbage(kSample, parse_pressure); }

}  // namespace
}  // namespace plimsoll::cgroup::pressure_test
