// SPDX-License-Identifier: Apache-2.0
#include "bpf/load_plan.h"

#include <algorithm>
#include <array>
#include <cerrno>

namespace plimsoll::bpf {
namespace {

constexpr std::array kTiers = {Tier::kA, Tier::kB};

struct Need {
  Answer Features::*answer;
  bool a;
  bool b;
  std::string_view cure;
};

constexpr std::string_view kNewerKernel =
    "run a kernel with this function, such as Debian's 6.1 or newer";
constexpr std::string_view kRefused =
    "a security module or a patch of this kernel refuses programs at functions: run on the host "
    "itself, not in a sandbox, or on a distribution's kernel";
constexpr std::string_view kTrampolines =
    "set `sysctl kernel.ftrace_enabled=1`; if that does not help, run a kernel with "
    "CONFIG_FUNCTION_TRACER=y, CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y and CONFIG_BPF_JIT=y "
    "(Debian's 6.1 or newer; on arm64 6.6 or newer)";

const std::array kNeeds = {
    Need{&Features::btf, true, true,
         "run a kernel with CONFIG_DEBUG_INFO_BTF=y, and mount sysfs on /sys"},
    Need{&Features::permitted, true, true,
         "run as root, or grant CAP_BPF and CAP_PERFMON (Kubernetes: securityContext.capabilities"
         ".add: [BPF, PERFMON]; systemd: AmbientCapabilities=CAP_BPF CAP_PERFMON), with a seccomp "
         "profile that allows bpf()"},
    Need{&Features::kernel_reads, true, true,
         "boot without lockdown=confidentiality (see /sys/kernel/security/lockdown)"},
    Need{&Features::loop, true, true, "run Linux 5.17 or newer"},
    Need{&Features::ring_buffer, true, true, "run Linux 5.8 or newer"},
    Need{&Features::cgroup_iterator, true, true, "run Linux 6.1 or newer, with CONFIG_CGROUPS=y"},
    Need{&Features::function_entry, true, false, kTrampolines},
    Need{&Features::function_exit, true, false, kTrampolines},
    Need{&Features::hook_charge, true, false, kNewerKernel},
    Need{&Features::hook_reclaim, true, false, kNewerKernel},
    Need{&Features::hook_oom, true, false, kNewerKernel},
    Need{&Features::tracepoint, false, true, "run a kernel with CONFIG_BPF_EVENTS=y"},
    Need{&Features::hook_reclaim_tracepoint, false, true,
         "run a kernel with CONFIG_MEMCG=y and CONFIG_TRACEPOINTS=y"},
};

bool is_needed(const Need& need, Tier tier) { return tier == Tier::kA ? need.a : need.b; }

std::string cure_of(const Need& need, const Features& features) {
  // What was not tried is cured by what stood before it.
  for (const auto first : {&Features::permitted, &Features::btf}) {
    if (need.answer != &Features::permitted && need.answer != &Features::btf &&
        !(features.*first).yes) {
      return std::string(std::ranges::find(kNeeds, first, &Need::answer)->cure);
    }
  }
  const bool hook = need.cure == kNewerKernel;
  if ((hook || need.cure == kTrampolines) && (features.*need.answer).error == EPERM) {
    return std::string(kRefused);
  }
  // A hook that fails only because no function can be hooked is cured with that one.
  const bool by_trampolines = !features.function_entry.yes || !features.function_exit.yes;
  return std::string(hook && by_trampolines ? kTrampolines : need.cure);
}

}  // namespace

LoadPlan plan_load(const Features& features, std::optional<Tier> wanted) {
  LoadPlan plan;
  for (const Tier tier : kTiers) {
    if (plan.possible != Tier::kC) break;
    const bool complete = std::ranges::all_of(kNeeds, [&](const Need& need) {
      return !is_needed(need, tier) || (features.*need.answer).yes;
    });
    if (complete) plan.possible = tier;
  }
  plan.tier = std::max(plan.possible, wanted.value_or(Tier::kA));

  for (const NamedAnswer& name : feature_names()) {
    const auto* need = std::ranges::find(kNeeds, name.answer, &Need::answer);
    if (need == kNeeds.end()) continue;
    const Answer& answer = features.*name.answer;
    Reason reason{.id = name.id, .what = name.what, .needed_by = {}, .present = answer.yes};
    for (const Tier tier : kTiers) {
      if (is_needed(*need, tier)) reason.needed_by.push_back(tier);
    }
    if (!answer.yes) {
      reason.why = answer.why;
      reason.cure = cure_of(*need, features);
    }
    plan.reasons.push_back(std::move(reason));
  }
  return plan;
}

std::string_view guarantee_of(Tier tier) {
  switch (tier) {
    case Tier::kA:
      return "Growth is seen before the limit is met, and a task at its limit, or at the OOM "
             "killer's door, is held for a bounded time (at the door at most 200 ms) until the "
             "limit is raised. A kill remains possible where the raise takes longer than that, "
             "and is wanted where the ceiling or the node's budget is spent.";
    case Tier::kB:
      return "The end of reclaim at the limit is an event, so a limit is raised while the kernel "
             "still reclaims; nothing is predicted and nothing is held. A burst that outruns the "
             "raise by a few milliseconds is killed by the OOM killer.";
    case Tier::kC:
      return "No BPF: memory.high brakes the program, and the change of memory.events and PSI are "
             "the signals. Growth of up to some hundred MB/s mostly survives, at the price of "
             "sleeps of up to 2 s; MAP_POPULATE, mlock and huge pages can pass the brake and be "
             "killed by the OOM killer.";
  }
  return "";
}

}  // namespace plimsoll::bpf
