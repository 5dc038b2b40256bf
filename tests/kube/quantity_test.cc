// SPDX-License-Identifier: Apache-2.0
#include "kube/quantity.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "tests/kube/recording.h"

namespace plimsoll::kube::quantity_test {
namespace {

constexpr std::uint64_t kTop = std::numeric_limits<std::int64_t>::max();

struct Amount {
  std::string_view text;
  std::uint64_t value;
};

TEST(Quantity, MemoryInEveryUnit) {
  const Amount amounts[] = {
      {"0", 0},
      {"1", 1},
      {"512Mi", 512 * kMiB},
      {"1Ki", 1024},
      {"3Gi", 3 * kGiB},
      {"2Ti", 2048 * kGiB},
      {"1Pi", 1ULL << 50},
      {"1Ei", 1ULL << 60},
      {"1k", 1'000},
      {"1M", 1'000'000},
      {"128G", 128'000'000'000},
      {"2T", 2'000'000'000'000},
      {"3P", 3'000'000'000'000'000},
      {"1E", 1'000'000'000'000'000'000},
      {"1e3", 1'000},
      {"1E3", 1'000},
      {"1e+3", 1'000},
      {"5000e-3", 5},
      {"300e6", 300'000'000},
      {"+5", 5},
      {"-0", 0},
      {"007", 7},
      {"1.", 1},
      {".5Ki", 512},
      {"1.5Gi", 1536 * kMiB},
      {"0.5", 1},
      {" 512Mi", 512 * kMiB},
      {"512Mi\n", 512 * kMiB},
      {"9223372036854775807", kTop},
  };
  for (const auto& [text, value] : amounts) {
    const auto parsed = parse_memory(text);
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
    EXPECT_EQ(parsed->value, value) << text;
  }
}

TEST(Quantity, MemoryIsRoundedUpToWholeBytes) {
  const Amount amounts[] = {{"322122547200m", 322'122'548},
                            {"0.3Gi", 322'122'548},
                            {"300000000100m", 300'000'001},
                            {"300000000000m", 300'000'000},
                            {"512m", 1},
                            {"1n", 1},
                            {"1u", 1},
                            {"1e-400", 1},
                            {"0e-400", 0},
                            {"0.0000000000000000000000000000000000000000001", 1},
                            {"1.0000000000000000000000000000000000000000001", 2},
                            {"0.00097656250000000000000000000000Ki", 1},
                            {"0.00097656250000000000000000000001Ki", 2}};
  for (const auto& [text, value] : amounts) {
    const auto parsed = parse_memory(text);
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
    EXPECT_EQ(parsed->value, value) << text;
  }
}

TEST(Quantity, CapsWhatIsTooLarge) {
  for (const std::string_view text :
       {"16Ei", "8Ei", "9223372036854775808", "18446744073709551616", "1e19", "1e400", "99999E",
        "9223372036854775807.5", "123456789012345678901234567890Ei"}) {
    const auto parsed = parse_memory(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->value, kTop) << text;
  }
  EXPECT_EQ(parse_memory("8191Pi")->value, 8191ULL << 50);
}

TEST(Quantity, Cpu) {
  const Amount amounts[] = {{"250m", 250}, {"2", 2000},  {"0.1", 100},      {"1.5", 1500},
                            {"100u", 1},   {"1500u", 2}, {"1n", 1},         {"1k", 1'000'000},
                            {"1e-3", 1},   {"0", 0},     {"2Ki", 2'048'000}};
  for (const auto& [text, value] : amounts) {
    const auto parsed = parse_cpu(text);
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().message;
    EXPECT_EQ(parsed->value, value) << text;
  }
  EXPECT_EQ(parse_cpu("10E")->value, kTop);
}

TEST(Quantity, RefusesWhatIsNone) {
  for (const std::string_view text :
       {"",   " ",   "lots", "512MB", "-1",  "-1Mi",  "1 Mi",  "Mi",    "+",
        "-",  ".",   "1..2", "1.2.3", "1e",  "1e+",   "1e3Mi", "1Mi2",  "0x10",
        "1K", "1mi", "NaN",  "inf",   "--1", "1e3.5", "1,5",   "5e+-3", "5e++3"}) {
    const auto parsed = parse_memory(text);
    ASSERT_FALSE(parsed) << text << " is " << parsed->value;
    EXPECT_EQ(parsed.error().code, Code::kMalformed);
    EXPECT_NE(parsed.error().message.find("512Mi"), std::string::npos) << parsed.error().message;
    EXPECT_FALSE(parse_cpu(text)) << text;
  }
  EXPECT_TRUE(parse_memory(std::string(kLongestQuantity, '0')));
  EXPECT_FALSE(parse_memory(std::string(kLongestQuantity + 1, '0')));
}

TEST(Quantity, IsWrittenAsTheServerWould) {
  EXPECT_EQ(format_memory({0}), "0");
  EXPECT_EQ(format_memory({1023}), "1023");
  EXPECT_EQ(format_memory({1024}), "1Ki");
  EXPECT_EQ(format_memory({512 * kMiB}), "512Mi");
  EXPECT_EQ(format_memory({1536 * kMiB}), "1536Mi");
  EXPECT_EQ(format_memory({322'122'547}), "322122547");
  EXPECT_EQ(format_memory({1ULL << 60}), "1Ei");
  EXPECT_EQ(format_memory({kTop}), "9223372036854775807");
  EXPECT_EQ(format_cpu({250}), "250m");
  EXPECT_EQ(format_cpu({2000}), "2");
  EXPECT_EQ(format_cpu({0}), "0");
}

TEST(Quantity, WhatIsWrittenReadsTheSame) {
  std::mt19937_64 random(7);  // NOLINT(cert-msc51-cpp): the same numbers every time
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t value = (random() >> 1) >> (random() % 63) << (random() % 20) & kTop;
    EXPECT_EQ(parse_memory(format_memory({value}))->value, value);
    EXPECT_EQ(parse_cpu(format_cpu({value}))->value, value);
  }
}

// What the server takes is read as what it stored; what it could not read is refused.
TEST(Quantity, AgreesWithTheServer) {
  int accepted = 0;
  int refused = 0;
  for (const std::string& name : test::recordings()) {
    if (!name.starts_with("22") && !name.starts_with("17")) continue;
    const auto replies = test::recorded(name);
    const auto asked = nlohmann::json::parse(replies.at(0).request_body);
    const auto quantity = asked.at("/spec/containers/0/resources/limits/memory"_json_pointer);
    if (quantity.is_null()) continue;
    const std::string text = quantity.is_string() ? quantity.get<std::string>() : quantity.dump();
    const auto reply = nlohmann::json::parse(replies.at(0).body);
    const auto parsed = parse_memory(text);
    if (replies.at(0).status == 200) {
      const auto stored = reply.at("/spec/containers/0/resources/limits/memory"_json_pointer);
      ASSERT_TRUE(parsed) << name << ": " << text;
      EXPECT_EQ(*parsed, parse_memory(stored.get<std::string>()).value()) << name << ": " << text;
      ++accepted;
    } else {
      const std::string message = reply.at("message");
      const bool unreadable = message.find("quantities must match") != std::string::npos ||
                              message.find("greater than or equal to 0") != std::string::npos;
      EXPECT_EQ(!parsed, unreadable) << name << ": " << text << ": " << message;
      ++refused;
    }
  }
  EXPECT_EQ(accepted, 10);
  EXPECT_EQ(refused, 7);
}

}  // namespace
}  // namespace plimsoll::kube::quantity_test
