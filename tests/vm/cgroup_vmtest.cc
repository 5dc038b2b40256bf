// SPDX-License-Identifier: Apache-2.0
//
// cgroup/ on the kernel's own cgroup tree: the contract that the fake keeps too, and what only a
// kernel does. Run as root where cgroup v2 has the memory controller; it fails where it cannot run.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <thread>

#include "base/file.h"
#include "cgroup/mounts.h"
#include "cgroup/psi_trigger.h"
#include "tests/cgroup/cpu_contract.h"
#include "tests/cgroup/tree_contract.h"

namespace plimsoll::test {
namespace {

using cgroup::Root;

constexpr std::string_view kMemory[] = {"memory"};
constexpr std::string_view kControllers[] = {"memory", "cpu"};

template <typename T>
T value(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

// A cgroup of its own for each test, removed with all that is in it.
class RealTree {
 public:
  RealTree() : root_(value(Root::open(*value(cgroup::read_mounts()).v2))) {
    const auto enabled = Writer().enable_controllers(root_.top(), kControllers);
    if (!enabled) throw std::runtime_error(enabled.error().message);
    static int count = 0;
    path_ = "plimsoll-test-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
    work_.emplace(value(Writer().create_group(root_.top(), path_)));
  }
  ~RealTree() {
    const Writer writer;
    (void)writer.kill(*work_);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(120);
    auto removed = writer.remove_group(*work_);
    while (!removed && removed.error().code == Code::kConflict &&
           std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
      removed = writer.remove_group(*work_);
    }
    EXPECT_TRUE(removed) << removed.error().message;
  }
  RealTree(const RealTree&) = delete;
  RealTree& operator=(const RealTree&) = delete;

  Root root() const { return value(Root::open(root_.path())); }
  std::string path() const { return path_; }
  const Group& work() const { return *work_; }
  void add(const std::string& name) {
    const std::size_t slash = name.rfind('/');
    const std::string above = slash == std::string::npos ? "" : "/" + name.substr(0, slash);
    const Group parent = value(root_.open_group(path_ + above));
    const auto enabled = Writer().enable_controllers(parent, kControllers);
    if (!enabled) throw std::runtime_error(enabled.error().message);
    value(Writer().create_group(parent, name.substr(slash == std::string::npos ? 0 : slash + 1)));
  }
  void remove(const std::string& name) {
    const auto removed = Writer().remove_group(value(root_.open_group(path_ + "/" + name)));
    if (!removed) throw std::runtime_error(removed.error().message);
  }

 private:
  Root root_;
  std::string path_;
  std::optional<Group> work_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Kernel, TreeContract, RealTree);
INSTANTIATE_TYPED_TEST_SUITE_P(Kernel, CpuContract, RealTree);

// A child process that runs `work` inside `group` from its first instruction on.
class Child {
 public:
  Child(const Group& group, const std::function<int()>& work) {
    int gate[2];
    if (::pipe2(gate, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
    pid_ = ::fork();
    if (pid_ == 0) {
      char go = 0;
      if (::read(gate[0], &go, 1) != 1) ::_exit(125);
      ::_exit(work());
    }
    const auto moved = Writer().move_process(group, pid_);
    if (moved && ::write(gate[1], "x", 1) != 1) throw std::runtime_error("write");
    ::close(gate[0]);
    ::close(gate[1]);
    if (!moved) throw std::runtime_error(moved.error().message);
  }
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  int wait() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_ = -1;
};

bool killed(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL; }

int touch(std::size_t bytes) {
  void* const memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  std::memset(memory, 1, bytes);
  return 0;
}

int touch_and_stay(std::size_t bytes) {
  if (const int failed = touch(bytes); failed != 0) return failed;
  while (true) ::pause();
}

// Memory that the kernel may take at any time, also where there is neither swap nor a disk.
int free_lazily_and_stay(std::size_t bytes) {
  void* const memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  std::memset(memory, 1, bytes);
  if (::madvise(memory, bytes, MADV_FREE) != 0) return 1;
  while (true) ::pause();
}

// Files in memory: charged to the caller's cgroup, and nothing of them can be reclaimed without
// swap.
int fill_tmpfs(const std::string& file, std::size_t bytes) {
  const Fd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const std::string block(kMiB, 'x');
  for (std::size_t at = 0; at < bytes; at += block.size()) {
    if (::write(fd.get(), block.data(), block.size()) != static_cast<ssize_t>(block.size())) {
      return 1;
    }
  }
  return 0;
}

// Names that were looked up in vain are remembered: kernel memory that is charged to the caller's
// cgroup and can be reclaimed, on machines without any disk.
int fill_name_cache(std::size_t names) {
  const std::string long_name = "/sys/kernel/plimsoll-" + std::string(200, 'x');
  for (std::size_t i = 0; i < names; ++i) {
    struct stat status {};
    if (::stat((long_name + std::to_string(i)).c_str(), &status) == 0) return 1;
  }
  return 0;
}

// Waits for a condition of another process; what was waited for is in the failure.
::testing::AssertionResult eventually(std::string_view what, const std::function<bool()>& holds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(120);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) {
      return ::testing::AssertionFailure() << "not within 30 s: " << what;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return ::testing::AssertionSuccess();
}

class KernelTree : public testing::Test {
 protected:
  Group add(const std::string& name) {
    tree.add(name);
    return value(tree.root().open_group(tree.path() + "/" + name));
  }
  RealTree tree;
};

TEST_F(KernelTree, ThisMachineHasItsRootWhereTheMountsSay) {
  const cgroup::CgroupMounts mounts = value(cgroup::read_mounts());
  EXPECT_EQ(mounts.v2, "/sys/fs/cgroup");
  EXPECT_EQ(mounts.v2_root, "/");
  EXPECT_FALSE(mounts.has_v1);
  EXPECT_FALSE(mounts.memory_on_v1);
  const auto proc = Root::open("/proc");
  ASSERT_FALSE(proc);
  EXPECT_EQ(proc.error().code, Code::kUnsupported);
}

TEST_F(KernelTree, AProcessKnowsTheCgroupItWasMovedTo) {
  const Group group = add("a");
  const std::string wanted = "/" + group.path();
  Child child(group, [&wanted] {
    const auto own = cgroup::own_cgroup();
    return own && *own == wanted ? 0 : 1;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(KernelTree, LimitsAreRoundedDownToPages) {
  const Group group = add("a");
  const auto change = Writer().set_memory_max(group, Limit{kMiB + 5000});
  ASSERT_TRUE(change);
  EXPECT_EQ(change->after, Limit{kMiB + 4096});
  const auto file = value(cgroup::LimitFile::open_max(group));
  EXPECT_EQ(file.write(kMiB + 4095), 0);
  EXPECT_EQ(file.read(), Limit{kMiB});
  // Beyond what the kernel counts there is no limit.
  EXPECT_EQ(file.write(~0ULL - 1), 0);
  EXPECT_EQ(file.read(), kNoLimit);
}

TEST_F(KernelTree, UsageAndPeakFollowAProcess) {
  const Group group = add("a");
  const auto usage = value(cgroup::UsageFile::open(group));
  constexpr std::size_t kSize = 32 * kMiB;
  {
    Child child(group, [] { return touch_and_stay(kSize); });
    EXPECT_TRUE(eventually("usage is 32 MiB", [&] { return usage.read()->value >= kSize; }));
    EXPECT_EQ(value(group.read_procs()).pids, std::vector<pid_t>{child.pid()});
    EXPECT_TRUE(value(group.read_cgroup_events()).populated);
    // memory.stat lags behind the counters.
    EXPECT_TRUE(eventually("anon is 32 MiB",
                           [&] { return value(group.read_memory_stat()).anon.value >= kSize; }));
  }
  EXPECT_TRUE(eventually("nobody lives there",
                         [&] { return !value(group.read_cgroup_events()).populated; }));
  const auto peak = group.read_memory_peak();
  ASSERT_TRUE(peak) << peak.error().message;
  EXPECT_GE(peak->value, kSize);
}

TEST_F(KernelTree, ARaisedLimitLetsAProcessGrowOn) {
  const Group pod = add("pod");
  const Group container = add("pod/container");
  ASSERT_TRUE(Writer().set_memory_max(pod, mebibytes(16)));
  ASSERT_TRUE(Writer().set_memory_max(container, mebibytes(16)));
  EXPECT_TRUE(killed(Child(container, [] { return touch(32 * kMiB); }).wait()));
  const std::array<cgroup::Step, 2> up{{{&pod, mebibytes(64)}, {&container, mebibytes(64)}}};
  EXPECT_FALSE(Writer().raise_memory_max(up).error);
  EXPECT_EQ(Child(container, [] { return touch(32 * kMiB); }).wait(), 0);
}

TEST_F(KernelTree, TheWatchTellsOfAnOomKill) {
  const Group group = add("a");
  const Group other = add("b");
  ASSERT_TRUE(Writer().set_memory_max(group, mebibytes(16)));
  auto watch = value(cgroup::EventsWatch::open());
  ASSERT_TRUE(watch.add(group));
  ASSERT_TRUE(watch.add(other));
  EXPECT_TRUE(killed(Child(group, [] { return touch(32 * kMiB); }).wait()));
  pollfd waiting{watch.fd().get(), POLLIN, 0};
  ASSERT_EQ(::poll(&waiting, 1, 30000), 1);
  const auto changes = value(watch.drain());
  EXPECT_EQ(changes.changed, std::vector<CgroupId>{group.id()});
  EXPECT_FALSE(changes.lost);
  const auto events = value(group.read_memory_events());
  EXPECT_GE(events.max, 1U);
  EXPECT_GE(events.oom, 1U);
  EXPECT_EQ(events.oom_kill, 1U);
  EXPECT_EQ(value(other.read_memory_events()).oom_kill, 0U);
  // Counted above it too, but not there in the local file.
  EXPECT_EQ(value(tree.work().read_memory_events()).oom_kill, 1U);
  EXPECT_EQ(value(tree.work().read_memory_events_local()).oom_kill, 0U);
}

TEST_F(KernelTree, ThePsiTriggerFiresOnAStallAndSaysWhenTheGroupIsGone) {
  const Group group = add("a");
  ASSERT_TRUE(Writer().set_memory_high(group, mebibytes(8)));
  const auto trigger = value(cgroup::PsiTrigger::open(group, std::chrono::milliseconds(10),
                                                      std::chrono::milliseconds(500)));
  {
    // Above memory.high each allocation sleeps: a stall that lasts.
    Child child(group, [] { return touch(64 * kMiB); });
    pollfd waiting{trigger.fd().get(), POLLPRI, 0};
    ASSERT_EQ(::poll(&waiting, 1, 30000), 1);
    EXPECT_TRUE(cgroup::PsiTrigger::fired(static_cast<std::uint32_t>(waiting.revents)));
    EXPECT_GT(value(group.read_memory_pressure()).some.total, Nanoseconds{0});
  }
  EXPECT_TRUE(eventually("the group can be removed",
                         [&] { return Writer().remove_group(group).has_value(); }));
  pollfd waiting{trigger.fd().get(), POLLPRI, 0};
  ASSERT_EQ(::poll(&waiting, 1, 30000), 1);
  EXPECT_TRUE(cgroup::PsiTrigger::gone(static_cast<std::uint32_t>(waiting.revents)));
  EXPECT_FALSE(cgroup::PsiTrigger::fired(static_cast<std::uint32_t>(waiting.revents)));
}

TEST_F(KernelTree, ThePsiTriggerRefusesWindowsThatTheKernelDoesNotTake) {
  const auto trigger = cgroup::PsiTrigger::open(add("a"), std::chrono::milliseconds(1),
                                                std::chrono::milliseconds(10001));
  ASSERT_FALSE(trigger);
  EXPECT_EQ(trigger.error().code, Code::kMalformed);
}

TEST_F(KernelTree, ReclaimTakesAsMuchAsWasAskedWhereItCan) {
  const Group group = add("a");
  constexpr std::size_t kSize = 32 * kMiB;
  Child child(group, [] { return free_lazily_and_stay(kSize); });
  ASSERT_TRUE(eventually("32 MiB are free for the taking", [&] {
    return value(group.read_memory_stat()).inactive_file.value >= kSize - kMiB;
  }));
  const auto reclaimed = Writer().reclaim(group, Bytes{16 * kMiB});
  ASSERT_TRUE(reclaimed) << reclaimed.error().message;
  EXPECT_TRUE(reclaimed->complete);
  EXPECT_LE(reclaimed->after.value, reclaimed->before.value - 15 * kMiB);
}

// The kernel frees caches of its own too, but after a grace period: the call may return before, and
// does not promise to have counted them.
TEST_F(KernelTree, ReclaimShrinksKernelMemoryInTheEnd) {
  const Group group = add("a");
  EXPECT_EQ(Child(group, [] { return fill_name_cache(40000); }).wait(), 0);
  ASSERT_GT(value(group.read_memory_stat()).slab_reclaimable.value, 8 * kMiB);
  const auto reclaimed = Writer().reclaim(group, Bytes{4 * kMiB});
  ASSERT_TRUE(reclaimed) << reclaimed.error().message;
  EXPECT_TRUE(eventually("usage is 2 MiB lower", [&] {
    return value(group.read_memory_current()).value < reclaimed->before.value - 2 * kMiB;
  }));
}

TEST_F(KernelTree, ReclaimSaysWhenItFallsShort) {
  const Group group = add("a");
  constexpr std::size_t kSize = 32 * kMiB;
  const std::string file = "/dev/shm/plimsoll-reclaim-" + std::to_string(::getpid());
  EXPECT_EQ(Child(group, [&file] { return fill_tmpfs(file, kSize); }).wait(), 0);
  const auto reclaimed = Writer().reclaim(group, Bytes{16 * kMiB});
  EXPECT_EQ(::unlink(file.c_str()), 0);
  ASSERT_TRUE(reclaimed) << reclaimed.error().message;
  EXPECT_FALSE(reclaimed->complete);
  EXPECT_EQ(reclaimed->asked, Bytes{16 * kMiB});
  EXPECT_GE(reclaimed->after.value, kSize - kMiB);
}

TEST_F(KernelTree, AWatchOutlivesTheGroupsItWatched) {
  const Group group = add("a");
  const Group other = add("b");
  auto watch = value(cgroup::EventsWatch::open());
  ASSERT_TRUE(watch.add(group));
  tree.remove("a");
  const auto changes = value(watch.drain());
  for (const CgroupId id : changes.gone) EXPECT_EQ(id, group.id());
  std::printf("inotify tells of a removed cgroup: %s\n", changes.gone.empty() ? "no" : "yes");
  watch.remove(group.id());
  ASSERT_TRUE(watch.add(other));
  ASSERT_TRUE(Writer().set_memory_max(other, mebibytes(16)));
  EXPECT_TRUE(killed(Child(other, [] { return touch(32 * kMiB); }).wait()));
  EXPECT_TRUE(eventually("the other one is told", [&] {
    return value(watch.drain()).changed == std::vector<CgroupId>{other.id()};
  }));
}

TEST_F(KernelTree, ANonBlockingLoweringIsTakenByEveryKernel) {
  const Group group = add("a");
  const auto file = value(cgroup::LimitFile::open_max(group));
  Child child(group, [] { return touch_and_stay(16 * kMiB); });
  ASSERT_TRUE(eventually("usage is 16 MiB",
                         [&] { return value(group.read_memory_current()).value >= 16 * kMiB; }));
  EXPECT_EQ(file.write(64 * kMiB), 0);
  EXPECT_EQ(file.write(32 * kMiB), 0);
  EXPECT_EQ(value(group.read_memory_max()), mebibytes(32));
  EXPECT_EQ(value(group.read_memory_events()).oom_kill, 0U);
  // Below what is in use: before 6.16 the write itself kills, from there on it only sets the limit.
  EXPECT_EQ(file.write(8 * kMiB), 0);
  EXPECT_EQ(value(group.read_memory_max()), mebibytes(8));
  const std::uint64_t kills = value(group.read_memory_events()).oom_kill;
  RecordProperty("kills_by_lowering", std::to_string(kills));
  std::printf("oom kills by lowering memory.max below usage, non-blocking: %lu\n", kills);
}

TEST_F(KernelTree, AnOpenFileOfARemovedGroupSaysSo) {
  const Group group = add("a");
  const auto max = value(cgroup::LimitFile::open_max(group));
  const auto usage = value(cgroup::UsageFile::open(group));
  tree.remove("a");
  EXPECT_EQ(max.write(kMiB), ENODEV);
  EXPECT_EQ(max.read(), std::nullopt);
  EXPECT_EQ(usage.read(), std::nullopt);
}

TEST_F(KernelTree, ControllersAreEnabledOnce) {
  const Group group = add("a");
  EXPECT_EQ(value(group.read_subtree_control()), cgroup::ControllerSet{});
  ASSERT_TRUE(Writer().enable_controllers(group, kMemory));
  EXPECT_EQ(value(group.read_subtree_control()), cgroup::ControllerSet{"memory"});
  ASSERT_TRUE(Writer().enable_controllers(group, kMemory));
  constexpr std::string_view kUnknown[] = {"pids"};
  // "pids" exists but was not handed down to this cgroup.
  EXPECT_EQ(code_of(Writer().enable_controllers(group, kUnknown)), Code::kUnsupported);

  const Group child = value(Writer().create_group(group, "child"));
  EXPECT_TRUE(Writer().enable_controllers(child, {}));
  Child process(child, [] { return touch_and_stay(kMiB); });
  EXPECT_EQ(code_of(Writer().enable_controllers(child, kMemory)), Code::kConflict);
  // And no process may live in a cgroup that hands controllers down.
  EXPECT_EQ(code_of(Writer().move_process(group, process.pid())), Code::kConflict);
}

TEST_F(KernelTree, WithoutTheControllerThereAreNoLimits) {
  const Group group = add("a");
  const Group plain = value(Writer().create_group(group, "plain"));
  EXPECT_EQ(code_of(plain.read_memory_max()), Code::kUnsupported);
  EXPECT_EQ(code_of(cgroup::LimitFile::open_max(plain)), Code::kUnsupported);
  ASSERT_TRUE(Writer().set_memory_max(group, mebibytes(64)));
  const auto levels = value(cgroup::read_levels(tree.root(), plain));
  ASSERT_FALSE(levels.empty());
  EXPECT_EQ(levels.front().id, group.id());
}

TEST_F(KernelTree, RemovingTakesEmptyGroupsAndSparesProcesses) {
  const Group top = add("a");
  add("a/b");
  const Group deep = add("a/b/c");
  add("a/d");
  {
    Child child(deep, [] { return touch_and_stay(kMiB); });
    EXPECT_EQ(code_of(Writer().remove_group(top)), Code::kConflict);
    EXPECT_TRUE(deep.alive());
    EXPECT_TRUE(top.alive());
    EXPECT_EQ(::kill(child.pid(), 0), 0);
  }
  EXPECT_TRUE(eventually("the groups can be removed",
                         [&] { return Writer().remove_group(top).has_value(); }));
  EXPECT_FALSE(deep.alive());
  EXPECT_FALSE(top.alive());
}

TEST_F(KernelTree, RemovingTooMuchAtOnceIsRefused) {
  const Group top = add("a");
  add("a/b");
  add("a/b/c");
  EXPECT_EQ(code_of(Writer().remove_group(top, {.most_groups = 1})), Code::kConflict);
  EXPECT_TRUE(value(cgroup::list_descendants(top)).groups.size() == 2);
}

TEST_F(KernelTree, KillReachesTheDescendants) {
  const Group top = add("a");
  const Group deep = add("a/b");
  Child one(deep, [] { return touch_and_stay(kMiB); });
  Child two(deep, [] { return touch_and_stay(kMiB); });
  ASSERT_TRUE(Writer().kill(top));
  EXPECT_TRUE(killed(one.wait()));
  EXPECT_TRUE(killed(two.wait()));
  tree.remove("a");
  EXPECT_EQ(code_of(Writer().kill(top)), Code::kGone);
}

TEST_F(KernelTree, AProcessThatEndedCannotBeMoved) {
  const Group group = add("a");
  Child child(group, [] { return 0; });
  const pid_t pid = child.pid();
  child.wait();
  EXPECT_EQ(code_of(Writer().move_process(group, pid)), Code::kGone);
  EXPECT_EQ(code_of(Writer().move_process(group, 0)), Code::kMalformed);
  EXPECT_EQ(code_of(Writer().move_process(group, -1)), Code::kMalformed);
}

// A tree of ordinary files that has links and another mount in it.
TEST_F(KernelTree, NoLinkAndNoOtherMountIsFollowed) {
  namespace fs = std::filesystem;
  const Group victim = add("victim");
  const std::string real = "/sys/fs/cgroup/" + victim.path();
  std::string top = "/tmp/plimsoll-links-XXXXXX";
  ASSERT_NE(::mkdtemp(top.data()), nullptr);
  fs::create_directory(top + "/plain");
  fs::create_directory(top + "/mounted");
  fs::create_directory_symlink(real, top + "/absolute");
  fs::create_directory_symlink("plain", top + "/inside");
  fs::create_symlink(real + "/memory.max", top + "/plain/memory.max");
  ASSERT_EQ(::mount(real.c_str(), (top + "/mounted").c_str(), nullptr, MS_BIND, nullptr), 0);

  const Root root = value(Root::open(top, cgroup::Filesystem::kAny));
  EXPECT_EQ(code_of(root.open_group("absolute")), Code::kDenied);
  EXPECT_EQ(code_of(root.open_group("inside")), Code::kDenied);
  EXPECT_EQ(code_of(root.open_group("mounted")), Code::kDenied);
  const Group plain = value(root.open_group("plain"));
  EXPECT_EQ(code_of(Writer().set_memory_max(plain, mebibytes(1))), Code::kDenied);
  EXPECT_EQ(code_of(cgroup::LimitFile::open_max(plain)), Code::kDenied);
  EXPECT_EQ(value(victim.read_memory_max()), kNoLimit);
  ASSERT_EQ(::umount2((top + "/mounted").c_str(), MNT_DETACH), 0);
  fs::remove_all(top);
}

}  // namespace
}  // namespace plimsoll::test
