// SPDX-License-Identifier: Apache-2.0
// doctor on a real kernel, in worlds that lack something: each test changes the world of a child
// process (capabilities, mounts, a sysctl), and reads what doctor says there.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "agent/commands/doctor.h"
#include "base/fd.h"
#include "base/file.h"

namespace plimsoll::agent {
namespace {

// In a child: the world could not be made.
void must(bool done, const char* what) {
  if (done) return;
  std::perror(what);
  ::_exit(99);
}

void write_file(const char* path, const char* text) {
  const Fd fd(::open(path, O_WRONLY | O_CLOEXEC));
  must(fd && write_all(fd, text, path).has_value(), path);
}

// Keeps only what `kept` names; the bounding set does not matter to a process that executes
// nothing.
void keep_capabilities(std::initializer_list<int> kept) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> data{};
  for (const int capability : kept) {
    auto& word = data.at(static_cast<std::size_t>(capability) / 32);
    word.effective |= 1U << (capability % 32);
    word.permitted |= 1U << (capability % 32);
  }
  must(::syscall(SYS_capset, &header, data.data()) == 0, "capset");
}

void become_nobody() {
  constexpr uid_t kNobody = 65534;
  must(::setresgid(kNobody, kNobody, kNobody) == 0, "setresgid");
  must(::setresuid(kNobody, kNobody, kNobody) == 0, "setresuid");
}

void own_mounts() {
  must(::unshare(CLONE_NEWNS) == 0, "unshare");
  must(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "make / private");
}

struct Outcome {
  int status = -1;
  nlohmann::json json;

  nlohmann::json finding(const std::string& id) const {
    for (const auto& finding : json.value("findings", nlohmann::json::array())) {
      if (finding["id"] == id) return finding;
    }
    ADD_FAILURE() << "no finding " << id << " in " << json.dump();
    return {{"status", ""}, {"text", ""}, {"cure", ""}};
  }
  std::string cure(const std::string& id) const {
    const auto cure = finding(id)["cure"];
    return cure.is_string() ? cure.get<std::string>() : "";
  }
};

Outcome doctor_in(const std::function<void()>& make_world, DoctorOptions options = {}) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    make_world();
    std::ostringstream out;
    options.json = true;
    const int status = doctor_main(options, out);
    const std::string text = out.str();
    must(::write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size()), "write");
    ::_exit(status);
  }
  ::close(ends[1]);
  std::string text;
  std::array<char, 4096> chunk{};
  ssize_t got = 0;
  while ((got = ::read(ends[0], chunk.data(), chunk.size())) > 0) {
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
  ::close(ends[0]);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  Outcome outcome{.status = WEXITSTATUS(status),
                  .json = nlohmann::json::parse(text, nullptr, false)};
  EXPECT_TRUE(outcome.json.is_object()) << text;
  return outcome;
}

// The cgroups that a kubelet makes for one pod.
class Kubepods {
 public:
  Kubepods() {
    for (const std::string& group : kGroups) {
      must(::mkdir(group.c_str(), 0755) == 0, group.c_str());
      if (group != kGroups.back())
        write_file((group + "/cgroup.subtree_control").c_str(), "+memory");
    }
  }
  ~Kubepods() {
    for (auto group = kGroups.rbegin(); group != kGroups.rend(); ++group) ::rmdir(group->c_str());
  }
  Kubepods(const Kubepods&) = delete;
  Kubepods& operator=(const Kubepods&) = delete;

 private:
  const std::vector<std::string> kGroups = {
      "/sys/fs/cgroup/kubepods", "/sys/fs/cgroup/kubepods/burstable",
      "/sys/fs/cgroup/kubepods/burstable/pod0c2b5d5c-6b7e-4d1c-9f9a-1f4f6a1f7d11"};
};

// What deploy/daemonset.yaml gives the agent.
void become_the_agent() {
  keep_capabilities({CAP_BPF, CAP_PERFMON, CAP_SYS_NICE, CAP_IPC_LOCK, CAP_SYS_RESOURCE});
}

// Anything but the finding in question may be imperfect in a world; here nothing may.
TEST(DoctorVm, RootIsTierAWithNothingMissing) {
  must(std::system("mkdir -p /sys/fs/cgroup/looked-at") == 0, "mkdir");
  const Outcome outcome = doctor_in([] {});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.json["tier"], "A");
  for (const auto& finding : outcome.json["findings"]) {
    EXPECT_EQ(finding["status"], finding["id"] == "agent_place" ? "not here" : "ok")
        << finding.dump();
  }
  EXPECT_EQ(outcome.finding("memory.peak")["text"], "there");
  const Kubepods node;
  EXPECT_EQ(doctor_in([] {}).finding("agent_place")["status"], "ok");
}

// Root's files can be written there without CAP_DAC_OVERRIDE, and no cgroup be made.
TEST(DoctorVm, TheAgentsContainerIsTierAForTheAgent) {
  const Kubepods node;
  const Outcome outcome = doctor_in(become_the_agent);
  EXPECT_EQ(outcome.status, 0) << outcome.json.dump();
  EXPECT_EQ(outcome.json["tier"], "A");
  EXPECT_EQ(outcome.json["roles"]["agent"]["tier"], "A");
  EXPECT_TRUE(outcome.json["roles"]["run"]["tier"].is_null());
  for (const auto& finding : outcome.json["findings"]) {
    EXPECT_EQ(finding["status"], finding["id"] == "run_place" ? "not here" : "ok")
        << finding.dump();
  }
  EXPECT_EQ(doctor_in(become_the_agent, {.role = Role::kAgent}).status, 0);
  const Outcome run = doctor_in(become_the_agent, {.role = Role::kRun});
  EXPECT_EQ(run.status, 2);
  EXPECT_EQ(run.finding("run_place")["status"], "missing");
}

TEST(DoctorVm, APodsLimitThatCannotBeWrittenIsNoPlaceForTheAgent) {
  const Kubepods node;
  const Outcome outcome = doctor_in([] {
    own_mounts();
    must(::mount("none", "/sys/fs/cgroup", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) == 0,
         "remount read-only");
    become_the_agent();
  });
  EXPECT_EQ(outcome.status, 2) << outcome.json.dump();
  EXPECT_NE(outcome.cure("agent_place").find("writable"), std::string::npos);
}

TEST(DoctorVm, TheAgentsCgroupRootMayBeElsewhere) {
  const Kubepods node;
  const auto world = [] {
    own_mounts();
    must(::mkdir("/tmp/host-cgroups", 0755) == 0, "mkdir");
    must(::mount("/sys/fs/cgroup", "/tmp/host-cgroups", nullptr, MS_BIND, nullptr) == 0, "bind");
    must(::umount2("/sys/fs/cgroup", MNT_DETACH) == 0, "umount /sys/fs/cgroup");
  };
  const Outcome outcome = doctor_in(world, {.cgroup_root = "/tmp/host-cgroups"});
  EXPECT_EQ(outcome.json["roles"]["agent"]["tier"], "A") << outcome.json.dump();
  ::rmdir("/tmp/host-cgroups");
  const Outcome wrong = doctor_in([] {}, {.role = Role::kAgent, .cgroup_root = "/tmp"});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_NE(wrong.cure("agent_place").find("--cgroup-root"), std::string::npos);
}

TEST(DoctorVm, ThreeCapabilitiesAreEnoughForTierA) {
  const Outcome outcome = doctor_in([] {
    keep_capabilities({CAP_BPF, CAP_PERFMON, CAP_DAC_OVERRIDE});
  });
  EXPECT_EQ(outcome.status, 0) << outcome.json.dump();
  EXPECT_EQ(outcome.finding("real_time")["status"], "degraded");
  EXPECT_NE(outcome.cure("real_time").find("CAP_SYS_NICE"), std::string::npos);
  EXPECT_NE(outcome.cure("memory_lock").find("CAP_IPC_LOCK"), std::string::npos);
}

TEST(DoctorVm, WithoutThemItIsTierC) {
  for (const int one : {CAP_BPF, CAP_PERFMON}) {
    const Outcome outcome = doctor_in([one] {
      keep_capabilities({one, CAP_DAC_OVERRIDE, CAP_SYS_NICE});
    });
    EXPECT_EQ(outcome.status, 1);
    EXPECT_EQ(outcome.json["tier"], "C");
    EXPECT_EQ(outcome.finding("permitted")["status"], "missing");
    EXPECT_NE(outcome.cure("permitted").find("CAP_BPF and CAP_PERFMON"), std::string::npos);
    EXPECT_EQ(outcome.finding("real_time")["status"], "ok");
  }
}

// The root of the tree is writable for nobody: mode 0555.
TEST(DoctorVm, RootWithoutTheRightToWriteIsToldSo) {
  const Outcome outcome = doctor_in([] { keep_capabilities({CAP_BPF, CAP_PERFMON}); });
  EXPECT_EQ(outcome.status, 2);
  EXPECT_NE(outcome.cure("run_place").find("CAP_DAC_OVERRIDE"), std::string::npos);
}

TEST(DoctorVm, SomebodyElseCanDoNothingAndIsToldWhatToType) {
  const Outcome outcome = doctor_in(become_nobody);
  EXPECT_EQ(outcome.status, 2);
  EXPECT_TRUE(outcome.json["tier"].is_null());
  EXPECT_EQ(outcome.finding("run_place")["status"], "missing");
  EXPECT_NE(outcome.cure("run_place").find("sudo plimsoll run"), std::string::npos);
}

TEST(DoctorVm, WithoutTypesItIsTierC) {
  const Outcome outcome = doctor_in([] {
    own_mounts();
    must(::mount("none", "/sys/kernel/btf", "tmpfs", 0, nullptr) == 0, "hide BTF");
  });
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.json["tier"], "C");
  EXPECT_EQ(outcome.finding("btf")["status"], "missing");
  EXPECT_NE(outcome.cure("btf").find("CONFIG_DEBUG_INFO_BTF"), std::string::npos);
}

TEST(DoctorVm, WithoutCgroupsNothingWorks) {
  const Outcome outcome = doctor_in([] {
    own_mounts();
    must(::umount2("/sys/fs/cgroup", MNT_DETACH) == 0, "umount /sys/fs/cgroup");
  });
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.finding("cgroup_v2")["status"], "missing");
}

// The kernel accepts programs at functions then, and never calls them.
TEST(DoctorVm, FunctionTracingSwitchedOffIsTierC) {
  constexpr const char* kSwitch = "/proc/sys/kernel/ftrace_enabled";
  write_file(kSwitch, "0");
  const Outcome outcome = doctor_in([] {});
  write_file(kSwitch, "1");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.json["tier"], "C");
  EXPECT_EQ(outcome.finding("function_tracing")["status"], "missing");
  EXPECT_NE(outcome.cure("function_tracing").find("kernel.ftrace_enabled=1"), std::string::npos);
  EXPECT_EQ(outcome.finding("memory_programs")["status"], "missing");
  EXPECT_EQ(outcome.finding("exec_programs")["status"], "ok");
  EXPECT_EQ(doctor_in([] {}).status, 0);
}

// Last: the kernel does not take it back.
TEST(DoctorVm, ZLockdownIsTierC) {
  ::mount("none", "/sys/kernel/security", "securityfs", 0, nullptr);
  if (::access("/sys/kernel/security/lockdown", W_OK) != 0) {
    GTEST_SKIP() << "this kernel has no lockdown module that is switched on";
  }
  write_file("/sys/kernel/security/lockdown", "confidentiality");
  const Outcome outcome = doctor_in([] {});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.json["tier"], "C");
  EXPECT_EQ(outcome.finding("memory_programs")["status"], "missing");
  EXPECT_NE(outcome.cure("memory_programs").find("lockdown=confidentiality"), std::string::npos);
  EXPECT_NE(outcome.cure("lockdown").find("lockdown=confidentiality"), std::string::npos);
}

}  // namespace
}  // namespace plimsoll::agent
