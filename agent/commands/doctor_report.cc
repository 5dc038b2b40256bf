// SPDX-License-Identifier: Apache-2.0
// The pure half of doctor.h: from facts to findings.
#include <algorithm>
#include <utility>

#include "agent/commands/doctor.h"
#include "bpf/load_plan.h"

namespace plimsoll::agent {
namespace {

using Findings = std::vector<Finding>;

constexpr const char* kMemoryCure =
    "boot without `cgroup_disable=memory` (on some ARM boards: with `cgroup_enable=memory`), on a "
    "kernel with CONFIG_MEMCG=y";

struct Place {
  std::string id;
  std::string section;
  std::string what;
};

Finding ok(const Place& place, std::string text) {
  return {place.id, place.section, Status::kOk, place.what, std::move(text), {}};
}
Finding worse(const Place& place, Status status, std::string text, std::string cure) {
  return {place.id, place.section, status, place.what, std::move(text), std::move(cure)};
}

// What to type is what follows the first "; ".
std::pair<std::string, std::string> why_and_cure(const Error& error) {
  const std::size_t cut = error.message.find("; ");
  if (cut == std::string::npos) return {error.message, {}};
  return {error.message.substr(0, cut), error.message.substr(cut + 2)};
}

// Where the role would work; the message of an error ends with what to type.
Result<std::string> agent_place(const AgentPlace& place) {
  constexpr const char* kHostTree =
      "run it on a Kubernetes node, in a container with the host's /sys/fs/cgroup mounted "
      "(hostPath), and say with --cgroup-root where that is";
  if (!place.root) {
    return fail(Code::kUnsupported, std::string("no cgroup v2 is mounted; ") + kUnifiedCure);
  }
  if (!place.root_refused.empty()) {
    return fail(Code::kUnsupported, place.root_refused + "; " + kHostTree);
  }
  if (!place.kubelet) {
    return fail(Code::kUnsupported,
                "no cgroup of a kubelet (kubepods) below " + *place.root + "; " + kHostTree);
  }
  if (!place.memory_controller) {
    return fail(Code::kUnsupported, "the memory controller is not on the cgroup v2 of " +
                                        *place.root + "; " + kUnifiedCure);
  }
  if (!place.limits_refused.empty()) {
    return fail(Code::kDenied,
                "limits of pods cannot be written: " + place.limits_refused +
                    "; run as root (files of cgroups are root's) and mount the cgroup file system "
                    "writable");
  }
  return "limits below " + *place.root +
         " can be written; pods there: " + std::to_string(place.pods);
}

Result<std::string> run_place(const DoctorFacts& facts) {
  const auto decision = decide_scope(facts.scope, {"plimsoll", "run"});
  if (!decision) return tl::unexpected(decision.error());
  if (!facts.memory_controller) {
    return fail(Code::kUnsupported, std::string("no memory controller; ") + kMemoryCure);
  }
  if (!decision->through.empty()) return "a scope made by systemd";
  return "below /" + decision->parent + (decision->step_aside ? ", from a child of it" : "");
}

Result<std::string> place_of(Role role, const DoctorFacts& facts) {
  return role == Role::kAgent ? agent_place(facts.agent) : run_place(facts);
}

std::string tiers_of(const bpf::Reason& reason) {
  std::string text;
  for (const bpf::Tier tier : reason.needed_by) {
    text += (text.empty() ? "" : " and ") + std::string(bpf::to_string(tier));
  }
  return text;
}

void add_features(const DoctorFacts& facts, const bpf::LoadPlan& plan, Findings& findings) {
  findings.push_back(ok({"release", "kernel", "release"}, facts.features.release));
  for (const bpf::Reason& reason : plan.reasons) {
    const bool hook = reason.id.starts_with("hook_");
    const Place place{std::string(reason.id), hook ? "hooks" : "kernel", std::string(reason.what)};
    if (reason.present) {
      findings.push_back(ok(place, hook ? "can be hooked" : "works"));
      continue;
    }
    const bool tier_a = std::ranges::count(reason.needed_by, bpf::Tier::kA) != 0;
    std::string text = reason.why + "; needed for tier " + tiers_of(reason);
    findings.push_back(
        worse(place, tier_a ? Status::kMissing : Status::kDegraded, std::move(text), reason.cure));
  }
  for (const TrialLoad& trial : facts.trials) {
    const std::string tier(bpf::to_string(trial.tier));
    const Place place{"load_" + tier, "hooks", "all programs of tier " + tier};
    findings.push_back(trial.loaded.yes
                           ? ok(place, "loaded and attached")
                           : worse(place, Status::kMissing, trial.loaded.why,
                                   "report it with this text: every single feature is there"));
  }
  const Place announced{"announced_commands", "hooks", "begin and end of announced commands"};
  findings.push_back(facts.exec_programs.yes
                         ? ok(announced, "loaded and attached")
                         : worse(announced, Status::kDegraded,
                                 facts.exec_programs.why +
                                     ": limits are raised when the need is there, not before",
                                 "run Linux 6.1 or newer; if every feature above is there, report "
                                 "it with this text"));
  const Place lockdown{"lockdown", "kernel", "lockdown"};
  if (facts.lockdown == "confidentiality") {
    findings.push_back(worse(lockdown, Status::kMissing, facts.lockdown,
                             "boot without `lockdown=confidentiality`"));
  } else {
    findings.push_back(ok(lockdown, facts.lockdown.empty() ? "not readable" : facts.lockdown));
  }
  findings.push_back(ok({"preemption", "kernel", "preemption"},
                        facts.preemption.empty() ? "not readable" : facts.preemption));
}

// `optional` is absent where no cgroup was there to look at.
void add_file(const std::string& name, const char* since, const char* without,
              std::optional<bool> present, Findings& findings) {
  const Place place{name, "cgroups", name};
  if (!present) {
    findings.push_back(ok(place, "unknown: there is no cgroup to look at"));
  } else if (*present) {
    findings.push_back(ok(place, "there"));
  } else {
    findings.push_back(worse(place, Status::kDegraded, std::string("absent: ") + without,
                             std::string("run Linux ") + since + " or newer"));
  }
}

// A place that is missing is no fault where the other role has one, and this one was not asked for.
void add_places(const DoctorFacts& facts, const DoctorReport& report, Findings& findings) {
  for (const RoleResult& result : report.roles) {
    const std::string role(to_string(result.role));
    const Place place{role + "_place", "cgroups", "place for plimsoll " + role};
    if (const auto found = place_of(result.role, facts)) {
      findings.push_back(ok(place, *found));
    } else {
      auto [why, cure] = why_and_cure(found.error());
      findings.push_back(worse(place, report.tier ? Status::kNotHere : Status::kMissing,
                               std::move(why), std::move(cure)));
    }
  }
}

void add_cgroups(const DoctorFacts& facts, Findings& findings) {
  const ScopeFacts& scope = facts.scope;
  const Place version{"cgroup_v2", "cgroups", "cgroup v2"};
  findings.push_back(scope.v2 ? ok(version, "mounted on " + *scope.v2)
                              : worse(version, Status::kMissing, "not mounted", kUnifiedCure));
  const Place memory{"memory_controller", "cgroups", "memory controller"};
  if (facts.memory_controller) {
    findings.push_back(ok(memory, "on v2"));
  } else if (scope.memory_on_v1) {
    findings.push_back(
        worse(memory, Status::kMissing, "on cgroup v1, whose limits cannot be used", kUnifiedCure));
  } else {
    findings.push_back(worse(memory, Status::kMissing, "not there", kMemoryCure));
  }
  if (scope.v2) {
    add_file("memory.reclaim", "5.19", "a limit is lowered without probing first",
             facts.has_reclaim, findings);
    add_file("memory.peak", "5.19", "the peak is what the samples saw", facts.has_peak, findings);
    add_file("cgroup.kill", "5.14", "processes are killed one by one", facts.has_kill, findings);
  }
  const Place psi{"psi", "cgroups", "pressure (PSI)"};
  switch (facts.psi) {
    case Psi::kOn:
      findings.push_back(ok(psi, "on"));
      break;
    case Psi::kOff:
      findings.push_back(worse(psi, Status::kDegraded, "built in, but off: stalls are not seen",
                               "boot with the kernel parameter `psi=1`"));
      break;
    case Psi::kNotBuiltIn:
      findings.push_back(worse(psi, Status::kDegraded, "not built in: stalls are not seen",
                               "run a kernel with CONFIG_PSI=y"));
      break;
  }
}

void add_privileges(const DoctorFacts& facts, Findings& findings) {
  const Privileges& own = facts.privileges;
  const auto add_capabilities = [&](const char* id, const char* what,
                                    const std::vector<Capability>& wanted, Status without,
                                    const char* consequence, const std::string& cure) {
    const Place place{id, "privileges", what};
    const std::string missing = missing_capabilities(own, wanted);
    findings.push_back(missing.empty()
                           ? ok(place, "there")
                           : worse(place, without, missing + " missing: " + consequence, cure));
  };
  add_capabilities("capabilities_bpf", "capabilities for BPF",
                   {Capability::kBpf, Capability::kPerfmon}, Status::kMissing, "no BPF",
                   "run as root, or grant CAP_BPF and CAP_PERFMON");
  const Place writes{"capabilities_cgroups", "privileges", "writes to cgroups"};
  if (facts.top_writable) {
    findings.push_back(ok(writes, "allowed"));
  } else if (agent_place(facts.agent)) {
    findings.push_back(ok(writes, "allowed to those of pods"));
  } else {
    add_capabilities("capabilities_cgroups", "writes to cgroups", {Capability::kDacOverride},
                     Status::kDegraded, "only cgroups that were handed to us can be changed",
                     "run as root, or grant CAP_DAC_OVERRIDE");
  }
  const Place name_space{"user_namespace", "privileges", "user namespace"};
  findings.push_back(
      own.initial_user_namespace
          ? ok(name_space, "the initial one")
          : worse(name_space, Status::kDegraded, "not the initial one: capabilities end at it",
                  "run in the host's user namespace (no rootless container; Kubernetes: hostUsers "
                  "unset)"));
  const Place real_time{"real_time", "privileges", "real-time reaction"};
  findings.push_back(
      own.real_time
          ? ok(real_time, "SCHED_FIFO works")
          : worse(real_time, Status::kDegraded,
                  "SCHED_FIFO refused (" + own.real_time_why + "), RLIMIT_RTPRIO " +
                      std::to_string(own.rtprio) +
                      ": on a busy machine the reaction takes milliseconds instead of microseconds",
                  "grant CAP_SYS_NICE, or LimitRTPRIO=10 (systemd), or `ulimit -r 10` as root"));
  const Place lock{"memory_lock", "privileges", "locked memory"};
  const bool enough = own.memlock >= limit_of({64 * kMiB}) || own.has(Capability::kIpcLock);
  if (own.memory_lock && enough) {
    findings.push_back(ok(lock, "works, RLIMIT_MEMLOCK " + to_string(own.memlock)));
  } else {
    findings.push_back(
        worse(lock, Status::kDegraded,
              (own.memory_lock ? "RLIMIT_MEMLOCK is " + to_string(own.memlock)
                               : "refused (" + own.memory_lock_why + ")") +
                  ": under memory pressure the agent itself may have to wait for its pages",
              "grant CAP_IPC_LOCK, or LimitMEMLOCK=64M (systemd), or `ulimit -l 65536` as root"));
  }
}

void add_node(const DoctorFacts& facts, Findings& findings) {
  const Place swap{"swap", "node", "swap"};
  if (!facts.swap) {
    findings.push_back(ok(swap, "not readable"));
  } else if (facts.swap->value == 0) {
    findings.push_back(ok(swap, "none"));
  } else {
    findings.push_back(ok(swap, to_string(*facts.swap) +
                                    ": a cgroup at its limit swaps first, so the OOM killer's door "
                                    "is reached later, and slowness comes before it"));
  }
  findings.push_back(ok({"systemd", "node", "systemd"},
                        facts.scope.systemd ? "runs this machine" : "does not run this machine"));
}

// Whatever the role; the place is another question.
bpf::Tier resulting_tier(const DoctorFacts& facts, const bpf::LoadPlan& plan) {
  for (const TrialLoad& trial : facts.trials) {
    if (trial.loaded.yes) return std::max(trial.tier, plan.possible);
  }
  return bpf::Tier::kC;
}

RoleResult result_of(Role role, const DoctorFacts& facts, bpf::Tier tier) {
  if (const auto place = place_of(role, facts); !place) {
    return {.role = role, .tier = {}, .why = why_and_cure(place.error()).first};
  }
  return {.role = role, .tier = tier, .why = {}};
}

}  // namespace

std::string_view to_string(Status status) {
  switch (status) {
    case Status::kOk:
      return "ok";
    case Status::kDegraded:
      return "degraded";
    case Status::kMissing:
      return "missing";
    case Status::kNotHere:
      return "not here";
  }
  return "unknown";
}

std::string_view to_string(Role role) { return role == Role::kAgent ? "agent" : "run"; }

DoctorReport make_report(const DoctorFacts& facts, std::optional<Role> role) {
  const bpf::LoadPlan plan = bpf::plan_load(facts.features, std::nullopt);
  DoctorReport report;
  for (const Role one : {Role::kAgent, Role::kRun}) {
    if (role.value_or(one) != one) continue;
    report.roles.push_back(result_of(one, facts, resulting_tier(facts, plan)));
    if (report.roles.back().tier) report.tier = report.roles.back().tier;
  }
  add_features(facts, plan, report.findings);
  add_cgroups(facts, report.findings);
  add_places(facts, report, report.findings);
  add_privileges(facts, report.findings);
  add_node(facts, report.findings);
  std::ranges::stable_sort(report.findings, {}, [](const Finding& finding) {
    constexpr std::string_view kOrder[] = {"kernel", "hooks", "cgroups", "privileges", "node"};
    return std::ranges::find(kOrder, finding.section) - std::begin(kOrder);
  });
  if (!report.tier) {
    report.guarantee =
        "Nothing works here: there is no cgroup v2 with a memory limit that we could change.";
    return report;
  }
  report.exit_status = *report.tier == bpf::Tier::kA ? 0 : 1;
  report.guarantee = bpf::guarantee_of(*report.tier);
  return report;
}

}  // namespace plimsoll::agent
