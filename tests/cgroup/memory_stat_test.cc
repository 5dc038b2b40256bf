// SPDX-License-Identifier: Apache-2.0
#include "cgroup/memory_stat.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "tests/cgroup/garbage.h"

namespace plimsoll::cgroup::memory_stat_test {
namespace {

const std::string kSample =
    "anon 1\nfile 2\nkernel 3\nshmem 4\nfile_dirty 5\nfile_writeback 6\nanon_thp 7\n"
    "inactive_file 8\nactive_file 9\nunevictable 10\nslab_reclaimable 11\n"
    "workingset_refault_anon 12\nworkingset_refault_file 13\npgscan 14\npgsteal 15\n";

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    lines.emplace_back(text.substr(0, text.find('\n') + 1));
    text.remove_prefix(lines.back().size());
  }
  return lines;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line;
  return text;
}

TEST(MemoryStat, ReadsEachFieldFromItsOwnLine) {
  const auto stat = parse_memory_stat(kSample);
  ASSERT_TRUE(stat) << stat.error().message;
  const MemoryStat expected{.anon = {1},
                            .file = {2},
                            .shmem = {4},
                            .slab_reclaimable = {11},
                            .inactive_file = {8},
                            .active_file = {9},
                            .unevictable = {10},
                            .file_dirty = {5},
                            .file_writeback = {6},
                            .workingset_refault_anon = 12,
                            .workingset_refault_file = 13,
                            .pgscan = 14,
                            .pgsteal = 15};
  EXPECT_EQ(*stat, expected);
}

TEST(MemoryStat, OrderAndUnknownLinesDoNotMatter) {
  const auto expected = parse_memory_stat(kSample);
  ASSERT_TRUE(expected);
  std::vector<std::string> lines = lines_of(kSample);
  lines.insert(lines.end(), {"something_new 77\n", "total of it\n", "\n", "nonsense\n", " \n"});
  std::mt19937 random(7);
  for (int round = 0; round < 100; ++round) {
    std::shuffle(lines.begin(), lines.end(), random);
    EXPECT_EQ(parse_memory_stat(joined(lines)), expected);
  }
}

TEST(MemoryStat, EventCountersMayBeMissingSizesMayNot) {
  const std::vector<std::string> lines = lines_of(kSample);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::vector<std::string> fewer = lines;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
    const auto stat = parse_memory_stat(joined(fewer));
    const std::string name = lines[i].substr(0, lines[i].find(' '));
    if (name == "kernel" || name == "anon_thp" || name == "workingset_refault_anon" ||
        name == "workingset_refault_file" || name == "pgscan" || name == "pgsteal") {
      EXPECT_TRUE(stat) << name;
    } else {
      ASSERT_FALSE(stat) << name;
      EXPECT_EQ(stat.error().code, Code::kMalformed);
      EXPECT_NE(stat.error().message.find(name), std::string::npos);
    }
  }
  const auto old = parse_memory_stat(kSample.substr(0, kSample.find("workingset")));
  ASSERT_TRUE(old);
  EXPECT_EQ(old->workingset_refault_file, std::nullopt);
  EXPECT_EQ(old->pgscan, std::nullopt);
}

TEST(MemoryStat, GarbageInAWantedLineIsMalformed) {
  for (const char* const value : {"", "-1", "x", "1 2", "99999999999999999999"}) {
    for (const char* const name : {"anon", "pgscan"}) {
      const auto stat = parse_memory_stat(kSample + name + " " + value + "\n");
      ASSERT_FALSE(stat) << name << value;
      EXPECT_EQ(stat.error().code, Code::kMalformed);
    }
  }
}

TEST(MemoryStat, SurvivesGarbage) { test::survives_garbage(kSample, parse_memory_stat); }

}  // namespace
}  // namespace plimsoll::cgroup::memory_stat_test
