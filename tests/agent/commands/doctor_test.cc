// SPDX-License-Identifier: Apache-2.0
// The report by tables: from facts to findings, tier and exit status. The real thing:
// tests/vm/doctor_vmtest.cc.
#include "agent/commands/doctor.h"

#include <gtest/gtest.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

namespace plimsoll::agent::doctor_test {
namespace {

DoctorFacts healthy() {
  DoctorFacts facts;
  facts.release = "6.12.1";
  facts.bpf.memory = {.tried = true,
                      .refused = {},
                      .programs = {{"on_charge", "fentry/page_counter_try_charge"},
                                   {"on_reclaim_end", "fexit/try_to_free_mem_cgroup_pages"},
                                   {"on_track", "iter/cgroup"},
                                   {"on_sweep", "syscall"}}};
  facts.bpf.cpu = {
      .tried = true, .refused = {}, .programs = {{"on_throttle", "fexit/throttle_cfs_rq"}}};
  facts.bpf.exec = {
      .tried = true, .refused = {}, .programs = {{"on_exec", "tp_btf/sched_process_exec"}}};
  facts.privileges.capabilities = (1ULL << 41) - 1;
  facts.privileges.real_time = true;
  facts.privileges.memory_lock = true;
  facts.scope.v2 = "/sys/fs/cgroup";
  facts.scope.levels = {
      {.path = "", .writable = true, .has_memory = true, .allows_processes = true}};
  facts.agent = {.root = "/sys/fs/cgroup",
                 .root_refused = {},
                 .memory_controller = true,
                 .kubelet = true,
                 .pods = 12,
                 .limits_refused = {}};
  facts.memory_controller = true;
  facts.top_writable = true;
  facts.has_reclaim = true;
  facts.has_peak = true;
  facts.has_kill = true;
  facts.psi = Psi::kOn;
  facts.swap = Bytes{0};
  facts.preemption = "full";
  facts.lockdown = "none";
  return facts;
}

// As in the agent's container: the host's cgroups, whose top root may not write without
// CAP_DAC_OVERRIDE, and a systemd that cannot be asked.
DoctorFacts in_the_daemonset() {
  DoctorFacts facts = healthy();
  facts.top_writable = facts.scope.levels.front().writable = false;
  facts.scope.systemd = true;
  facts.privileges.capabilities &= ~(1ULL << 1);
  return facts;
}

// As on a machine of one's own: no kubelet.
DoctorFacts on_a_laptop() {
  DoctorFacts facts = healthy();
  facts.agent.kubelet = false;
  facts.agent.pods = 0;
  return facts;
}

std::optional<bpf::Tier> tier_of(const DoctorReport& report, Role role) {
  const auto found = std::ranges::find(report.roles, role, &RoleResult::role);
  EXPECT_NE(found, report.roles.end()) << to_string(role);
  return found == report.roles.end() ? std::nullopt : found->tier;
}

// As a kernel that refuses the programs at hooks that begin so.
void refuse(bpf::ObjectTrial& trial, std::string_view hook, int error) {
  trial.refused = "load the BPF programs: no";
  for (bpf::ProgramTrial& program : trial.programs) {
    if (program.hook.starts_with(hook)) program.error = error;
  }
}

// As a kernel whose programs cannot even be tried.
void leave_untried(DoctorFacts& facts) { facts.bpf.memory = facts.bpf.cpu = facts.bpf.exec = {}; }

const Finding& finding_of(const DoctorReport& report, std::string_view id) {
  const auto found = std::ranges::find(report.findings, id, &Finding::id);
  EXPECT_NE(found, report.findings.end()) << id;
  static const Finding kNone;
  return found == report.findings.end() ? kNone : *found;
}

TEST(Doctor, AHealthyMachineIsTierAWithNothingToCure) {
  const DoctorReport report = make_report(healthy());
  EXPECT_EQ(report.tier, bpf::Tier::kA);
  EXPECT_EQ(report.exit_status, 0);
  for (const Finding& finding : report.findings) {
    EXPECT_EQ(finding.status, Status::kOk) << finding.id;
    EXPECT_EQ(finding.cure, "") << finding.id;
    EXPECT_FALSE(finding.text.empty()) << finding.id;
  }
}

TEST(Doctor, WhatIsMissingAndWhatItCosts) {
  struct Row {
    const char* name;
    std::function<void(DoctorFacts&)> change;
    int exit_status;
    const char* finding;
    Status status;
    const char* cure;
  };
  const Row rows[] = {
      {"a sandbox refuses programs at functions",
       [](DoctorFacts& f) { refuse(f.bpf.memory, "fentry/", EPERM); }, 1, "on_charge",
       Status::kMissing, "sandbox"},
      {"and all of them with it", [](DoctorFacts& f) { refuse(f.bpf.memory, "fexit/", EPERM); }, 1,
       "memory_programs", Status::kMissing, "sandbox"},
      {"a function was inlined", [](DoctorFacts& f) { refuse(f.bpf.memory, "fentry/", ESRCH); }, 1,
       "on_charge", Status::kMissing, "with this function"},
      {"no function can be hooked", [](DoctorFacts& f) { refuse(f.bpf.memory, "fexit/", 524); }, 1,
       "on_reclaim_end", Status::kMissing, "CONFIG_FUNCTION_TRACER"},
      {"functions are not traced",
       [](DoctorFacts& f) {
         f.bpf.function_tracing = false;
         f.bpf.memory = f.bpf.cpu = {};
       },
       1, "function_tracing", Status::kMissing, "kernel.ftrace_enabled=1"},
      {"and nothing at functions with it",
       [](DoctorFacts& f) {
         f.bpf.function_tracing = false;
         f.bpf.memory = f.bpf.cpu = {};
       },
       1, "memory_programs", Status::kMissing, "kernel.ftrace_enabled=1"},
      {"no iterator over cgroups", [](DoctorFacts& f) { refuse(f.bpf.memory, "iter/", EINVAL); }, 1,
       "on_track", Status::kMissing, "CONFIG_CGROUPS"},
      {"no bpf_loop", [](DoctorFacts& f) { refuse(f.bpf.memory, "syscall", EINVAL); }, 1,
       "on_sweep", Status::kMissing, "5.17"},
      {"no permission for BPF",
       [](DoctorFacts& f) {
         leave_untried(f);
         f.bpf.permission_error = EPERM;
         f.privileges.capabilities = 1 << 1;
       },
       1, "capabilities_bpf", Status::kMissing, "CAP_BPF and CAP_PERFMON"},
      {"seccomp refuses bpf()",
       [](DoctorFacts& f) {
         leave_untried(f);
         f.bpf.permission_error = EPERM;
       },
       1, "permitted", Status::kMissing, "seccomp"},
      {"no BTF",
       [](DoctorFacts& f) {
         leave_untried(f);
         f.bpf.btf_error = ENOENT;
       },
       1, "btf", Status::kMissing, "CONFIG_DEBUG_INFO_BTF"},
      {"what was not tried is cured with what stood before it",
       [](DoctorFacts& f) {
         leave_untried(f);
         f.bpf.btf_error = ENOENT;
       },
       1, "memory_programs", Status::kMissing, "CONFIG_DEBUG_INFO_BTF"},
      {"lockdown",
       [](DoctorFacts& f) {
         refuse(f.bpf.memory, "fentry/", EINVAL);
         f.lockdown = "confidentiality";
       },
       1, "on_charge", Status::kMissing, "lockdown=confidentiality"},
      {"a kernel that preempts, and no wait in the OOM killer's lock",
       [](DoctorFacts& f) { f.bpf.holds_in_lock = false; }, 0, "preemption", Status::kDegraded,
       "mutex_lock_killable"},
      {"an errno that nobody knows", [](DoctorFacts& f) { refuse(f.bpf.memory, "fentry/", E2BIG); },
       1, "on_charge", Status::kMissing, "report it"},
      {"each program is taken, all together are not",
       [](DoctorFacts& f) { f.bpf.memory.refused = "too big"; }, 1, "memory_programs",
       Status::kMissing, "report it"},
      {"throttling cannot be seen", [](DoctorFacts& f) { refuse(f.bpf.cpu, "fexit/", ESRCH); }, 0,
       "cpu_programs", Status::kDegraded, "with this function"},
      {"announced commands cannot be seen",
       [](DoctorFacts& f) { refuse(f.bpf.exec, "tp_btf/", ESRCH); }, 0, "exec_programs",
       Status::kDegraded, "CONFIG_BPF_EVENTS"},
      {"no cgroup v2",
       [](DoctorFacts& f) {
         f.scope.v2.reset();
         f.agent = {};
         f.memory_controller = f.top_writable = false;
       },
       2, "cgroup_v2", Status::kMissing, "systemd.unified_cgroup_hierarchy=1"},
      {"memory on v1",
       [](DoctorFacts& f) {
         f.scope.memory_on_v1 = true;
         f.memory_controller = f.agent.memory_controller = false;
       },
       2, "memory_controller", Status::kMissing, "cgroup_no_v1=all"},
      {"memory disabled",
       [](DoctorFacts& f) { f.memory_controller = f.agent.memory_controller = false; }, 2,
       "memory_controller", Status::kMissing, "cgroup_disable=memory"},
      {"no kubelet", [](DoctorFacts& f) { f = on_a_laptop(); }, 0, "agent_place", Status::kNotHere,
       "Kubernetes node"},
      {"the agent's container", [](DoctorFacts& f) { f = in_the_daemonset(); }, 0, "run_place",
       Status::kNotHere, "systemd"},
      {"limits of pods are read-only",
       [](DoctorFacts& f) {
         f = in_the_daemonset();
         f.agent.limits_refused = "open memory.max of kubepods: Read-only file system";
       },
       2, "agent_place", Status::kMissing, "writable"},
      {"no such cgroup root",
       [](DoctorFacts& f) {
         f = in_the_daemonset();
         f.agent.root_refused = "open /host: No such file or directory";
       },
       2, "agent_place", Status::kMissing, "--cgroup-root"},
      {"no permission to write",
       [](DoctorFacts& f) {
         f.scope.uid = 1000;
         f.scope.levels.front().writable = f.top_writable = false;
         f.agent.limits_refused = "open memory.max of kubepods: Permission denied";
         f.privileges.capabilities = 0;
       },
       2, "run_place", Status::kMissing, "sudo plimsoll run"},
      {"PSI off", [](DoctorFacts& f) { f.psi = Psi::kOff; }, 0, "psi", Status::kDegraded, "psi=1"},
      {"no PSI", [](DoctorFacts& f) { f.psi = Psi::kNotBuiltIn; }, 0, "psi", Status::kDegraded,
       "CONFIG_PSI"},
      {"no memory.reclaim", [](DoctorFacts& f) { f.has_reclaim = false; }, 0, "memory.reclaim",
       Status::kDegraded, "5.19"},
      {"no real time",
       [](DoctorFacts& f) {
         f.privileges.real_time = false;
         f.privileges.real_time_why = "Operation not permitted";
       },
       0, "real_time", Status::kDegraded, "CAP_SYS_NICE"},
      {"little memory may be locked",
       [](DoctorFacts& f) {
         f.privileges.capabilities &= ~(1ULL << 14);
         f.privileges.memlock = limit_of({64 * kKiB});
       },
       0, "memory_lock", Status::kDegraded, "CAP_IPC_LOCK"},
      {"a user namespace", [](DoctorFacts& f) { f.privileges.initial_user_namespace = false; }, 0,
       "user_namespace", Status::kDegraded, "hostUsers"},
  };
  for (const Row& row : rows) {
    DoctorFacts facts = healthy();
    row.change(facts);
    const DoctorReport report = make_report(facts);
    EXPECT_EQ(report.exit_status, row.exit_status) << row.name;
    const Finding& finding = finding_of(report, row.finding);
    EXPECT_EQ(finding.status, row.status) << row.name;
    EXPECT_NE(finding.cure.find(row.cure), std::string::npos) << row.name << ": " << finding.cure;
  }
}

TEST(Doctor, TheExitStatusFollowsTheTier) {
  DoctorFacts facts = healthy();
  const std::string best = make_report(facts).guarantee;
  refuse(facts.bpf.memory, "fentry/", ESRCH);
  EXPECT_EQ(make_report(facts).tier, bpf::Tier::kC);
  EXPECT_EQ(make_report(facts).exit_status, 1);
  EXPECT_NE(make_report(facts).guarantee, best);
  facts.memory_controller = facts.agent.memory_controller = false;
  EXPECT_EQ(make_report(facts).tier, std::nullopt);
  EXPECT_EQ(make_report(facts).exit_status, 2);
}

// What the kernel takes is told beside what it refuses, and one cure for one reason.
TEST(Doctor, ARefusalNamesTheProgram) {
  DoctorFacts facts = healthy();
  refuse(facts.bpf.memory, "fentry/", ESRCH);
  const DoctorReport report = make_report(facts);
  EXPECT_EQ(
      finding_of(report, "on_charge").text,
      "fentry page_counter_try_charge: this kernel has no such function (inlined or renamed)");
  EXPECT_EQ(finding_of(report, "on_track").status, Status::kOk);
  EXPECT_EQ(finding_of(report, "memory_programs").cure, finding_of(report, "on_charge").cure);
  EXPECT_EQ(finding_of(report, "cpu_programs").text, "loaded and attached: fexit throttle_cfs_rq");
  EXPECT_EQ(std::ranges::count(report.findings, "on_throttle", &Finding::id), 0);
}

TEST(Doctor, EachRoleIsJudgedByThePlaceThatItNeeds) {
  const DoctorReport agent = make_report(in_the_daemonset());
  EXPECT_EQ(tier_of(agent, Role::kAgent), bpf::Tier::kA);
  EXPECT_EQ(tier_of(agent, Role::kRun), std::nullopt);
  EXPECT_EQ(agent.exit_status, 0);
  EXPECT_NE(to_text(agent, false)
                .find("result for plimsoll agent: tier A\n"
                      "result for plimsoll run: does not work here: systemd owns"),
            std::string::npos)
      << to_text(agent, false);
  for (const Finding& finding : agent.findings) {
    EXPECT_TRUE(finding.status == Status::kOk || finding.id == "run_place") << finding.id;
  }
  const DoctorReport laptop = make_report(on_a_laptop());
  EXPECT_EQ(tier_of(laptop, Role::kAgent), std::nullopt);
  EXPECT_EQ(tier_of(laptop, Role::kRun), bpf::Tier::kA);
  EXPECT_EQ(laptop.exit_status, 0);
}

TEST(Doctor, ARoleThatWasAskedForIsJudgedAlone) {
  const DoctorReport run = make_report(in_the_daemonset(), Role::kRun);
  EXPECT_EQ(run.exit_status, 2);
  EXPECT_EQ(run.roles.size(), 1U);
  EXPECT_EQ(finding_of(run, "run_place").status, Status::kMissing);
  EXPECT_EQ(make_report(in_the_daemonset(), Role::kAgent).exit_status, 0);
  EXPECT_EQ(make_report(on_a_laptop(), Role::kAgent).exit_status, 2);
  EXPECT_EQ(make_report(on_a_laptop(), Role::kRun).exit_status, 0);
  DoctorFacts lower = in_the_daemonset();
  leave_untried(lower);
  EXPECT_EQ(make_report(lower, Role::kAgent).exit_status, 1);
}

TEST(Doctor, EveryThingThatIsNotOkHasACure) {
  DoctorFacts facts;  // nothing is there
  facts.has_kill = facts.has_peak = facts.has_reclaim = false;
  facts.scope.v2 = "/sys/fs/cgroup";
  facts.scope.uid = 1000;
  const DoctorReport report = make_report(facts);
  EXPECT_EQ(report.exit_status, 2);
  std::set<std::string> ids;
  for (const Finding& finding : report.findings) {
    EXPECT_EQ(finding.status == Status::kOk, finding.cure.empty()) << finding.id;
    EXPECT_TRUE(ids.insert(finding.id).second) << finding.id << " twice";
  }
}

TEST(Doctor, TextIsNarrowAndColourIsAChoice) {
  DoctorFacts facts = healthy();
  facts.bpf.function_tracing = false;
  facts.bpf.memory = facts.bpf.cpu = {};
  const DoctorReport report = make_report(facts);
  const std::string text = to_text(report, false);
  EXPECT_EQ(text.find('\033'), std::string::npos);
  EXPECT_NE(to_text(report, true).find('\033'), std::string::npos);
  EXPECT_NE(text.find("result for plimsoll run: tier C"), std::string::npos);
  EXPECT_NE(text.find("cure: set `sysctl kernel.ftrace_enabled=1`"), std::string::npos);
  std::size_t start = 0;
  while (start < text.size()) {
    const std::size_t end = text.find('\n', start);
    ASSERT_NE(end, std::string::npos) << "the last line does not end";
    EXPECT_LE(end - start, 100U) << text.substr(start, end - start);
    start = end + 1;
  }
}

TEST(Doctor, JsonIsOneObjectWithStableKeys) {
  DoctorFacts facts = healthy();
  facts.release = "6.12\xff";
  const DoctorReport report = make_report(facts);
  const std::string text = to_json(report, facts);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["tier"], "A");
  EXPECT_EQ(json["exit_status"], 0);
  EXPECT_EQ(json["findings"].size(), report.findings.size());
  for (const auto& finding : json["findings"]) {
    for (const char* key : {"id", "section", "status", "what", "text", "cure"}) {
      EXPECT_TRUE(finding.contains(key)) << key;
    }
  }
  EXPECT_EQ(json["roles"]["agent"]["tier"], "A");
  EXPECT_TRUE(json["roles"]["run"]["why"].is_null());
  const DoctorReport asked = make_report(on_a_laptop(), Role::kAgent);
  const auto nothing = nlohmann::json::parse(to_json(asked, facts));
  EXPECT_TRUE(nothing["tier"].is_null());
  EXPECT_FALSE(nothing["roles"].contains("run"));
  EXPECT_NE(nothing["roles"]["agent"]["why"].get<std::string>().find("kubepods"),
            std::string::npos);
}

TEST(Doctor, ThisMachineHasAReport) {
  const auto facts = read_doctor_facts();
  ASSERT_TRUE(facts.has_value()) << facts.error().message;
  const DoctorReport report = make_report(*facts);
  utsname name{};
  ASSERT_EQ(::uname(&name), 0);
  EXPECT_EQ(finding_of(report, "release").text, std::string(std::data(name.release)));
  // No tier without the controller, whatever BPF says.
  EXPECT_TRUE(report.exit_status == 2 || facts->memory_controller ||
              facts->agent.memory_controller);
}

}  // namespace
}  // namespace plimsoll::agent::doctor_test
