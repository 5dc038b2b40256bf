// SPDX-License-Identifier: Apache-2.0
#include "agent/state/state_file.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "agent/restore/cgroups.h"
#include "base/file.h"
#include "tests/kube/scratch_directory.h"
#include "tests/support/cgroup_tree.h"
#include "tests/support/in_memory.h"

namespace plimsoll::agent::state_file_test {
namespace {

namespace fs = std::filesystem;
using test::CgroupTree;

const std::string kBoot = "11111111-2222-3333-4444-555555555555";
constexpr Limit kFloor{256 * kMiB};
constexpr MonotonicTime kStart{std::chrono::hours(1)};

PodState pod(std::uint64_t id, Limit direct_ceiling) {
  const std::string number = std::to_string(id);
  LimitState limit{.id = CgroupId{id},
                   .path = "kubepods/pod" + number + "/app",
                   .first_seen = kFloor,
                   .confirmed = {},
                   .direct_ceiling = direct_ceiling,
                   .written = {}};
  ContainerState container{.container_id = number,
                           .name = "app",
                           .limit = limit,
                           .backing = Backing::kLease,
                           .lease_end = {},
                           .who = ""};
  return {.uid = number, .name_space = "n", .name = number, .slice = {}, .containers = {container}};
}

NodeState node(std::initializer_list<PodState> pods) {
  return {.boot_id = kBoot, .generation = 0, .pods = pods};
}

// In memory, as in production, where no disk makes it slow.
class StateFileTest : public test::InMemory, public testing::Test {
 protected:
  StateFile open() const {
    auto file = StateFile::open(path, kBoot);
    if (!file) throw std::runtime_error(file.error().message);
    return std::move(*file);
  }
  static std::string slurp(const std::string& name) {
    std::ostringstream text;
    text << std::ifstream(name, std::ios::binary).rdbuf();
    return text.str();
  }
  static void put(const std::string& name, const std::string& text) {
    std::ofstream(name, std::ios::binary | std::ios::trunc) << text;
  }

  kube::ScratchDirectory scratch;
  const std::string path = scratch / "run" / "state";
};

TEST_F(StateFileTest, AFirstStartFindsNothing) {
  const StateFile file = open();
  EXPECT_EQ(file.found().state, node({}));
  EXPECT_TRUE(file.found().complaints.empty());
  EXPECT_FALSE(file.covers(CgroupId{1}, Limit{1}));
  EXPECT_EQ(fs::status(path + ".lock").permissions() & fs::perms::others_all, fs::perms::none);
}

TEST_F(StateFileTest, TheNextAgentFindsWhatTheLastOneKnew) {
  NodeState kept = node({pod(1, Limit{kGiB}), pod(2, Limit{2 * kGiB})});
  {
    StateFile file = open();
    ASSERT_TRUE(file.update(kept, kStart).value());
    EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  }
  const StateFile file = open();
  kept.generation = 1;
  EXPECT_EQ(file.found().state, kept);
  EXPECT_FALSE(file.found().from_backup);
  EXPECT_TRUE(file.covers(CgroupId{1}, Limit{kGiB}));
  EXPECT_FALSE(file.covers(CgroupId{1}, Limit{kGiB + 1}));
  EXPECT_FALSE(file.covers(CgroupId{3}, Limit{1}));
}

TEST_F(StateFileTest, OneAgentAtATime) {
  const StateFile file = open();
  const auto second = StateFile::open(path, kBoot);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kConflict);
}

// What a direct write needs is written at once, the rest when its time has come.
TEST_F(StateFileTest, WritesAreCoalescedWhereThatIsSafe) {
  StateFile file = open();
  NodeState state = node({pod(1, Limit{kGiB})});
  EXPECT_TRUE(file.update(state, kStart).value());
  state.pods[0].containers[0].limit.written = Limit{kGiB};
  EXPECT_FALSE(file.update(state, kStart + std::chrono::milliseconds(999)).value());
  EXPECT_EQ(read_state(path, kBoot).state.generation, 1U);
  state.pods.push_back(pod(2, Limit{kGiB}));
  EXPECT_TRUE(file.update(state, kStart + std::chrono::milliseconds(999)).value());
  EXPECT_TRUE(file.covers(CgroupId{2}, Limit{kGiB}));
  EXPECT_FALSE(file.update(state, kStart + std::chrono::hours(1)).value()) << "nothing is new";
  state.pods.pop_back();
  EXPECT_FALSE(file.update(state, kStart + std::chrono::milliseconds(1500)).value());
  EXPECT_TRUE(file.update(state, kStart + std::chrono::seconds(2)).value());
  EXPECT_EQ(file.saved().generation, 3U);
  state.pods.clear();
  EXPECT_TRUE(file.flush(state, kStart + std::chrono::seconds(2)).value());
}

// Before the first write of a CPU limit, as of a memory limit; each by itself.
TEST_F(StateFileTest, CpuLimitsAreCoveredByTheirOwnRecord) {
  StateFile file = open();
  EXPECT_TRUE(file.covers_cpu(CgroupId{1}, MilliCpu{})) << "no write needs nothing";
  EXPECT_FALSE(file.covers_cpu(CgroupId{1}, MilliCpu{1}));
  NodeState state = node({pod(1, Limit{kGiB})});
  ASSERT_TRUE(file.update(state, kStart).value());
  EXPECT_FALSE(file.covers_cpu(CgroupId{1}, MilliCpu{1})) << "this is about memory";

  LimitState& limit = state.pods[0].containers[0].limit;
  limit.cpu =
      CpuLimitState{.first_seen = {500}, .confirmed = {}, .direct_ceiling = {2000}, .written = {}};
  const auto soon = kStart + std::chrono::milliseconds(1);
  EXPECT_TRUE(file.update(state, soon).value()) << "a boost does not wait for the next second";
  EXPECT_TRUE(file.covers_cpu(CgroupId{1}, MilliCpu{2000}));
  EXPECT_FALSE(file.covers_cpu(CgroupId{1}, MilliCpu{2001}));
  EXPECT_FALSE(file.covers_cpu(CgroupId{2}, MilliCpu{1}));
  EXPECT_TRUE(file.covers(CgroupId{1}, Limit{kGiB}));
  limit.cpu->written = MilliCpu{1000};
  EXPECT_FALSE(file.update(state, soon).value());
  limit.cpu->direct_ceiling = MilliCpu{2500};
  EXPECT_TRUE(file.update(state, soon).value());
  EXPECT_TRUE(file.covers_cpu(CgroupId{1}, MilliCpu{2500}));

  // As the next agent finds it.
  const FoundState found = read_state(path, kBoot);
  EXPECT_EQ(found.state.pods, state.pods);
}

// A container that has a CPU limit only.
TEST_F(StateFileTest, ACpuLimitNeedsNoMemoryLimit) {
  NodeState state = node({pod(1, Limit{0})});
  state.pods[0].containers[0].limit.first_seen = kNoLimit;
  state.pods[0].containers[0].limit.cpu =
      CpuLimitState{.first_seen = {500}, .confirmed = {}, .direct_ceiling = {2000}, .written = {}};
  {
    StateFile file = open();
    ASSERT_TRUE(file.update(state, kStart).value());
  }
  const StateFile file = open();
  EXPECT_TRUE(file.covers_cpu(CgroupId{1}, MilliCpu{2000}));
  EXPECT_FALSE(file.covers(CgroupId{1}, Limit{1}));
}

TEST_F(StateFileTest, WhatCannotBeWrittenIsNotCovered) {
  StateFile file = open();
  ASSERT_TRUE(file.update(node({pod(1, Limit{kGiB})}), kStart));
  fs::create_directory(path + ".new");  // in the way, for root too
  const auto failed = file.update(node({pod(1, Limit{kGiB}), pod(2, Limit{kGiB})}), kStart);
  ASSERT_FALSE(failed);
  EXPECT_FALSE(file.covers(CgroupId{2}, Limit{kGiB}));
  EXPECT_TRUE(file.covers(CgroupId{1}, Limit{kGiB}));
  fs::remove(path + ".new");
  EXPECT_TRUE(file.update(node({pod(1, Limit{kGiB}), pod(2, Limit{kGiB})}), kStart).value());
  EXPECT_TRUE(file.covers(CgroupId{2}, Limit{kGiB}));
}

TEST_F(StateFileTest, TooMuchIsRefused) {
  StateFile file = open();
  NodeState state = node({});
  for (std::uint64_t id = 0; id < 50000; ++id) state.pods.push_back(pod(id, Limit{kGiB}));
  const auto refused = file.update(state, kStart);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kUnavailable);
}

// 17 pods of a hundred containers, of one tenant, are no reason to save nothing.
TEST_F(StateFileTest, AHundredContainersInAPodFit) {
  StateFile file = open();
  NodeState state = node({});
  for (std::uint64_t id = 0; id < 4000; ++id) state.pods.push_back(pod(id, Limit{kGiB}));
  ASSERT_TRUE(file.update(state, kStart).value());
  EXPECT_TRUE(file.covers(CgroupId{3999}, Limit{kGiB})) << "it is on disk";
}

// 250 pods with long names, three containers each.
TEST_F(StateFileTest, AWholeNodeFits) {
  NodeState state = node({});
  for (std::uint64_t id = 0; id < 250; ++id) {
    PodState one = pod(id, Limit{kGiB});
    one.uid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
    one.name_space = std::string(40, 'n');
    one.name = std::string(60, 'p');
    one.slice = one.containers[0].limit;
    one.slice->path = std::string(130, 's');
    one.containers[0].container_id = std::string(64, 'a');
    one.containers[0].limit.path = std::string(220, 'c');
    one.containers.resize(3, one.containers[0]);
    state.pods.push_back(one);
  }
  StateFile file = open();
  ASSERT_TRUE(file.update(state, kStart));
  EXPECT_EQ(read_state(path, kBoot).state.pods.size(), 250U);
}

TEST_F(StateFileTest, AnotherBootIsForgotten) {
  { ASSERT_TRUE(open().update(node({pod(1, Limit{kGiB})}), kStart)); }
  const auto later = StateFile::open(path, "another boot");
  ASSERT_TRUE(later);
  EXPECT_TRUE(later->found().other_boot);
  EXPECT_TRUE(later->found().state.pods.empty());
  EXPECT_FALSE(later->covers(CgroupId{1}, Limit{1}));
}

TEST_F(StateFileTest, ADamagedFileGivesTheOneBefore) {
  const NodeState first = node({pod(1, Limit{kGiB})});
  {
    StateFile file = open();
    ASSERT_TRUE(file.update(first, kStart));
    ASSERT_TRUE(file.update(node({pod(2, Limit{kGiB})}), kStart));
  }
  const std::string good = slurp(path);
  for (const std::string& bad : std::vector<std::string>{
           good.substr(0, good.size() / 2), std::string(),
           std::string("\0\x7f"
                       "ELF",
                       5),
           "plimsoll-state 9" + good.substr(16), std::string(2 * kLargestFile, 'x')}) {
    put(path, bad);
    const FoundState found = read_state(path, kBoot);
    EXPECT_TRUE(found.from_backup);
    ASSERT_EQ(found.complaints.size(), 1U);
    EXPECT_NE(found.complaints[0].find(path), std::string::npos) << found.complaints[0];
    ASSERT_EQ(found.state.pods.size(), 1U);
    EXPECT_EQ(found.state.pods[0], first.pods[0]);
  }
  // The next save must not make the damaged one the backup.
  {
    StateFile file = open();
    ASSERT_TRUE(file.flush(file.found().state, kStart).value()) << "although nothing changed";
  }
  EXPECT_TRUE(read_state(path, kBoot).complaints.empty());
  put(path, "damaged");
  EXPECT_EQ(read_state(path, kBoot).state.pods[0], first.pods[0]);
  put(path + ".1", "damaged");
  const FoundState nothing = read_state(path, kBoot);
  EXPECT_EQ(nothing.complaints.size(), 2U);
  EXPECT_TRUE(nothing.state.pods.empty());
}

// Somebody else's directory entry is not followed, and not harmed.
TEST_F(StateFileTest, LinksAreNotFollowed) {
  fs::create_directories(fs::path(path).parent_path());
  const std::string precious = scratch / "precious";
  put(precious, "text");
  fs::create_symlink(precious, path);
  fs::create_symlink(precious, path + ".new");
  const FoundState found = read_state(path, kBoot);
  EXPECT_EQ(found.complaints.size(), 1U);
  StateFile file = open();
  EXPECT_FALSE(file.update(node({pod(1, Limit{kGiB})}), kStart));
  EXPECT_EQ(slurp(precious), "text");
}

// An agent at work on eight containers, killed at any moment: what it raised, the next one knows.
class KilledAgents : public StateFileTest {
 protected:
  static constexpr std::size_t kContainers = 8;
  // What the life of an agent tells before it ends.
  struct Told {
    std::atomic<std::uint64_t> generation{0};  // saved, and update() has returned
    std::atomic<std::uint64_t> raises{0};
  };
  struct Unmap {
    void operator()(Told* shared) const { ::munmap(shared, sizeof(Told)); }
  };

  KilledAgents() {
    for (std::size_t i = 0; i < kContainers; ++i) {
      tree.add(path_of(i), {{"memory.max", std::to_string(kFloor.bytes) + "\n"}});
    }
    void* const shared =
        ::mmap(nullptr, sizeof(Told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(shared, MAP_FAILED);
    told.reset(new (shared) Told);
    longest_life = measure_life();
  }

  static std::string path_of(std::size_t i) { return "kubepods/pod" + std::to_string(i); }
  PodState record(std::size_t i) const {
    const auto id = static_cast<std::uint64_t>(tree.group(path_of(i)).id());
    PodState one = pod(id, Limit{0});
    one.containers[0].limit.path = path_of(i);
    return one;
  }

  // Never returns. `order` false: raises before the record is safe, as nobody may.
  [[noreturn]] void live(unsigned seed, bool order) {
    std::mt19937 random(seed);
    const cgroup::Root root = tree.root();
    const cgroup::Writer writer;
    StateFile file = open();
    NodeState state = file.found().state;
    MonotonicTime now = kStart;
    const auto save = [&] {
      const auto saved = file.update(state, now);
      if (!saved) ::_exit(2);
      told->generation = file.saved().generation;
    };
    while (true) {
      now += std::chrono::milliseconds(random() % 500);
      const std::size_t i = random() % kContainers;
      const auto group = root.open_group(path_of(i));
      auto known = std::find_if(state.pods.begin(), state.pods.end(), [&](const PodState& one) {
        return one.containers[0].limit.path == path_of(i);
      });
      if (known != state.pods.end() && random() % 4 == 0) {
        // Down again, and only then forgotten.
        if (!writer.set_memory_max(*group, kFloor)) ::_exit(3);
        state.pods.erase(known);
        save();
        continue;
      }
      if (known == state.pods.end()) known = state.pods.insert(known, record(i));
      LimitState& limit = known->containers[0].limit;
      const Limit goal{kFloor.bytes + (1 + random() % 1024) * kMiB};
      const auto raise = [&] {
        if (!writer.set_memory_max(*group, goal)) ::_exit(4);
        ++told->raises;
      };
      if (!order) raise();
      limit.direct_ceiling = std::max(limit.direct_ceiling, goal);
      save();
      if (order && !file.covers(limit.id, goal)) ::_exit(5);
      if (order) raise();
      limit.written = goal;
    }
  }

  // The time in which a life saves some times, however slow this build and machine are: the
  // shortest of three.
  std::chrono::nanoseconds measure_life() {
    auto shortest = std::chrono::nanoseconds::max();
    for (unsigned seed = 0; seed < 3; ++seed) {
      const auto start = std::chrono::steady_clock::now();
      const std::uint64_t enough = told->generation + 6;
      const pid_t child = ::fork();
      if (child == 0) live(seed, true);
      while (told->generation < enough && ::waitpid(child, nullptr, WNOHANG) == 0) ::sched_yield();
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
      shortest = std::min(shortest, std::chrono::steady_clock::now() - start);
    }
    return shortest;
  }

  // Ends a life at a random moment; the reason if something is wrong then.
  std::string kill_one(unsigned seed, bool order) {
    const pid_t child = ::fork();
    if (child == 0) live(seed, order);
    std::mt19937_64 random(seed + 1);
    std::this_thread::sleep_for(longest_life * (random() % 1024) / 1024);
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!WIFSIGNALED(status)) return "the agent ended by itself: " + std::to_string(status);

    const FoundState found = read_state(path, kBoot);
    if (!found.complaints.empty()) return found.complaints[0];
    if (found.from_backup) return "the backup was needed";
    if (found.state.generation < told->generation) return "a save that had returned is lost";
    for (std::size_t i = 0; i < kContainers; ++i) {
      const auto group = tree.group(path_of(i));
      const Limit now = group.read_memory_max().value();
      if (now <= kFloor) continue;
      const LimitState* const known = find_limit(found.state, group.id());
      if (known == nullptr) return path_of(i) + " is raised and not known";
      if (known->first_seen != kFloor) return path_of(i) + " has lost its floor";
      if (now > known->direct_ceiling) return path_of(i) + " is raised further than is known";
    }
    return "";
  }

  CgroupTree tree;
  std::unique_ptr<Told, Unmap> told;
  std::chrono::nanoseconds longest_life{};
};

TEST_F(KilledAgents, NoRaisedLimitIsUnaccountedFor) {
  constexpr unsigned kKills = 1000;
  for (unsigned life = 0; life < kKills; ++life) {
    ASSERT_EQ(kill_one(life * 2, true), "") << "life " << life;
  }
  // They did live, and died in the middle of it.
  EXPECT_GT(told->generation, kKills);
  EXPECT_GT(told->raises, kKills);

  const FoundState found = read_state(path, kBoot);
  const cgroup::Writer writer;
  const RestoreReport report = restore_limits(found.state, tree.root(), &writer, {});
  EXPECT_TRUE(report.complete());
  for (std::size_t i = 0; i < kContainers; ++i) {
    EXPECT_EQ(tree.group(path_of(i)).read_memory_max().value(), kFloor) << path_of(i);
  }
}

// The same with the two steps in the wrong order: the test above can see that.
TEST_F(KilledAgents, TheOrderIsWhatMakesItSafe) {
  std::set<std::string> reasons;
  for (unsigned life = 0; life < 2000 && reasons.empty(); ++life) {
    const std::string reason = kill_one(life * 2, false);
    if (!reason.empty()) reasons.insert(reason);
  }
  EXPECT_FALSE(reasons.empty());
}

}  // namespace
}  // namespace plimsoll::agent::state_file_test
