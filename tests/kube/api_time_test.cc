// SPDX-License-Identifier: Apache-2.0
#include "kube/api_time.h"

#include <gtest/gtest.h>

namespace plimsoll::kube::api_time_test {
namespace {

std::optional<long> seconds(std::string_view text) {
  const auto time = parse_api_time(text);
  if (!time) return std::nullopt;
  return time->time_since_epoch().count();
}

TEST(ApiTime, ReadsRfc3339) {
  EXPECT_EQ(seconds("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(seconds("2026-11-21T21:35:06Z"), 1795296906);
  EXPECT_EQ(seconds("2026-11-21T21:35:06.123456Z"), 1795296906);
  EXPECT_EQ(seconds("2026-11-21T23:35:06+02:00"), 1795296906);
  EXPECT_EQ(seconds("2026-11-21T13:35:06-08:00"), 1795296906);
  EXPECT_EQ(seconds("2024-02-29T00:00:00Z"), 1709164800);
  EXPECT_EQ(seconds("0001-01-01T00:00:00Z"), -62135596800);
}

TEST(ApiTime, RefusesTheRest) {
  for (const std::string_view text :
       {"", "now", "2026-11-21", "2026-11-21T21:35:06", "2026-11-21 21:35:06Z",
        "2026-13-21T21:35:06Z", "2025-02-29T00:00:00Z", "2026-11-21T24:00:00Z",
        "2026-11-21T21:60:06Z", "2026-11-21T21:35:61Z", "2026-11-21T21:35:06.Z",
        "2026-11-21T21:35:06+2:00", "2026-11-21T21:35:06Zx", "26-11-21T21:35:06Z",
        "-026-11-21T21:35:06Z", "2026-11-21T21:35:06+", "2026-1-21T21:35:06Z"}) {
    EXPECT_EQ(seconds(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace plimsoll::kube::api_time_test
