// SPDX-License-Identifier: Apache-2.0
//
// Every parser on what real kernels showed; tests/contract/cgroup/record says what was done there.
#include <gtest/gtest.h>

#include <chrono>
#include <sstream>
#include <string>

#include "base/file.h"
#include "cgroup/cgroup_events.h"
#include "cgroup/controllers.h"
#include "cgroup/meminfo.h"
#include "cgroup/memory_events.h"
#include "cgroup/memory_stat.h"
#include "cgroup/mounts.h"
#include "cgroup/pressure.h"
#include "cgroup/procs.h"
#include "cgroup/value.h"
#include "tests/support/source_path.h"

namespace plimsoll::cgroup::recorded_test {
namespace {

class Recorded : public testing::TestWithParam<const char*> {
 protected:
  static std::string text(const std::string& file) {
    const auto read = read_file(source_path("tests/contract/cgroup/") + GetParam() + "/" + file);
    if (!read) throw std::runtime_error(read.error().message);
    return *read;
  }
  // The number after `name`, read in another way than the parsers do.
  static std::uint64_t number(const std::string& file, const std::string& name) {
    std::istringstream words(text(file));
    for (std::string word; words >> word;) {
      std::uint64_t value = 0;
      if (word == name && words >> value) return value;
    }
    throw std::runtime_error("no " + name + " in " + file);
  }
};

TEST_P(Recorded, MemoryStat) {
  const auto stat = parse_memory_stat(text("memory.stat"));
  ASSERT_TRUE(stat) << stat.error().message;
  const auto has = [](Bytes value, const char* name) {
    EXPECT_EQ(value.value, number("memory.stat", name)) << name;
  };
  has(stat->anon, "anon");
  has(stat->file, "file");
  has(stat->shmem, "shmem");
  has(stat->slab_reclaimable, "slab_reclaimable");
  has(stat->inactive_file, "inactive_file");
  has(stat->active_file, "active_file");
  has(stat->unevictable, "unevictable");
  has(stat->file_dirty, "file_dirty");
  has(stat->file_writeback, "file_writeback");
  EXPECT_EQ(stat->workingset_refault_anon, number("memory.stat", "workingset_refault_anon"));
  EXPECT_EQ(stat->workingset_refault_file, number("memory.stat", "workingset_refault_file"));
  EXPECT_EQ(stat->pgscan, number("memory.stat", "pgscan"));
  EXPECT_EQ(stat->pgsteal, number("memory.stat", "pgsteal"));
  EXPECT_EQ(stat->file, Bytes{8 * kMiB});
  EXPECT_EQ(stat->shmem, stat->file);
  EXPECT_GT(stat->anon, Bytes{0});
}

TEST_P(Recorded, MemoryEvents) {
  for (const char* const file : {"memory.events", "memory.events.local"}) {
    const auto events = parse_memory_events(text(file));
    ASSERT_TRUE(events) << events.error().message;
    EXPECT_EQ(events->max, number(file, "max"));
    EXPECT_GT(events->max, 0U);
    EXPECT_EQ(events->oom, 1U);
    EXPECT_EQ(events->oom_kill, 1U);
    EXPECT_EQ(events->oom_group_kill, 0U);
    EXPECT_EQ(events->high, 0U);
  }
}

TEST_P(Recorded, Values) {
  EXPECT_EQ(parse_limit_file(text("memory.max")), Limit{64 * kMiB});
  EXPECT_EQ(parse_limit_file(text("memory.high")), Limit{48 * kMiB});
  EXPECT_EQ(parse_bytes_file(text("memory.peak")), Bytes{64 * kMiB});
  const auto current = parse_bytes_file(text("memory.current"));
  ASSERT_TRUE(current);
  EXPECT_GT(*current, Bytes{8 * kMiB});
  EXPECT_LT(*current, Bytes{16 * kMiB});
}

TEST_P(Recorded, Pressure) {
  const auto pressure = parse_pressure(text("memory.pressure"));
  ASSERT_TRUE(pressure) << pressure.error().message;
  ASSERT_TRUE(pressure->full);
  EXPECT_GT(pressure->some.total, Nanoseconds{0});
  EXPECT_LT(pressure->some.total, std::chrono::seconds(10));
  EXPECT_LE(pressure->full->total, pressure->some.total);
  EXPECT_LT(pressure->some.avg10_ratio, 0.1);
}

TEST_P(Recorded, Membership) {
  const auto procs = parse_procs(text("cgroup.procs"));
  ASSERT_TRUE(procs) << procs.error().message;
  EXPECT_EQ(procs->pids.size(), 1U);
  EXPECT_EQ(parse_cgroup_events(text("cgroup.events")), (CgroupEvents{true, false}));
  EXPECT_EQ(parse_controllers(text("cgroup.controllers")), ControllerSet{"memory"});
  EXPECT_EQ(parse_controllers(text("cgroup.subtree_control")), ControllerSet{});
  EXPECT_EQ(parse_own_cgroup(text("proc.cgroup")), "/pod/app");
}

TEST_P(Recorded, Machine) {
  const auto meminfo = parse_meminfo(text("meminfo"));
  ASSERT_TRUE(meminfo) << meminfo.error().message;
  EXPECT_EQ(meminfo->total.value, number("meminfo", "MemTotal:") * kKiB);
  EXPECT_EQ(meminfo->available.value, number("meminfo", "MemAvailable:") * kKiB);
  EXPECT_EQ(parse_mountinfo(text("mountinfo")),
            (CgroupMounts{.v2 = "/sys/fs/cgroup", .v2_root = "/"}));
}

INSTANTIATE_TEST_SUITE_P(Kernel, Recorded, testing::Values("6.1", "6.12", "7"),
                         [](const auto& series) {
                           std::string name = series.param;
                           for (char& c : name) c = c == '.' ? '_' : c;
                           return "of_" + name;
                         });

}  // namespace
}  // namespace plimsoll::cgroup::recorded_test
