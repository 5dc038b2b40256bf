// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/doctor_report.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

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

// What to do about an errno at a hook; the first row whose hook begins so and whose errno is the
// one, or 0 for any.
struct HookCure {
  std::string_view hook;
  int error;
  std::string_view cure;
};

constexpr int kEnotsupp =
    524;  // the kernel's own "not supported", which user space has no name for
constexpr std::string_view kRefused =
    "a security module or a patch of this kernel refuses programs at its functions: run on the "
    "host itself, not in a sandbox, or on a distribution's kernel";
constexpr std::string_view kNewerKernel =
    "run a kernel with this function, such as Debian's 6.1 or newer";
constexpr std::string_view kTrampolines =
    "run a kernel with CONFIG_FUNCTION_TRACER=y, CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y and "
    "CONFIG_BPF_JIT=y (Debian's 6.1 or newer; on arm64 6.6 or newer)";
constexpr std::string_view kReport = "run Linux 6.1 or newer; if it is, report it with this text";
constexpr std::string_view kFtrace = "set `sysctl kernel.ftrace_enabled=1`";
constexpr std::string_view kTypes =
    "run a kernel with CONFIG_DEBUG_INFO_BTF=y, and mount sysfs on /sys";
constexpr std::string_view kPermission =
    "run as root, or grant CAP_BPF and CAP_PERFMON (Kubernetes: securityContext.capabilities.add: "
    "[BPF, PERFMON]; systemd: AmbientCapabilities=CAP_BPF CAP_PERFMON), with a seccomp profile "
    "that allows bpf()";
constexpr std::string_view kLock =
    "run a kernel that allows fexit programs at mutex_lock_killable, or boot with "
    "`preempt=voluntary` (before Linux 7.0)";
constexpr std::string_view kLockdown = "boot without `lockdown=confidentiality`";

constexpr std::array kHookCures = {
    HookCure{"fentry/", EPERM, kRefused},
    HookCure{"fexit/", EPERM, kRefused},
    HookCure{"fentry/", ESRCH, kNewerKernel},
    HookCure{"fexit/", ESRCH, kNewerKernel},
    HookCure{"fentry/", kEnotsupp, kTrampolines},
    HookCure{"fexit/", kEnotsupp, kTrampolines},
    HookCure{"tp_btf/", ESRCH,
             "run Linux 6.1 or newer, with CONFIG_BPF_EVENTS=y and CONFIG_TRACEPOINTS=y"},
    HookCure{"iter/", 0, "run Linux 6.1 or newer, with CONFIG_CGROUPS=y"},
    // bpf_loop, ring buffers and programs of this kind.
    HookCure{"syscall", EINVAL, "run Linux 5.17 or newer; if it is, report it with this text"},
};

std::string error_text(int error) {
  return error == kEnotsupp ? "not supported (ENOTSUPP)"
                            : std::error_code(error, std::generic_category()).message();
}

std::string cure_of(const bpf::ProgramTrial& trial, const DoctorFacts& facts) {
  if (facts.lockdown == "confidentiality") return std::string(kLockdown);
  const auto* row = std::ranges::find_if(kHookCures, [&](const HookCure& each) {
    return trial.hook.starts_with(each.hook) && (each.error == 0 || each.error == trial.error);
  });
  return std::string(row == kHookCures.end() ? kReport : row->cure);
}

std::string shown_hook(const bpf::ProgramTrial& trial) {
  std::string hook = trial.hook;
  std::ranges::replace(hook, '/', ' ');
  return hook;
}

// A row for each program that was tried alone. Returns the first refused one's cure.
std::string add_programs(const bpf::ObjectTrial& trial, Status refused, const DoctorFacts& facts,
                         Findings& findings) {
  std::string cure;
  for (const bpf::ProgramTrial& program : trial.programs) {
    const Place place{program.name, "hooks", program.name};
    if (program.error == 0) {
      findings.push_back(ok(place, shown_hook(program) + ": taken"));
      continue;
    }
    const bool function = program.hook.starts_with("f");
    const std::string why = function && program.error == ESRCH
                                ? "this kernel has no such function (inlined or renamed)"
                                : error_text(program.error);
    findings.push_back(
        worse(place, refused, shown_hook(program) + ": " + why, cure_of(program, facts)));
    if (cure.empty()) cure = findings.back().cure;
  }
  return cure;
}

// A row for all programs of an object, below those of each where they were refused. `without` says
// what is lost then.
void add_object(const Place& place, const bpf::ObjectTrial& trial, Status refused,
                const std::string& without, const DoctorFacts& facts, Findings& findings) {
  if (!trial.tried) {
    const auto [what, untried_cure] =
        facts.bpf.permission_error != 0 ? std::pair("permission to load BPF programs", kPermission)
        : facts.bpf.btf_error != 0      ? std::pair("kernel types", kTypes)
                                        : std::pair("function tracing", kFtrace);
    findings.push_back(worse(place, refused,
                             std::string("not tried without ") + what + ": " + without,
                             std::string(untried_cure)));
    return;
  }
  if (trial.refused.empty()) {
    std::string hooks;
    for (const bpf::ProgramTrial& program : trial.programs) {
      if (program.hook.find('/') == std::string::npos) continue;  // run by us
      hooks += (hooks.empty() ? "" : ", ") + shown_hook(program);
    }
    findings.push_back(ok(place, "loaded and attached: " + hooks));
    return;
  }
  const std::string cure = add_programs(trial, refused, facts, findings);
  if (!cure.empty()) {
    findings.push_back(worse(place, refused, "refused: " + without, cure));
    return;
  }
  findings.push_back(worse(place, refused, trial.refused + ": " + without, std::string(kReport)));
}

void add_bpf(const DoctorFacts& facts, Findings& findings) {
  const bpf::TrialLoad& bpf = facts.bpf;
  const auto add = [&](const Place& place, int error, std::string_view cure) {
    findings.push_back(error == 0
                           ? ok(place, "works")
                           : worse(place, Status::kMissing,
                                   error_text(error) + "; needed for tier A", std::string(cure)));
  };
  findings.push_back(ok({"release", "kernel", "release"}, facts.release));
  add({"btf", "kernel", "kernel types (BTF)"}, bpf.btf_error, kTypes);
  add({"permitted", "kernel", "permission to load BPF programs"}, bpf.permission_error,
      kPermission);
  const Place tracing{"function_tracing", "kernel", "function tracing"};
  findings.push_back(bpf.function_tracing
                         ? ok(tracing, "on")
                         : worse(tracing, Status::kMissing,
                                 "off: programs at functions are not called; needed for tier A",
                                 std::string(kFtrace)));
  const Place lockdown{"lockdown", "kernel", "lockdown"};
  findings.push_back(facts.lockdown == "confidentiality"
                         ? worse(lockdown, Status::kMissing, facts.lockdown, std::string(kLockdown))
                         : ok(lockdown, facts.lockdown.empty() ? "not readable" : facts.lockdown));
  const Place preemption{"preemption", "kernel", "preemption"};
  const std::string mode = facts.preemption.empty() ? "not readable" : facts.preemption;
  findings.push_back(
      bpf.holds_in_lock || mode == "none" || mode == "voluntary"
          ? ok(preemption, mode)
          : worse(preemption, Status::kDegraded,
                  mode + ": of several tasks at the OOM killer's door some are not held",
                  std::string(kLock)));
  add_object({"memory_programs", "hooks", "memory programs"}, bpf.memory, Status::kMissing,
             "needed for tier A", facts, findings);
  add_object({"cpu_programs", "hooks", "CPU programs"}, bpf.cpu, Status::kDegraded,
             "cpu.stat is read instead", facts, findings);
  add_object({"exec_programs", "hooks", "programs of announced commands"}, bpf.exec,
             Status::kDegraded, "limits are raised when the need is there, not before", facts,
             findings);
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
bpf::Tier resulting_tier(const bpf::TrialLoad& bpf) {
  return bpf.memory.tried && bpf.memory.refused.empty() ? bpf::Tier::kA : bpf::Tier::kC;
}

// What a tier promises and what it does not.
std::string_view guarantee_of(bpf::Tier tier) {
  if (tier == bpf::Tier::kA) {
    return "Growth is seen before the limit is met, and a task at its limit, or at the OOM "
           "killer's door, is held for a bounded time (at the door at most 200 ms) until the limit "
           "is raised. A kill remains possible where the raise takes longer than that, and is "
           "wanted where the ceiling or the node's budget is spent.";
  }
  return "No BPF: memory.high brakes the program, and the change of memory.events and PSI are the "
         "signals. Growth of up to some hundred MB/s mostly survives, at the price of sleeps of up "
         "to 2 s; MAP_POPULATE, mlock and huge pages can pass the brake and be killed by the OOM "
         "killer.";
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
  DoctorReport report;
  for (const Role one : {Role::kAgent, Role::kRun}) {
    if (role.value_or(one) != one) continue;
    report.roles.push_back(result_of(one, facts, resulting_tier(facts.bpf)));
    if (report.roles.back().tier) report.tier = report.roles.back().tier;
  }
  add_bpf(facts, report.findings);
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
  report.guarantee = guarantee_of(*report.tier);
  return report;
}

}  // namespace plimsoll::agent
