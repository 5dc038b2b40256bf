// SPDX-License-Identifier: Apache-2.0
#include "agent/restore/cgroups.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "agent/commands/restore.h"
#include "agent/restore/systemd.h"
#include "tests/kube/scratch_directory.h"
#include "tests/support/cgroup_tree.h"
#include "tests/support/fake_systemd.h"

namespace plimsoll::agent::cgroups_test {
namespace {

using test::CgroupTree;
using test::FakeSystemd;
using Outcome = RestoreItem::Outcome;

const std::string kPod = "kubepods.slice/kubepods-pod0f1e2d3c_4b5a_6978_8796_a5b4c3d2e1f0.slice";
const std::string kScope = "cri-containerd-" + std::string(64, 'a') + ".scope";
const std::string kApp = kPod + "/" + kScope;
const std::string kSide = kPod + "/cri-containerd-" + std::string(64, 'b') + ".scope";

std::string text(std::uint64_t mib) { return std::to_string(mib * kMiB) + "\n"; }
Limit mib(std::uint64_t count) { return Limit{count * kMiB}; }

class RestoreTest : public testing::Test {
 protected:
  RestoreTest() {
    PodState pod{.uid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
                 .name_space = "team",
                 .name = "web",
                 .slice = limit(kPod, 512, 4096),
                 .containers = {}};
    pod.containers = {container("app", kApp, 256, 2048), container("side", kSide, 256, 2048)};
    state = {.boot_id = read_boot_id().value(), .generation = 3, .pods = {pod}};
  }

  LimitState limit(const std::string& path, std::uint64_t floor, std::uint64_t ceiling) const {
    return {.id = tree.group(path).id(),
            .path = path,
            .first_seen = mib(floor),
            .confirmed = {},
            .direct_ceiling = mib(ceiling),
            .written = {}};
  }
  ContainerState container(const std::string& name, const std::string& path, std::uint64_t floor,
                           std::uint64_t ceiling) const {
    return {.container_id = name,
            .name = name,
            .limit = limit(path, floor, ceiling),
            .backing = Backing::kLease,
            .lease_end = {},
            .who = ""};
  }
  RestoreReport restore(bool dry_run = false) {
    RestorePolicy once;
    once.patience = Nanoseconds(0);
    return restore_limits(state, tree.root(), dry_run ? nullptr : &writer, once);
  }
  std::vector<Outcome> outcomes(const RestoreReport& report) const {
    std::vector<Outcome> all;
    for (const RestoreItem& item : report.items) all.push_back(item.outcome);
    return all;
  }
  Limit max_of(const std::string& path) const { return tree.group(path).read_memory_max().value(); }

  kube::ScratchDirectory scratch;
  CgroupTree tree{{kPod, {{"memory.max", text(2048)}}},
                  {kApp, {{"memory.max", text(1024)}, {"memory.current", text(100)}}},
                  {kSide, {{"memory.max", text(256)}}}};
  NodeState state;
  cgroup::Writer writer;
};

TEST_F(RestoreTest, EverythingGoesBackToItsFloor) {
  const RestoreReport report = restore();
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(outcomes(report),
            (std::vector{Outcome::kRestored, Outcome::kAlready, Outcome::kRestored}));
  EXPECT_EQ(report.items[0].pod, "team/web");
  EXPECT_EQ(report.items[0].container, "app");
  EXPECT_EQ(report.items[0].before, LimitValue(mib(1024)));
  EXPECT_EQ(report.items[0].after, LimitValue(mib(256)));
  EXPECT_EQ(report.items[2].container, "");
  EXPECT_EQ(max_of(kApp), mib(256));
  EXPECT_EQ(max_of(kPod), mib(512));
  // Again: nothing is left to do.
  EXPECT_EQ(outcomes(restore()), std::vector(3, Outcome::kAlready));
}

TEST_F(RestoreTest, WhatTheApiConfirmedStays) {
  state.pods[0].containers[0].limit.confirmed = mib(768);
  state.pods[0].slice->confirmed = mib(1024);
  EXPECT_TRUE(restore().complete());
  EXPECT_EQ(max_of(kApp), mib(768));
  EXPECT_EQ(max_of(kPod), mib(1024));
}

TEST_F(RestoreTest, NothingIsRaised) {
  tree.set(kApp, "memory.max", text(64));
  EXPECT_EQ(restore().items[0].outcome, Outcome::kAlready);
  EXPECT_EQ(max_of(kApp), mib(64));
}

// 256 MiB of limit want 32 MiB of margin.
TEST_F(RestoreTest, NeverBelowWhatIsInUseAndAMargin) {
  tree.set(kApp, "memory.current", text(225));
  RestoreReport report = restore();
  EXPECT_FALSE(report.complete());
  EXPECT_EQ(outcomes(report), (std::vector{Outcome::kInUse, Outcome::kAlready, Outcome::kHeldUp}));
  EXPECT_EQ(report.items[0].why,
            "225 MiB are in use, and 32 MiB must stay free below the limit of 256 MiB");
  EXPECT_EQ(max_of(kApp), mib(1024));
  EXPECT_EQ(max_of(kPod), mib(2048)) << "a pod's limit would hold its container down";
  // It was asked to give some back, as much as is missing.
  EXPECT_EQ(tree.get(kApp, "memory.reclaim"), std::to_string(kMiB));
  ASSERT_EQ(report.left.pods.size(), 1U);
  ASSERT_EQ(report.left.pods[0].containers.size(), 1U);
  EXPECT_EQ(report.left.pods[0].containers[0], state.pods[0].containers[0]);
  EXPECT_TRUE(report.left.pods[0].slice);

  tree.set(kApp, "memory.current", text(224));
  state = report.left;
  EXPECT_TRUE(restore().complete());
  EXPECT_EQ(max_of(kApp), mib(256));
  EXPECT_EQ(max_of(kPod), mib(512));
}

TEST_F(RestoreTest, ThePodsOwnUseCountsToo) {
  tree.set(kPod, "memory.current", text(490));
  const RestoreReport report = restore();
  EXPECT_EQ(outcomes(report),
            (std::vector{Outcome::kRestored, Outcome::kAlready, Outcome::kInUse}));
  EXPECT_EQ(max_of(kPod), mib(2048));
  ASSERT_EQ(report.left.pods.size(), 1U);
  EXPECT_TRUE(report.left.pods[0].containers.empty());
}

TEST_F(RestoreTest, WithoutReclaimCacheDoesNotCount) {
  tree.drop(kApp, "memory.reclaim");
  tree.set(kApp, "memory.current", text(400));
  EXPECT_EQ(restore().items[0].outcome, Outcome::kInUse);
  std::string stat = tree.get(kApp, "memory.stat");
  const std::string none = "inactive_file 0";
  stat.replace(stat.find(none), none.size(), "inactive_file " + std::to_string(300 * kMiB));
  tree.set(kApp, "memory.stat", stat);
  EXPECT_EQ(restore().items[0].outcome, Outcome::kRestored);
}

// A container that was restarted has its limit from its spec, and an old record.
TEST_F(RestoreTest, AnotherCgroupOfTheSameNameIsNotTouched) {
  state.pods[0].containers[0].limit.id = CgroupId{1};
  RestoreReport report = restore();
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(report.items[0].outcome, Outcome::kGone);
  EXPECT_EQ(max_of(kApp), mib(1024));
  EXPECT_EQ(max_of(kPod), mib(512)) << "its pod is the same as before";
  tree.remove(kPod);
  report = restore();
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(outcomes(report), std::vector(3, Outcome::kGone));
}

// Beyond what we may write it was somebody else, such as a resize by the kubelet.
TEST_F(RestoreTest, ALimitOfSomebodyElseIsNotTouched) {
  tree.set(kApp, "memory.max", text(2049));
  RestoreReport report = restore();
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(outcomes(report),
            (std::vector{Outcome::kForeign, Outcome::kAlready, Outcome::kForeign}));
  EXPECT_EQ(max_of(kApp), mib(2049));
  EXPECT_EQ(max_of(kPod), mib(2048)) << "the pod's limit contains that of the container";
  tree.set(kApp, "memory.max", "max\n");
  EXPECT_EQ(restore().items[0].outcome, Outcome::kForeign);
}

TEST_F(RestoreTest, WhatCannotBeReadIsReported) {
  tree.set(kApp, "memory.max", "garbage\n");
  const RestoreReport report = restore();
  EXPECT_FALSE(report.complete());
  EXPECT_EQ(report.items[0].outcome, Outcome::kFailed);
  EXPECT_NE(report.items[0].why, "");
}

TEST_F(RestoreTest, ADryRunWritesNothing) {
  const RestoreReport report = restore(true);
  EXPECT_EQ(outcomes(report),
            (std::vector{Outcome::kWouldRestore, Outcome::kAlready, Outcome::kWouldRestore}));
  EXPECT_EQ(max_of(kApp), mib(1024));
  EXPECT_EQ(tree.get(kApp, "memory.reclaim"), "");
  tree.set(kApp, "memory.current", text(250));
  EXPECT_EQ(restore(true).items[0].outcome, Outcome::kInUse);
}

TEST_F(RestoreTest, SystemdIsToldWhatIsBack) {
  SystemdUnitsConfig config;
  config.bus.socket = scratch / "private";
  const auto systemd = FakeSystemd::listen(config.bus.socket);
  EXPECT_EQ(tell_restored(restore(), tree.root(), config), 0U);
  const auto calls = systemd->calls();
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].unit, kScope);
  EXPECT_EQ(calls[0].properties.at("MemoryMax"), 256 * kMiB);
  EXPECT_EQ(calls[1].properties.at("MemoryMax"), 512 * kMiB);
}

// ---- CPU limits

class RestoreCpuTest : public RestoreTest {
 protected:
  // Memory is as declared; of CPU, "app" was raised from 500m to 2 and the pod with it.
  RestoreCpuTest() {
    tree.set(kPod, "memory.max", text(512));
    tree.set(kApp, "memory.max", text(256));
    tree.set(kPod, "cpu.max", "220000 100000\n");
    tree.set(kApp, "cpu.max", "200000 100000\n");
    tree.set(kSide, "cpu.max", "20000 100000\n");
    app().cpu = cpu(500, 2500);
    side().cpu = cpu(200, 0);
    slice().cpu = cpu(700, 2700);
  }
  static CpuLimitState cpu(std::uint64_t floor, std::uint64_t ceiling) {
    return {.first_seen = {floor}, .confirmed = {}, .direct_ceiling = {ceiling}, .written = {}};
  }
  LimitState& app() { return state.pods[0].containers[0].limit; }
  LimitState& side() { return state.pods[0].containers[1].limit; }
  LimitState& slice() { return *state.pods[0].slice; }
  // Of app, side and the pod.
  std::vector<Outcome> cpu_outcomes(const RestoreReport& report) const {
    std::vector<Outcome> all;
    for (const RestoreItem& item : report.items) {
      if (item.is_cpu()) all.push_back(item.outcome);
    }
    return all;
  }
  // As the file has it, up to what an earlier value has left behind in the fake.
  std::string cpu_max(const std::string& path) const {
    const std::string all = tree.get(path, "cpu.max");
    return all.substr(0, all.find('\n'));
  }
};

TEST_F(RestoreCpuTest, GoesBackToItsFloor) {
  const RestoreReport report = restore();
  EXPECT_TRUE(report.complete());
  ASSERT_EQ(report.items.size(), 6U);
  EXPECT_EQ(outcomes(report),
            (std::vector{Outcome::kAlready, Outcome::kAlready, Outcome::kAlready,
                         Outcome::kRestored, Outcome::kAlready, Outcome::kRestored}));
  const RestoreItem& item = report.items[3];
  EXPECT_EQ(item.pod, "team/web");
  EXPECT_EQ(item.container, "app");
  EXPECT_EQ(item.path, kApp);
  EXPECT_EQ(item.target, LimitValue(MilliCpu{500}));
  EXPECT_EQ(item.before, LimitValue(MilliCpu{2000}));
  EXPECT_EQ(item.after, LimitValue(MilliCpu{500}));
  EXPECT_EQ(cpu_max(kApp), "50000 100000");
  EXPECT_EQ(cpu_max(kSide), "20000 100000");
  EXPECT_EQ(cpu_max(kPod), "70000 100000");
  EXPECT_EQ(cpu_outcomes(restore()), std::vector(3, Outcome::kAlready));
}

TEST_F(RestoreCpuTest, BothGoBack) {
  tree.set(kApp, "memory.max", text(1024));
  tree.set(kPod, "memory.max", text(2048));
  const RestoreReport report = restore();
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(max_of(kApp), mib(256));
  EXPECT_EQ(max_of(kPod), mib(512));
  EXPECT_EQ(cpu_max(kApp), "50000 100000");
  EXPECT_EQ(cpu_max(kPod), "70000 100000");
}

TEST_F(RestoreCpuTest, WhatTheApiConfirmedStays) {
  app().cpu->confirmed = MilliCpu{1500};
  slice().cpu->confirmed = MilliCpu{1700};
  EXPECT_TRUE(restore().complete());
  EXPECT_EQ(cpu_max(kApp), "150000 100000");
  EXPECT_EQ(cpu_max(kPod), "170000 100000");
}

TEST_F(RestoreCpuTest, NothingIsRaised) {
  tree.set(kApp, "cpu.max", "30000 100000\n");
  EXPECT_EQ(cpu_outcomes(restore()).at(0), Outcome::kAlready);
  EXPECT_EQ(cpu_max(kApp), "30000 100000");
}

TEST_F(RestoreCpuTest, ThePeriodStays) {
  tree.set(kApp, "cpu.max", "100000 50000\n");
  EXPECT_EQ(cpu_outcomes(restore()).at(0), Outcome::kRestored);
  EXPECT_EQ(cpu_max(kApp), "25000 50000");
  EXPECT_EQ(cpu_outcomes(restore()).at(0), Outcome::kAlready);
}

// The kernel takes no quota below 1 ms: the file of a limit of 5m says 10m, and is back.
TEST_F(RestoreCpuTest, ALimitBelowTheLeastQuotaIsTheLeastQuota) {
  app().cpu->first_seen = MilliCpu{5};
  EXPECT_EQ(cpu_outcomes(restore()).at(0), Outcome::kRestored);
  EXPECT_EQ(cpu_max(kApp), "1000 100000");
  EXPECT_EQ(cpu_outcomes(restore()).at(0), Outcome::kAlready);
}

// Memory that is in use keeps nothing but memory.
TEST_F(RestoreCpuTest, WhatIsInUseKeepsTheMemoryOnly) {
  tree.set(kApp, "memory.max", text(1024));
  tree.set(kPod, "memory.max", text(2048));
  tree.set(kApp, "memory.current", text(250));
  const RestoreReport report = restore();
  EXPECT_EQ(outcomes(report),
            (std::vector{Outcome::kInUse, Outcome::kAlready, Outcome::kHeldUp, Outcome::kRestored,
                         Outcome::kAlready, Outcome::kRestored}));
  EXPECT_EQ(cpu_max(kApp), "50000 100000");
  EXPECT_EQ(cpu_max(kPod), "70000 100000");
  ASSERT_EQ(report.left.pods.size(), 1U);
  ASSERT_EQ(report.left.pods[0].containers.size(), 1U);
  EXPECT_EQ(report.left.pods[0].containers[0].limit.direct_ceiling, mib(2048));
  EXPECT_FALSE(report.left.pods[0].containers[0].limit.cpu) << "this is back";
  EXPECT_FALSE(report.left.pods[0].slice->cpu);
}

TEST_F(RestoreCpuTest, WhatIsLeftOfItIsOfCpuOnly) {
  tree.set(kApp, "cpu.max", "garbage\n");
  const RestoreReport report = restore();
  EXPECT_FALSE(report.complete());
  EXPECT_EQ(cpu_outcomes(report),
            (std::vector{Outcome::kFailed, Outcome::kAlready, Outcome::kHeldUp}));
  EXPECT_EQ(cpu_max(kPod), "220000 100000") << "it would hold its container down";
  ASSERT_EQ(report.left.pods.size(), 1U);
  ASSERT_EQ(report.left.pods[0].containers.size(), 1U);
  const LimitState& left = report.left.pods[0].containers[0].limit;
  EXPECT_EQ(left.cpu, app().cpu);
  EXPECT_EQ(left.direct_ceiling, Limit{0}) << "its memory is not ours any more";
  EXPECT_EQ(report.left.pods[0].slice->cpu, slice().cpu);
}

TEST_F(RestoreCpuTest, ALimitOfSomebodyElseIsNotTouched) {
  tree.set(kApp, "cpu.max", "250100 100000\n");
  RestoreReport report = restore();
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(cpu_outcomes(report),
            (std::vector{Outcome::kForeign, Outcome::kAlready, Outcome::kForeign}));
  EXPECT_EQ(report.items[3].why,
            "the limit is 2501m, and at most 2500m can be from here: somebody else set it");
  EXPECT_EQ(cpu_max(kApp), "250100 100000");
  EXPECT_EQ(cpu_max(kPod), "220000 100000");
  tree.set(kApp, "cpu.max", "max 100000\n");
  report = restore();
  EXPECT_EQ(cpu_outcomes(report).at(0), Outcome::kForeign);
  EXPECT_EQ(report.items[3].before, LimitValue(kNoLimit));
  // Never written by us.
  tree.set(kApp, "cpu.max", "50000 100000\n");
  tree.set(kSide, "cpu.max", "20100 100000\n");
  EXPECT_EQ(cpu_outcomes(restore()).at(1), Outcome::kForeign);
}

// The kernel takes no quota below the burst.
TEST_F(RestoreCpuTest, TheBurstIsLoweredFirst) {
  tree.set(kApp, "cpu.max.burst", "200000\n");
  tree.set(kPod, "cpu.max.burst", "30000\n");
  EXPECT_TRUE(restore().complete());
  EXPECT_EQ(tree.group(kApp).read_cpu_max_burst(), std::chrono::microseconds(50'000));
  EXPECT_EQ(tree.group(kPod).read_cpu_max_burst(), std::chrono::microseconds(30'000));
  EXPECT_EQ(cpu_max(kApp), "50000 100000");
}

TEST_F(RestoreCpuTest, TheBurstGoesBackToo) {
  using std::chrono::microseconds;
  app().cpu->burst = side().cpu->burst = slice().cpu->burst = microseconds(10'000);
  tree.set(kApp, "cpu.max.burst", "50000\n");   // as much as its floor
  tree.set(kSide, "cpu.max.burst", "20000\n");  // which has its limit already
  tree.set(kPod, "cpu.max.burst", "70001\n");   // nobody here gives that much
  EXPECT_EQ(cpu_outcomes(restore(true)).at(1), Outcome::kWouldRestore);
  EXPECT_EQ(tree.group(kSide).read_cpu_max_burst(), microseconds(20'000));
  EXPECT_TRUE(restore().complete());
  EXPECT_EQ(tree.group(kApp).read_cpu_max_burst(), microseconds(10'000));
  EXPECT_EQ(tree.group(kSide).read_cpu_max_burst(), microseconds(10'000));
  EXPECT_EQ(tree.group(kPod).read_cpu_max_burst(), microseconds(70'000));  // as its new quota
  EXPECT_EQ(cpu_max(kApp), "50000 100000");
  EXPECT_EQ(cpu_max(kSide), "20000 100000");
}

TEST_F(RestoreCpuTest, WithoutItsCgroupOrFileItIsGone) {
  tree.drop(kApp, "cpu.max");  // the controller was taken away
  app().id = CgroupId{1};
  RestoreReport report = restore();
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(cpu_outcomes(report),
            (std::vector{Outcome::kGone, Outcome::kAlready, Outcome::kRestored}));
  app().id = tree.group(kApp).id();
  report = restore();
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(cpu_outcomes(report).at(0), Outcome::kGone);
  tree.remove(kPod);
  EXPECT_EQ(outcomes(restore()), std::vector(6, Outcome::kGone));
}

TEST_F(RestoreCpuTest, ADryRunWritesNothing) {
  EXPECT_EQ(cpu_outcomes(restore(true)),
            (std::vector{Outcome::kWouldRestore, Outcome::kAlready, Outcome::kWouldRestore}));
  EXPECT_EQ(cpu_max(kApp), "200000 100000");
}

// Of a container without a memory limit.
TEST_F(RestoreCpuTest, WhereMemoryIsNotOursNothingIsSaidOfIt) {
  app().first_seen = kNoLimit;
  app().direct_ceiling = Limit{0};
  slice().first_seen = kNoLimit;
  slice().direct_ceiling = Limit{0};
  const RestoreReport report = restore();
  ASSERT_EQ(report.items.size(), 4U);
  EXPECT_EQ(report.items[0].container, "side");
  EXPECT_EQ(cpu_outcomes(report),
            (std::vector{Outcome::kRestored, Outcome::kAlready, Outcome::kRestored}));
}

TEST_F(RestoreCpuTest, SystemdIsToldBothAtOnce) {
  tree.set(kApp, "memory.max", text(1024));
  SystemdUnitsConfig config;
  config.bus.socket = scratch / "private";
  const auto systemd = FakeSystemd::listen(config.bus.socket);
  EXPECT_EQ(tell_restored(restore(), tree.root(), config), 0U);
  const auto calls = systemd->calls();
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].unit, kScope);
  EXPECT_EQ(calls[0].properties, (std::map<std::string, std::uint64_t>{
                                     {"MemoryMax", 256 * kMiB}, {"CPUQuotaPerSecUSec", 500'000}}));
  EXPECT_EQ(calls[1].properties,
            (std::map<std::string, std::uint64_t>{{"CPUQuotaPerSecUSec", 700'000}}));
}

class RestoreCommandTest : public RestoreTest {
 protected:
  RestoreCommandTest() {
    options.state = scratch / "state";
    options.floors = scratch / "floors";
    options.cgroup_root = tree.path();
    options.filesystem = cgroup::Filesystem::kAny;
    options.systemd = {};
    options.policy.patience = Nanoseconds(0);
    auto file = StateFile::open(options.state, state.boot_id);
    EXPECT_TRUE(file->flush(state, MonotonicTime{}));
  }
  int run() {
    out.str("");
    err.str("");
    return run_restore(options, out, err);
  }

  RestoreOptions options;
  std::ostringstream out;
  std::ostringstream err;
};

TEST_F(RestoreCommandTest, SaysWhatItDid) {
  EXPECT_EQ(run(), 0);
  EXPECT_EQ(out.str(),
            "restored  team/web/app  1 GiB -> 256 MiB\n"
            "already  team/web/side  256 MiB\n"
            "restored  team/web  2 GiB -> 512 MiB\n"
            "everything is back\n");
  EXPECT_EQ(err.str(), "");
  EXPECT_TRUE(read_state(options.state, state.boot_id).state.pods.empty());
  EXPECT_EQ(run(), 0) << "again there is nothing to do";
  EXPECT_EQ(out.str(), "everything is back\n");
}

TEST_F(RestoreCommandTest, KeepsWhatIsLeft) {
  tree.set(kApp, "memory.current", text(250));
  options.json = true;
  EXPECT_EQ(run(), 1);
  const auto report = nlohmann::json::parse(out.str());
  EXPECT_EQ(report["complete"], false);
  EXPECT_EQ(report["items"][0]["outcome"], "in-use");
  EXPECT_EQ(report["items"][0]["before_bytes"], 1024 * kMiB);
  EXPECT_EQ(report["items"][2]["outcome"], "held-up");
  EXPECT_EQ(read_state(options.state, state.boot_id).state.pods[0].containers.size(), 1U);
  tree.set(kApp, "memory.current", text(10));
  EXPECT_EQ(run(), 0);
  EXPECT_EQ(max_of(kApp), mib(256));
}

TEST_F(RestoreCommandTest, SaysWhatIsOfCpu) {
  tree.set(kApp, "cpu.max", "200000 100000\n");
  tree.set(kSide, "cpu.max", "max 100000\n");
  state.pods[0].containers[0].limit.cpu =
      CpuLimitState{.first_seen = {500}, .confirmed = {}, .direct_ceiling = {2000}, .written = {}};
  state.pods[0].containers[1].limit.cpu = state.pods[0].containers[0].limit.cpu;
  {
    auto file = StateFile::open(options.state, state.boot_id);
    ASSERT_TRUE(file->flush(state, MonotonicTime{}));
  }
  options.dry_run = true;
  options.json = true;
  EXPECT_EQ(run(), 0);
  const auto report = nlohmann::json::parse(out.str());
  EXPECT_EQ(report["items"][0]["resource"], "memory");
  EXPECT_EQ(report["items"][3], (nlohmann::json{{"pod", "team/web"},
                                                {"container", "app"},
                                                {"what", "cgroup"},
                                                {"resource", "cpu"},
                                                {"path", kApp},
                                                {"outcome", "would-restore"},
                                                {"target_millicpu", 500},
                                                {"before_millicpu", 2000},
                                                {"after_millicpu", 2000}}));
  EXPECT_EQ(report["items"][4]["before_millicpu"], "max");
  options.dry_run = false;
  options.json = false;
  EXPECT_EQ(run(), 0);
  EXPECT_EQ(out.str(),
            "restored  team/web/app  1 GiB -> 256 MiB\n"
            "already  team/web/side  256 MiB\n"
            "restored  team/web  2 GiB -> 512 MiB\n"
            "restored  team/web/app cpu  2 -> 500m\n"
            "foreign  team/web/side cpu  max  (the limit is max, and at most 2 can be from here: "
            "somebody else set it)\n"
            "everything is back\n");
  EXPECT_TRUE(read_state(options.state, state.boot_id).state.pods.empty());
}

TEST_F(RestoreCommandTest, NotBesideAnAgent) {
  const auto agent = StateFile::open(options.state, state.boot_id);
  EXPECT_EQ(run(), 1);
  EXPECT_NE(err.str().find("in use by an agent"), std::string::npos) << err.str();
  EXPECT_EQ(max_of(kApp), mib(1024));
  options.dry_run = true;
  EXPECT_EQ(run(), 0) << "looking is allowed";
}

TEST_F(RestoreCommandTest, ADamagedStateIsSaid) {
  std::filesystem::resize_file(options.state, 20);
  EXPECT_EQ(run(), 1);
  EXPECT_NE(out.str().find("problem  " + options.state), std::string::npos) << out.str();
}

TEST_F(RestoreCommandTest, NoCgroupsAreSaid) {
  options.filesystem = cgroup::Filesystem::kCgroup2;
  EXPECT_EQ(run(), 1);
  EXPECT_NE(err.str().find("is not a cgroup v2 file system"), std::string::npos);
}

}  // namespace
}  // namespace plimsoll::agent::cgroups_test
