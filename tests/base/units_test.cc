// SPDX-License-Identifier: Apache-2.0
#include "base/units.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <random>
#include <string>

namespace plimsoll::units_test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kTop = std::numeric_limits<std::uint64_t>::max();

TEST(Bytes, StopAtBothEnds) {
  EXPECT_EQ(Bytes{5} - Bytes{7}, Bytes{0});
  EXPECT_EQ(Bytes{7} - Bytes{5}, Bytes{2});
  EXPECT_EQ(Bytes{kTop} + Bytes{1}, Bytes{kTop});
  EXPECT_EQ(Bytes{kTop - 1} + Bytes{1}, Bytes{kTop});
  Bytes bytes{10};
  bytes += Bytes{5};
  bytes -= Bytes{20};
  EXPECT_EQ(bytes, Bytes{0});
}

TEST(Bytes, ScaleRoundsDown) {
  EXPECT_EQ(scaled(Bytes{100}, 0.999), Bytes{99});
  EXPECT_EQ(scaled(Bytes{4 * kGiB}, 1.5), Bytes{6 * kGiB});
  EXPECT_EQ(scaled(Bytes{100}, 0), Bytes{0});
}

TEST(Limit, MaxIsAboveEveryNumber) {
  EXPECT_TRUE(kNoLimit.is_max());
  EXPECT_FALSE(Limit{kTop - 1}.is_max());
  EXPECT_GT(kNoLimit, Limit{kTop - 1});
  EXPECT_EQ(limit_of(Bytes{7}), Limit{7});
}

TEST(ParseBytes, KnowsTheSuffixesOfKubernetes) {
  EXPECT_EQ(parse_bytes("0"), Bytes{0});
  EXPECT_EQ(parse_bytes("123"), Bytes{123});
  EXPECT_EQ(parse_bytes("64Mi"), Bytes{64 * kMiB});
  EXPECT_EQ(parse_bytes("4Gi"), Bytes{4 * kGiB});
  EXPECT_EQ(parse_bytes("1Ki"), Bytes{kKiB});
  EXPECT_EQ(parse_bytes("1Ti"), Bytes{1024 * kGiB});
  EXPECT_EQ(parse_bytes("1.5Gi"), Bytes{3 * kGiB / 2});
  EXPECT_EQ(parse_bytes("0.1"), Bytes{0});
  EXPECT_EQ(parse_bytes("2k"), Bytes{2000});
  EXPECT_EQ(parse_bytes("2M"), Bytes{2000000});
  EXPECT_EQ(parse_bytes("2G"), Bytes{2000000000});
  EXPECT_EQ(parse_bytes("2T"), Bytes{2000000000000});
}

TEST(ParseBytes, SaysWhatIsWrong) {
  for (const char* const text :
       {"", " 1", "1 ", "-1", "-0", "+1", "1KB", "1kb", "1K", "1m", "Mi", "1e3", "0x10", "nan",
        "inf", "max", "9223372036854775808", "8388608Ti", "1Mi2"}) {
    const auto bytes = parse_bytes(text);
    ASSERT_FALSE(bytes) << text;
    EXPECT_EQ(bytes.error().code, Code::kMalformed);
    EXPECT_NE(bytes.error().message.find("\"" + std::string(text) + "\""), std::string::npos);
    EXPECT_NE(bytes.error().message.find("512Mi"), std::string::npos) << "no example";
  }
}

// What the kernel or Kubernetes printed must come back to the byte.
TEST(ParseBytes, WholeNumbersAreExact) {
  for (const std::uint64_t exact : {(1ULL << 53) + 1, (1ULL << 60) + 4096, (1ULL << 63) - 1}) {
    EXPECT_EQ(parse_bytes(std::to_string(exact)), Bytes{exact}) << exact;
  }
}

TEST(ParseLimit, AlsoTakesMax) {
  EXPECT_EQ(parse_limit("max"), kNoLimit);
  EXPECT_EQ(parse_limit("1Mi"), Limit{kMiB});
  EXPECT_FALSE(parse_limit("Max"));
}

TEST(ParseDuration, NeedsAUnit) {
  EXPECT_EQ(parse_duration("500ms"), 500ms);
  EXPECT_EQ(parse_duration("30s"), 30s);
  EXPECT_EQ(parse_duration("5m"), 5min);
  EXPECT_EQ(parse_duration("2h"), 2h);
  EXPECT_EQ(parse_duration("1.5s"), 1500ms);
  EXPECT_EQ(parse_duration("0s"), 0s);
  for (const char* const text : {"", "30", "s", "-1s", "1 s", "1us", "1d", "100000h", "1h30m"}) {
    const auto duration = parse_duration(text);
    ASSERT_FALSE(duration) << text;
    EXPECT_EQ(duration.error().code, Code::kMalformed);
  }
}

TEST(Cpus, AreReadAndWrittenAsKubernetesDoes) {
  EXPECT_EQ(parse_cpus("250m"), MilliCpu{250});
  EXPECT_EQ(parse_cpus("2"), MilliCpu{2000});
  EXPECT_EQ(parse_cpus("0.5"), MilliCpu{500});
  EXPECT_EQ(parse_cpus("1.001"), MilliCpu{1001});
  EXPECT_EQ(parse_cpus("0"), MilliCpu{});
  for (const char* const text : {"", "m", "-1", "1 m", "1k", "1u", "9223372036855"}) {
    const auto cpus = parse_cpus(text);
    ASSERT_FALSE(cpus) << text;
    EXPECT_EQ(cpus.error().code, Code::kMalformed);
  }
  EXPECT_EQ(to_string(MilliCpu{250}), "250m");
  EXPECT_EQ(to_string(MilliCpu{2000}), "2");
}

TEST(Cpus, SumsAndDifferencesStopAtTheEnds) {
  EXPECT_EQ(MilliCpu{3} - MilliCpu{5}, MilliCpu{});
  EXPECT_EQ(MilliCpu{~std::uint64_t{0}} + MilliCpu{1}, MilliCpu{~std::uint64_t{0}});
  MilliCpu sum{1};
  sum += MilliCpu{4};
  sum -= MilliCpu{2};
  EXPECT_EQ(sum, MilliCpu{3});
}

TEST(Units, ParsersSurviveGarbage) {
  std::mt19937 random(11);
  constexpr std::string_view kLetters = "0123456789.-+eEKMGTikmshax \n\xff";
  std::size_t taken = 0;
  for (int round = 0; round < 100000; ++round) {
    std::string text;
    for (std::size_t length = random() % 8; length > 0; --length) {
      text += kLetters[random() % kLetters.size()];
    }
    const auto bytes = parse_bytes(text);
    const auto duration = parse_duration(text);
    taken += bytes ? 1U : 0U;
    if (bytes) {
      ASSERT_LT(bytes->value, 1ULL << 63) << text;
    }
    if (duration) {
      ASSERT_GE(*duration, 0ns) << text;
    }
  }
  EXPECT_GT(taken, 100U);
}

TEST(ToString, IsForPeople) {
  EXPECT_EQ(to_string(Bytes{0}), "0 B");
  EXPECT_EQ(to_string(Bytes{1023}), "1023 B");
  EXPECT_EQ(to_string(Bytes{1024}), "1 KiB");
  EXPECT_EQ(to_string(Bytes{512 * kMiB}), "512 MiB");
  EXPECT_EQ(to_string(Bytes{3 * kGiB / 2}), "1.5 GiB");
  EXPECT_EQ(to_string(Bytes{kGiB - 1}), "1 GiB");
  EXPECT_EQ(to_string(Bytes{5000 * 1024 * kGiB}), "5000 TiB");
  EXPECT_EQ(to_string(kNoLimit), "max");
  EXPECT_EQ(to_string(Limit{kMiB}), "1 MiB");
  EXPECT_EQ(to_string(Nanoseconds{0}), "0 us");
  EXPECT_EQ(to_string(Nanoseconds{1500}), "1.5 us");
  EXPECT_EQ(to_string(Nanoseconds{250ms}), "250 ms");
  EXPECT_EQ(to_string(Nanoseconds{1500ms}), "1.5 s");
  EXPECT_EQ(to_string(Nanoseconds{30s}), "30 s");
  EXPECT_EQ(to_string(Nanoseconds{5min}), "5 m");
  EXPECT_EQ(to_string(Nanoseconds{2h}), "2 h");
}

}  // namespace
}  // namespace plimsoll::units_test
