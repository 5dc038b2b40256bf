// SPDX-License-Identifier: Apache-2.0
#include "kube/retry_after.h"

#include <gtest/gtest.h>

#include <chrono>

namespace plimsoll::kube::retry_after_test {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

const std::chrono::sys_seconds kNow =
    std::chrono::sys_days(std::chrono::year(2026) / 11 / 21) + hours(21);

TEST(RetryAfter, Seconds) {
  EXPECT_EQ(parse_retry_after("0", kNow), seconds(0));
  EXPECT_EQ(parse_retry_after("120", kNow), seconds(120));
  EXPECT_EQ(parse_retry_after("3601", kNow), hours(1));
  EXPECT_EQ(parse_retry_after("4294967295", kNow), hours(1));
}

TEST(RetryAfter, Date) {
  EXPECT_EQ(parse_retry_after("Sat, 21 Nov 2026 21:00:30 GMT", kNow), seconds(30));
  EXPECT_EQ(parse_retry_after("Sat, 21 Nov 2026 20:59:00 GMT", kNow), seconds(0));
  EXPECT_EQ(parse_retry_after("Thu, 01 Jan 2099 00:00:00 GMT", kNow), hours(1));
}

TEST(RetryAfter, WhatIsNeitherIsAbsent) {
  for (const char* text : {"", "-1", "1.5", "soon", "1 ", "99999999999", "21 Nov 2026"}) {
    EXPECT_FALSE(parse_retry_after(text, kNow)) << text;
  }
}

TEST(HttpDate, ExampleOfTheStandard) {
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"),
            std::chrono::sys_seconds(seconds(784111777)));
}

TEST(HttpDate, ImpossibleDatesAreAbsent) {
  for (const char* text : {"Sun, 31 Feb 2026 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
                           "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
                           "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 UTC",
                           "Sun, +6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:3x GMT",
                           "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"}) {
    EXPECT_FALSE(parse_http_date(text)) << text;
  }
}

}  // namespace
}  // namespace plimsoll::kube::retry_after_test
