// SPDX-License-Identifier: Apache-2.0
//
// The exec programs on a real kernel: an announced command is told of when it begins and when the
// last of its threads has ended, however it was started, and no end is lost for ever. Run as root
// in a guest, where busybox is a program that looks at its name.
#include <bpf/bpf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "bpf/exec_programs.h"
#include "bpf/exec_records.h"
#include "bpf/record_time.h"
#include "tests/vm/bpf_ids.h"
#include "tests/vm/own_group.h"

namespace plimsoll::test {
namespace {

using bpf::ExecPrograms;
using bpf::RunningCommand;
enum class Kind : pl_u32 { kStart = PL_EXEC_START, kEnd = PL_EXEC_END, kFound = PL_EXEC_FOUND };

// A record, with the command as running() has it.
struct ExecEvent {
  MonotonicTime time;
  Kind kind = Kind::kStart;
  RunningCommand command;
};

const std::vector<std::string> kBuild{"make", "npm"};
constexpr std::uint32_t kMake = 0;
constexpr std::uint32_t kNpm = 1;

const std::string kDirectory = "/tmp/announced";

// The commands that the tests start.
class Commands : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    ::mkdir(kDirectory.c_str(), 0755);
    script("make", "#!/bin/sh\nexec " + kDirectory + "/sleep \"$@\"\n");
    script("npm", "#!/bin/sh\n: >" + begun_file("$$") + "\nread -r line\nexit 0\n");
    // As npm is: the interpreter is looked up by another program first.
    script("npm_by_env/npm", "#!/usr/bin/env sh\nread -r line\nexit 0\n");
    // Called by its path: a shell of busybox runs what is in busybox itself, without a name.
    link("sleep", "/bin/busybox");
  }
  static void link(const std::string& name, const std::string& to) {
    std::error_code exists;
    std::filesystem::create_symlink(to, kDirectory + "/" + name, exists);
  }
  // What npm writes when its exec is over: its name is that of the command before.
  static std::string begun_file(const std::string& pid) { return kDirectory + "/begun." + pid; }
  static void script(const std::string& name, const std::string& text) {
    const std::string path = kDirectory + "/" + name;
    ::mkdir(path.substr(0, path.rfind('/')).c_str(), 0755);
    std::ofstream(path) << text << std::flush;
    ::chmod(path.c_str(), 0755);
  }
};

// A process of `words` in the cgroup, whose standard input ends when this goes.
class Process {
 public:
  Process(const std::string& procs, const std::vector<std::string>& words) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) std::abort();
    pid_ = ::fork();
    if (pid_ == 0) {
      std::ofstream(procs) << 0 << std::flush;
      ::dup2(ends[0], 0);
      std::vector<char*> pointers;
      for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
      pointers.push_back(nullptr);
      ::execv(pointers.front(), pointers.data());
      ::_exit(127);
    }
    ::close(ends[0]);
    input_ = Fd(ends[1]);
  }
  Process(const OwnGroup& group, const std::vector<std::string>& words)
      : Process(group.file("cgroup.procs"), words) {}
  ~Process() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    (void)wait();
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  std::uint32_t pid() const { return static_cast<std::uint32_t>(pid_); }
  void kill() const { ::kill(pid_, SIGKILL); }
  void end_input() { input_ = Fd(); }
  int wait() {
    int status = 0;
    if (pid_ > 0) ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_ = -1;
  Fd input_;
};

// What was told since the last call.
std::vector<ExecEvent> drain(ExecPrograms& programs) {
  std::vector<ExecEvent> events;
  programs.drain(
      [](void* all, const pl_exec_event& event) {
        static_cast<std::vector<ExecEvent>*>(all)->push_back(
            {bpf::time_of(event.time_ns),
             static_cast<Kind>(event.kind),
             {event.command.watch, event.command.command, event.pid}});
      },
      &events);
  return events;
}

// All that is told until `count` events have come.
std::vector<ExecEvent> wait_for(ExecPrograms& programs, std::size_t count,
                                seconds longest = seconds(120)) {
  std::vector<ExecEvent> events;
  EXPECT_TRUE(until(
      [&] {
        pollfd wait{.fd = programs.event_fd(), .events = POLLIN, .revents = 0};
        ::poll(&wait, 1, 100);
        for (const ExecEvent& event : drain(programs)) events.push_back(event);
        return events.size() >= count;
      },
      longest))
      << "events: " << events.size();
  return events;
}

ExecEvent only(std::vector<ExecEvent> events) {
  EXPECT_EQ(events.size(), 1u);
  events.resize(1);
  return events.front();
}

void expect_event(const ExecEvent& event, Kind kind, const RunningCommand& command) {
  EXPECT_EQ(event.kind, kind);
  EXPECT_EQ(event.command, command);
}

// The newest: the kernel frees the maps of the test before a while after they were closed.
Fd newest_map_named(const std::string& name) {
  Fd newest;
  for (std::uint32_t id = 0; bpf_map_get_next_id(id, &id) == 0;) {
    Fd map(bpf_map_get_fd_by_id(id));
    bpf_map_info info{};
    std::uint32_t size = sizeof(info);
    if (map && bpf_obj_get_info_by_fd(map.get(), &info, &size) == 0 && name == info.name) {
      newest = std::move(map);
    }
  }
  return newest;
}

TEST_F(Commands, OneIsToldOfWhenItBeginsAndWhenItEnds) {
  auto programs = value(ExecPrograms::load());
  const OwnGroup group("direct");
  EXPECT_EQ(value(programs.watch(5, group.group().fd().get(), kBuild)), group.group().id());
  const MonotonicTime before = now();
  Process npm(group, {kDirectory + "/npm"});
  const RunningCommand expected{.watch = 5, .command = kNpm, .pid = npm.pid()};
  const ExecEvent start = only(wait_for(programs, 1));
  expect_event(start, Kind::kStart, expected);
  EXPECT_GE(start.time, before);
  EXPECT_LE(start.time, now());
  EXPECT_EQ(value(programs.running()), std::vector<RunningCommand>{expected});
  EXPECT_TRUE(drain(programs).empty());
  npm.end_input();
  EXPECT_EQ(npm.wait(), 0);
  expect_event(only(wait_for(programs, 1)), Kind::kEnd, expected);
  EXPECT_TRUE(value(programs.running()).empty());
  EXPECT_EQ(programs.malformed(), 0u);
}

TEST_F(Commands, OfAShell) {
  auto programs = value(ExecPrograms::load());
  const OwnGroup group("shell");
  value(programs.watch(1, group.group().fd().get(), kBuild));
  Process shell(group, {"/bin/sh", "-c", kDirectory + "/make 1000; true"});
  const ExecEvent start = only(wait_for(programs, 1));
  EXPECT_EQ(start.command.command, kMake);
  EXPECT_NE(start.command.pid, shell.pid());
  // The shell goes on when its command was killed.
  ::kill(static_cast<pid_t>(start.command.pid), SIGKILL);
  expect_event(only(wait_for(programs, 1)), Kind::kEnd, start.command);
}

// The name is that of the link, also where the program behind it has another.
TEST_F(Commands, ThatIsALink) {
  auto programs = value(ExecPrograms::load());
  const OwnGroup group("link");
  value(programs.watch(1, group.group().fd().get(), std::vector<std::string>{"sleep"}));
  Process sleep(group, {kDirectory + "/sleep", "1000"});
  expect_event(only(wait_for(programs, 1)), Kind::kStart,
               {.watch = 1, .command = 0, .pid = sleep.pid()});
  Process other(group, {"/bin/busybox", "sleep", "0"});
  EXPECT_EQ(other.wait(), 0);
  EXPECT_TRUE(drain(programs).empty());
}

// The command is what it was started as, also after its interpreter was looked up.
TEST_F(Commands, ThatIsAScriptAndBecomesItsInterpreter) {
  auto programs = value(ExecPrograms::load());
  const OwnGroup group("script");
  value(programs.watch(1, group.group().fd().get(), kBuild));
  Process npm(group, {kDirectory + "/npm_by_env/npm"});
  const RunningCommand expected{.watch = 1, .command = kNpm, .pid = npm.pid()};
  expect_event(only(wait_for(programs, 1)), Kind::kStart, expected);
  EXPECT_TRUE(until([&] {
    std::ifstream comm("/proc/" + std::to_string(npm.pid()) + "/comm");
    std::string name;
    return comm >> name && name == "sh";
  }));
  EXPECT_EQ(value(programs.running()), std::vector<RunningCommand>{expected});
  npm.end_input();
  EXPECT_EQ(npm.wait(), 0);
  expect_event(only(wait_for(programs, 1)), Kind::kEnd, expected);
}

TEST_F(Commands, ThatBecomesAnotherAnnouncedOne) {
  auto programs = value(ExecPrograms::load());
  const OwnGroup group("becomes");
  const std::vector<std::string> names{"make", "sleep"};
  value(programs.watch(1, group.group().fd().get(), names));
  Process make(group, {kDirectory + "/make", "0"});
  EXPECT_EQ(make.wait(), 0);
  const std::vector<ExecEvent> events = wait_for(programs, 4);
  ASSERT_EQ(events.size(), 4u);
  const std::uint32_t pid = events.front().command.pid;
  expect_event(events[0], Kind::kStart, {1, 0, pid});
  expect_event(events[1], Kind::kEnd, {1, 0, pid});
  expect_event(events[2], Kind::kStart, {1, 1, pid});
  expect_event(events[3], Kind::kEnd, {1, 1, pid});
}

TEST_F(Commands, InACgroupBelow) {
  auto programs = value(ExecPrograms::load());
  const OwnGroup group("below");
  const cgroup::Writer writer;
  const cgroup::Group child = value(writer.create_group(group.group(), "one"));
  (void)value(writer.create_group(child, "two"));
  value(programs.watch(1, group.group().fd().get(), kBuild));
  {
    Process npm(group.file("one/two/cgroup.procs"), {kDirectory + "/npm"});
    const RunningCommand expected{1, kNpm, npm.pid()};
    expect_event(only(wait_for(programs, 1)), Kind::kStart, expected);
    npm.kill();
    expect_event(only(wait_for(programs, 1)), Kind::kEnd, expected);
  }
  ::rmdir(group.file("one/two").c_str());
  ::rmdir(group.file("one").c_str());
}

// The nearest watched cgroup that announces it.
TEST_F(Commands, BelongToTheNearestThatAnnouncesThem) {
  auto programs = value(ExecPrograms::load());
  const OwnGroup group("outer");
  const cgroup::Group child = value(cgroup::Writer().create_group(group.group(), "inner"));
  value(programs.watch(1, group.group().fd().get(), kBuild));
  value(programs.watch(2, child.fd().get(), std::vector<std::string>{"npm"}));
  {
    Process npm(group.file("inner/cgroup.procs"), {kDirectory + "/npm"});
    expect_event(only(wait_for(programs, 1)), Kind::kStart, {2, 0, npm.pid()});
    Process make(group.file("inner/cgroup.procs"), {kDirectory + "/make", "1000"});
    expect_event(only(wait_for(programs, 1)), Kind::kStart, {1, kMake, make.pid()});
  }
  (void)wait_for(programs, 2);
  ::rmdir(group.file("inner").c_str());
}

TEST_F(Commands, ElsewhereAreNotToldOf) {
  auto programs = value(ExecPrograms::load());
  const OwnGroup group("watched");
  const OwnGroup other("other");
  value(programs.watch(1, group.group().fd().get(), kBuild));
  Process make(other, {kDirectory + "/make", "0"});
  EXPECT_EQ(make.wait(), 0);
  Process cat(group, {"/bin/busybox", "true"});
  EXPECT_EQ(cat.wait(), 0);
  EXPECT_TRUE(drain(programs).empty());
}

// What the next two tests start: this program under another name.
TEST(Self, DISABLED_FirstThreadEnds) {
  std::thread([] {
    char byte = 0;
    while (::read(0, &byte, 1) > 0) {
    }
    ::_exit(0);
  }).detach();
  ::syscall(SYS_exit, 0);
}

TEST(Self, DISABLED_OtherThreadCallsExec) {
  std::thread([] { ::execl((kDirectory + "/sleep").c_str(), "sleep", "1000", nullptr); }).join();
}

const std::vector<std::string> kSelf{"this_program"};

class ThisProgram : public Commands {
 protected:
  static std::vector<std::string> as(const std::string& test) {
    link("this_program", std::filesystem::read_symlink("/proc/self/exe"));
    return {kDirectory + "/this_program", "--gtest_also_run_disabled_tests",
            "--gtest_filter=Self.DISABLED_" + test};
  }
};

// A thread that ends is not the end of its process, the first one neither.
TEST_F(ThisProgram, EndsWithTheLastOfItsThreads) {
  auto programs = value(ExecPrograms::load());
  const OwnGroup group("threads");
  value(programs.watch(1, group.group().fd().get(), kSelf));
  Process threads(group, as("FirstThreadEnds"));
  const ExecEvent start = only(wait_for(programs, 1));
  EXPECT_EQ(start.command.pid, threads.pid());
  EXPECT_TRUE(until([&] {
    std::ifstream file("/proc/" + std::to_string(threads.pid()) + "/stat");
    std::string pid, comm, state;
    return file >> pid >> comm >> state && state == "Z";
  }));
  EXPECT_TRUE(drain(programs).empty());
  EXPECT_EQ(value(programs.running()), std::vector<RunningCommand>{start.command});
  threads.end_input();
  EXPECT_EQ(threads.wait(), 0);
  expect_event(only(wait_for(programs, 1)), Kind::kEnd, start.command);
}

// One that another thread than the first replaces by a program is still found to live.
TEST_F(ThisProgram, ReplacedByAnotherThread) {
  auto programs = value(ExecPrograms::load());
  const OwnGroup group("replaces");
  value(programs.watch(1, group.group().fd().get(), kSelf));
  Process threads(group, as("OtherThreadCallsExec"));
  const ExecEvent start = only(wait_for(programs, 1));
  EXPECT_TRUE(until([&] {
    std::ifstream comm("/proc/" + std::to_string(threads.pid()) + "/comm");
    std::string name;
    return comm >> name && name == "sleep";
  }));
  EXPECT_EQ(value(programs.running()), std::vector<RunningCommand>{start.command});
  threads.kill();
  (void)threads.wait();
  expect_event(only(wait_for(programs, 1)), Kind::kEnd, start.command);
}

TEST_F(Commands, ThatAreKilledEnd) {
  auto programs = value(ExecPrograms::load());
  const OwnGroup group("killed");
  value(programs.watch(1, group.group().fd().get(), kBuild));
  Process npm(group, {kDirectory + "/npm"});
  const ExecEvent start = only(wait_for(programs, 1));
  npm.kill();
  expect_event(only(wait_for(programs, 1)), Kind::kEnd, start.command);
}

// More events than the ring has room for at once: it wraps.
TEST_F(Commands, ManyShortOnes) {
  constexpr std::uint32_t kRingBytes = 8192;
  auto programs = value(ExecPrograms::load({.ring_bytes = kRingBytes}));
  const OwnGroup group("short");
  value(programs.watch(1, group.group().fd().get(), std::vector<std::string>{"true"}));
  constexpr std::size_t kCount = 200;
  static_assert(2 * kCount * sizeof(pl_exec_event) > kRingBytes);
  Process shell(group,
                {"/bin/sh", "-c", "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done"});
  const std::vector<ExecEvent> events = wait_for(programs, 2 * kCount, seconds(240));
  EXPECT_EQ(shell.wait(), 0);
  EXPECT_EQ(events.size(), 2 * kCount);
  std::set<std::uint32_t> lives;
  for (const ExecEvent& event : events) {
    if (event.kind == Kind::kStart) {
      EXPECT_TRUE(lives.insert(event.command.pid).second);
    } else {
      EXPECT_EQ(lives.erase(event.command.pid), 1u);
    }
  }
  EXPECT_TRUE(lives.empty());
  EXPECT_TRUE(value(programs.running()).empty());
  EXPECT_EQ(programs.counters().events_dropped, 0u);
  EXPECT_EQ(programs.counters().events, 2 * kCount);
}

// A look may find a command in the middle of its exec.
TEST_F(Commands, ThatBeginDuringALookAreToldOnce) {
  auto programs = value(ExecPrograms::load());
  const OwnGroup group("looks");
  const cgroup::Group child = value(cgroup::Writer().create_group(group.group(), "below"));
  value(programs.watch(1, child.fd().get(), std::vector<std::string>{"true"}));
  {
    constexpr std::size_t kCount = 200;
    Process shell(group.file("below/cgroup.procs"),
                  {"/bin/sh", "-c", "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done"});
    std::set<std::uint32_t> lives;
    std::size_t ended = 0;
    EXPECT_TRUE(until([&] {
      value(programs.watch(2, group.group().fd().get(), kBuild));
      programs.unwatch(2);
      for (const ExecEvent& event : drain(programs)) {
        if (event.kind != Kind::kEnd) {
          EXPECT_TRUE(lives.insert(event.command.pid).second);
        } else {
          ended += lives.erase(event.command.pid);
        }
      }
      return ended >= kCount;
    }));
    EXPECT_EQ(shell.wait(), 0);
  }
  ::rmdir(group.file("below").c_str());
}

// Nobody reads: what is lost is counted, and who runs is known all the same.
TEST_F(Commands, WhatTheRingHasNoRoomForIsCounted) {
  auto programs = value(ExecPrograms::load({.ring_bytes = 4096}));
  const OwnGroup group("full");
  value(programs.watch(1, group.group().fd().get(), std::vector<std::string>{"true", "npm"}));
  Process shell(group,
                {"/bin/sh", "-c", "i=0; while [ $i -lt 80 ]; do /bin/true; i=$((i+1)); done"});
  EXPECT_EQ(shell.wait(), 0);
  EXPECT_GT(programs.counters().events_dropped, 0u);
  Process npm(group, {kDirectory + "/npm"});
  EXPECT_TRUE(until([&] { return value(programs.running()).size() == 1; }));
  EXPECT_EQ(value(programs.running()).front(), (RunningCommand{1, 1, npm.pid()}));
}

// The kernel may skip a program, so the table may have one that has ended.
TEST_F(Commands, WhoseEndWasMissedAreFound) {
  auto programs = value(ExecPrograms::load());
  const OwnGroup group("missed");
  value(programs.watch(1, group.group().fd().get(), kBuild));
  Process npm(group, {kDirectory + "/npm"});
  const ExecEvent start = only(wait_for(programs, 1));
  const Fd table = newest_map_named("running");
  ASSERT_TRUE(table);
  pl_exec_running entry{};
  std::uint32_t pid = npm.pid();
  ASSERT_EQ(bpf_map_lookup_elem(table.get(), &pid, &entry), 0);
  pid += 1;  // the address is now that of another process
  ASSERT_EQ(bpf_map_update_elem(table.get(), &pid, &entry, BPF_NOEXIST), 0);
  entry.started_ns += 1;  // or of the same number, later
  pid = npm.pid();
  EXPECT_EQ(value(programs.running()), std::vector<RunningCommand>{start.command});
  ASSERT_EQ(bpf_map_update_elem(table.get(), &pid, &entry, BPF_EXIST), 0);
  EXPECT_TRUE(value(programs.running()).empty());
}

TEST_F(Commands, ThatTheTableHasNoRoomForAreCounted) {
  auto programs = value(ExecPrograms::load({.running = 2}));
  const OwnGroup group("table");
  value(programs.watch(1, group.group().fd().get(), kBuild));
  {
    Process first(group, {kDirectory + "/npm"});
    Process second(group, {kDirectory + "/npm"});
    EXPECT_EQ(wait_for(programs, 2).size(), 2u);
    Process third(group, {kDirectory + "/npm"});
    EXPECT_TRUE(until([&] { return programs.counters().forgotten >= 1; }));
    EXPECT_EQ(value(programs.running()).size(), 2u);
    third.end_input();
    EXPECT_EQ(third.wait(), 0);
    EXPECT_TRUE(drain(programs).empty()) << "an end without a start";
  }
  EXPECT_EQ(wait_for(programs, 2).size(), 2u);
}

// What an agent that was started again does not know of.
TEST_F(Commands, ThatRunAlreadyAreFound) {
  auto programs = value(ExecPrograms::load());
  const OwnGroup group("already");
  (void)value(cgroup::Writer().create_group(group.group(), "below"));
  {
    Process npm(group, {kDirectory + "/npm"});
    Process below(group.file("below/cgroup.procs"), {kDirectory + "/npm"});
    const auto begun = [](const Process& process) {
      return std::filesystem::exists(begun_file(std::to_string(process.pid())));
    };
    ASSERT_TRUE(until([&] { return begun(npm) && begun(below); }));
    value(programs.watch(3, group.group().fd().get(), kBuild));
    const std::vector<ExecEvent> events = wait_for(programs, 2);
    ASSERT_EQ(events.size(), 2u);
    expect_event(events[0], Kind::kFound, {3, kNpm, npm.pid()});
    expect_event(events[1], Kind::kFound, {3, kNpm, below.pid()});
  }
  EXPECT_EQ(wait_for(programs, 2).size(), 2u);
  ::rmdir(group.file("below").c_str());
}

TEST_F(Commands, OfAnUnwatchedCgroupAreForgotten) {
  auto programs = value(ExecPrograms::load());
  const OwnGroup group("unwatched");
  value(programs.watch(1, group.group().fd().get(), kBuild));
  Process npm(group, {kDirectory + "/npm"});
  (void)wait_for(programs, 1);
  programs.unwatch(1);
  EXPECT_TRUE(value(programs.running()).empty());
  npm.end_input();
  EXPECT_EQ(npm.wait(), 0);
  Process make(group, {kDirectory + "/make", "0"});
  EXPECT_EQ(make.wait(), 0);
  EXPECT_TRUE(drain(programs).empty());
  // Nothing of it is in the way of the next one.
  EXPECT_TRUE(programs.watch(1, group.group().fd().get(), kBuild));
}

TEST_F(Commands, NamesAreComparedAsFarAsTheKernelKeepsThem) {
  auto programs = value(ExecPrograms::load());
  const OwnGroup group("names");
  script("a_name_of_16_byt", "#!/bin/sh\n");
  const cgroup::Group opened = group.group();
  const int fd = opened.fd().get();
  value(programs.watch(1, fd, std::vector<std::string>{"a_name_of_16_bytes_and_more"}));
  Process command(group, {kDirectory + "/a_name_of_16_byt"});
  EXPECT_EQ(command.wait(), 0);
  EXPECT_EQ(wait_for(programs, 2).size(), 2u);

  const OwnGroup other("names2");
  const auto refused =
      programs.watch(2, other.group().fd().get(),
                     std::vector<std::string>{"a_name_of_16_bytes", "a_name_of_16_bytes_and_more"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kMalformed);
  EXPECT_EQ(programs.watch(1, other.group().fd().get(), kBuild).error().code, Code::kConflict);
  EXPECT_EQ(programs.watch(2, fd, kBuild).error().code, Code::kConflict);
}

TEST_F(Commands, LeaveNothingBehind) {
  const BpfIds before;
  {
    const OwnGroup group("nothing");
    auto programs = value(ExecPrograms::load());
    value(programs.watch(1, group.group().fd().get(), kBuild));
    EXPECT_TRUE(before.new_programs());
  }
  EXPECT_TRUE(until([&] { return before.nothing_new(); }));
}

}  // namespace
}  // namespace plimsoll::test
