// SPDX-License-Identifier: Apache-2.0
#include "agent/config/key_table.h"

#include <array>

namespace plimsoll::agent {
namespace {

// A member of a member of a Config, by the way to it.
template <auto... kPath>
auto& field(Config& config) {
  return (config.*....*kPath);
}

constexpr bool kAtStart = true;

// Of "run" and "agent".
const std::array kKeys{
    ConfigKey{"memory.predict", field<&Config::policy, &Policy::memory, &MemoryPolicy::predict>, "",
              "", "",
              "Whether events come before the limit is reached. Off: at the limit at the earliest, "
              "which shows what the layers behind are worth."},
    ConfigKey{"memory.watermark", field<&Config::policy, &Policy::memory, &MemoryPolicy::watermark>,
              "0.5", "0.98", "",
              "Share of the limit that, once what cannot be reclaimed rises over it, is an event."},
    ConfigKey{"memory.horizon", field<&Config::policy, &Policy::memory, &MemoryPolicy::horizon>,
              "1ms", "60s", "",
              "Grow when, at its growth rate, a container is at its limit sooner than this."},
    ConfigKey{"memory.look_ahead",
              field<&Config::policy, &Policy::memory, &MemoryPolicy::look_ahead>, "1ms", "5m", "",
              "A grant covers the measured growth rate for this long."},
    ConfigKey{"memory.step", field<&Config::policy, &Policy::memory, &MemoryPolicy::step>, "1Mi",
              "1Ti", "", "The smallest grant."},
    ConfigKey{"memory.step_ratio",
              field<&Config::policy, &Policy::memory, &MemoryPolicy::step_ratio>, "0", "4", "",
              "A grant is also at least this share of the limit."},
    ConfigKey{"memory.step_ratio_max",
              field<&Config::policy, &Policy::memory, &MemoryPolicy::step_ratio_max>, "0", "16", "",
              "What a measured growth rate asks for is granted up to this share of the limit."},
    ConfigKey{"memory.round_to", field<&Config::policy, &Policy::memory, &MemoryPolicy::round_to>,
              "64Ki", "1Gi", "", "New limits are multiples of this; at most `memory.step`."},
    ConfigKey{"memory.shrink_after",
              field<&Config::policy, &Policy::memory, &MemoryPolicy::shrink_after>, "1s", "24h", "",
              "How long a container must have stayed below its limit before the limit goes down."},
    ConfigKey{"memory.shrink_below",
              field<&Config::policy, &Policy::memory, &MemoryPolicy::shrink_below>, "0.1", "0.95",
              "",
              "The limit goes down only when the peak of that time stayed under this share of it."},
    ConfigKey{"memory.shrink_margin",
              field<&Config::policy, &Policy::memory, &MemoryPolicy::shrink_margin>, "0", "1", "",
              "What is left above that peak, as a share of it."},
    ConfigKey{"memory.shrink_backoff_max",
              field<&Config::policy, &Policy::memory, &MemoryPolicy::shrink_backoff_max>, "1",
              "1024", "",
              "A shrink that was followed by growth doubles `memory.shrink_after` for that "
              "container, up to this factor."},
    ConfigKey{"memory.leak.grants",
              field<&Config::policy, &Policy::memory, &MemoryPolicy::leak_grants>, "1", "1000", "",
              "A leak has had at least this many grants ..."},
    ConfigKey{"memory.leak.window",
              field<&Config::policy, &Policy::memory, &MemoryPolicy::leak_window>, "1s", "168h", "",
              "... over at least this long ..."},
    ConfigKey{"memory.leak.dip", field<&Config::policy, &Policy::memory, &MemoryPolicy::leak_dip>,
              "0.001", "0.5", "",
              "... and never fell by more than this share of its peak, was never flat, and did not "
              "come back to pages that it had lost. A leak is not fed any more."},
    ConfigKey{"memory.thrash_stall",
              field<&Config::policy, &Policy::memory, &MemoryPolicy::thrash_stall>, "0.01", "0.95",
              "",
              "Share of time stalled on memory that, with pages coming back, means that the "
              "working set does not fit."},
    ConfigKey{
        "cpu.throttle_target", field<&Config::policy, &Policy::cpu, &CpuPolicy::throttle_target>,
        "0", "0.9", "",
        "Share of the CFS periods of `cpu.window` that may be throttled before a CPU limit is "
        "raised."},
    ConfigKey{"cpu.window", field<&Config::policy, &Policy::cpu, &CpuPolicy::window>, "1", "64", "",
              "CFS periods, of mostly 100 ms, over which that share is taken."},
    ConfigKey{"cpu.burst", field<&Config::policy, &Policy::cpu, &CpuPolicy::burst>, "0", "1", "",
              "What may be carried over from unused periods (`cpu.max.burst`), as a share of the "
              "declared limit; given before the limit is raised."},
    ConfigKey{"cpu.margin", field<&Config::policy, &Policy::cpu, &CpuPolicy::margin>, "0", "1", "",
              "A CPU limit is raised to the measured use and this share more."},
    ConfigKey{"cpu.step_ratio", field<&Config::policy, &Policy::cpu, &CpuPolicy::step_ratio>,
              "0.01", "4", "", "A raise is at least this share of the limit."},
    ConfigKey{"cpu.hold", field<&Config::policy, &Policy::cpu, &CpuPolicy::hold>, "50ms", "1h", "",
              "How long the use must have stayed under `cpu.lower_below` of a raised limit before "
              "it goes down."},
    ConfigKey{"cpu.lower_below", field<&Config::policy, &Policy::cpu, &CpuPolicy::lower_below>,
              "0.1", "1", "", "A raised limit goes down when less than this share of it is used."},
    ConfigKey{"cpu.hold_backoff_max",
              field<&Config::policy, &Policy::cpu, &CpuPolicy::hold_backoff_max>, "1", "1000", "",
              "A limit that is needed again at once is held twice as long, up to this factor."},
    ConfigKey{"cpu.remember", field<&Config::policy, &Policy::cpu, &CpuPolicy::remember>, "0s",
              "24h", "",
              "For this long a use above the declared limit is remembered, and given again at the "
              "first throttle."},
    ConfigKey{"cpu.lower_after", field<&Config::policy, &Policy::cpu, &CpuPolicy::lower_after>,
              "1s", "24h", "",
              "A raise that was made through the API is asked back when it was not needed for this "
              "long."},
    ConfigKey{"cpu.reserve", field<&Config::policy, &Policy::cpu, &CpuPolicy::reserve>, "0", "0.9",
              "", "Share of the node's CPUs that is never given away."},
    ConfigKey{"cpu.node_pressure", field<&Config::policy, &Policy::cpu, &CpuPolicy::node_pressure>,
              "0.01", "1", "",
              "Share of time in which tasks of the node wait for a CPU that, where nine tenths of "
              "the CPUs are busy, stops raises."},
    ConfigKey{"hold.door", field<&Config::hold, &bpf::HoldBounds::door>, "0s", "1s", "",
              "How long the OOM killer waits for a grant; 0s: it does not.", kAtStart},
    ConfigKey{
        "hold.slice", field<&Config::hold, &bpf::HoldBounds::slice>, "0s", "10ms", "",
        "How long an allocation waits for a grant after reclaim freed nothing; 0s: not at all.",
        kAtStart},
    ConfigKey{"hold.budget", field<&Config::hold, &bpf::HoldBounds::budget_per_second>, "0s", "1s",
              "", "Longest wait per container and second, all its tasks together.", kAtStart},
    ConfigKey{"budget.reserve", field<&Config::policy, &Policy::budget, &BudgetPolicy::reserve>,
              "0", "1Ti", "5 % of the node's memory, at least 64Mi",
              "Available memory of the node that is never given away."},
    ConfigKey{"budget.limit", field<&Config::policy, &Policy::budget, &BudgetPolicy::limit>, "0",
              "1Ti", "what the node has available",
              "The most that all grants together may stand above all floors."},
    ConfigKey{"tick", field<&Config::tick>, "100ms", "60s", "",
              "How often limits are lowered, budgets counted and events made up for."},
    ConfigKey{"tier", field<&Config::tier>, "", "", "",
              "What of the kernel is used: `auto` takes the best that it allows, `A` BPF with the "
              "hold, `C` no BPF. A tier that the kernel refuses is an error.",
              kAtStart},
};

// Of "agent" alone.
const std::array kNodeKeys{
    ConfigKey{"pods.selector", field<&Config::node, &NodeConfig::pods, &PodsConfig::selector>, "",
              "", "",
              "Only pods whose labels match, written as for `kubectl get pods -l`: `app=web,env in "
              "(dev,ci),!legacy`. Empty: all."},
    ConfigKey{"pods.namespaces", field<&Config::node, &NodeConfig::pods, &PodsConfig::namespaces>,
              "", "", "",
              "Only pods of these namespaces, separated by commas. `*` stands for any characters "
              "and `!` excludes: `dev-*,!dev-secret`. Empty: all."},
    ConfigKey{"pods.opt_in", field<&Config::node, &NodeConfig::pods, &PodsConfig::opt_in>, "", "",
              "",
              "`true`: of the pods that the two keys above select, only those that say "
              "`plimsoll.dev/enabled: \"true\"` as a label or an annotation. `false`: all of them "
              "but those that say `\"false\"`."},
    ConfigKey{"pods.ceiling", field<&Config::node, &NodeConfig::pods, &PodsConfig::ceiling>, "1",
              "1000", "",
              "How far a container may grow, times the memory limit that its author declared; 1: "
              "not at all."},
    ConfigKey{"pods.ceiling_max", field<&Config::node, &NodeConfig::pods, &PodsConfig::ceiling_max>,
              "1Mi", "16Ti", "what the budgets allow",
              "How far any container may grow, whatever its limit and its annotations say."},
    ConfigKey{"pods.look_ahead_max",
              field<&Config::node, &NodeConfig::pods, &PodsConfig::look_ahead_max>, "1ms", "5m", "",
              "The longest `memory.look_ahead` that an annotation may ask for; at least "
              "`memory.look_ahead` itself."},
    ConfigKey{"pods.actuation", field<&Config::node, &NodeConfig::pods, &PodsConfig::actuation>, "",
              "", "",
              "How limits are raised. `resize`: only by the pod's resize, as the API server "
              "accepts it. `resize-then-cgroup`: written to the cgroup first where the API would "
              "be too late, and while it is away. `cgroup`: only written to the cgroup; quotas and "
              "admission policies are not asked."},
    ConfigKey{"pods.dry_run", field<&Config::node, &NodeConfig::pods, &PodsConfig::dry_run>, "", "",
              "", "Decide and report, change nothing."},
    ConfigKey{"pods.cpu", field<&Config::node, &NodeConfig::cpu, &PodsCpuConfig::enabled>, "", "",
              "",
              "Raise CPU limits too: of the managed containers that declare one, but for those of "
              "Guaranteed pods, whose limit is their request. `false`: no `startup.boost` either."},
    ConfigKey{"pods.cpu_ceiling", field<&Config::node, &NodeConfig::cpu, &PodsCpuConfig::ceiling>,
              "1", "1000", "",
              "How far the CPU limit of a container may grow when it is throttled, times the one "
              "that its author declared; 1: not at all."},
    ConfigKey{"pods.cpu_ceiling_max",
              field<&Config::node, &NodeConfig::cpu, &PodsCpuConfig::ceiling_max>, "10m", "10000",
              "what the node's CPUs allow",
              "How far any CPU limit may grow then, whatever was declared and annotated."},
    ConfigKey{"pods.cpu_ask_after",
              field<&Config::node, &NodeConfig::cpu, &PodsCpuConfig::ask_after>, "0s", "10m", "",
              "How long a CPU limit must have stood in the cgroup before the API is asked to store "
              "it: a burst that is over before costs no request."},
    ConfigKey{"startup.boost", field<&Config::node, &NodeConfig::startup, &StartupConfig::boost>,
              "1", "1000", "",
              "The CPU limit of a container while it starts, times the one that its author "
              "declared, as far as no other pod requests those CPUs; 1: no other limit."},
    ConfigKey{"startup.boost_max",
              field<&Config::node, &NodeConfig::startup, &StartupConfig::boost_max>, "10m", "10000",
              "what the node's CPUs allow",
              "The most that any CPU limit is then, whatever was declared and annotated."},
    ConfigKey{"startup.time", field<&Config::node, &NodeConfig::startup, &StartupConfig::time>,
              "1s", "1h", "", "The boost ends after this at the latest ..."},
    ConfigKey{"startup.settle_after",
              field<&Config::node, &NodeConfig::startup, &StartupConfig::settle_after>, "1s", "1h",
              "", "... and when for this long no more than the declared limit was used."},
    ConfigKey{
        "fallback.lease", field<&Config::node, &NodeConfig::fallback, &FallbackConfig::lease>,
        "10s", "24h", "",
        "After this long, a limit that stands in the cgroup alone is looked at again: it stays "
        "while the API is away or the memory is in use, else it goes down to what the API knows."},
    ConfigKey{"fallback.on_refusal",
              field<&Config::node, &NodeConfig::fallback, &FallbackConfig::on_refusal>, "", "", "",
              "Write to the cgroup also what the API server refused: by quota, LimitRange, access "
              "rights or an admission policy. With `false` a refusal is final."},
    ConfigKey{"fallback.unasked",
              field<&Config::node, &NodeConfig::fallback, &FallbackConfig::unasked>, "", "", "",
              "Write to the cgroup also where the API server cannot be asked how far a memory "
              "limit may go: pods with device claims, static pods, an API server without resize. "
              "Only in namespaces with a budget, `budget.namespaces` or "
              "`budget.namespace_default`, which bounds it; quotas and LimitRanges do not. With "
              "`false` such a pod gets what was allowed before, and no more."},
    ConfigKey{"api.deadline", field<&Config::node, &NodeConfig::api, &ApiConfig::deadline>, "1s",
              "60s", "", "How long one request to the API server may take."},
    ConfigKey{"api.rescue_deadline",
              field<&Config::node, &NodeConfig::api, &ApiConfig::rescue_deadline>, "100ms", "30s",
              "",
              "The same for a resize that a container waits for; then the fallback. At most "
              "`api.deadline`."},
    ConfigKey{
        "api.requests_per_second",
        field<&Config::node, &NodeConfig::api, &ApiConfig::requests_per_second>, "0.1", "1000", "",
        "Requests to the API server on average, resizes and preflights together ...", kAtStart},
    ConfigKey{"api.burst", field<&Config::node, &NodeConfig::api, &ApiConfig::burst>, "1", "1000",
              "", "... and how many of them at once.", kAtStart},
    ConfigKey{"api.latency", field<&Config::node, &NodeConfig::api, &ApiConfig::latency>, "10ms",
              "30s", "",
              "Assumed time from a resize request to the new limit in the cgroup, until it has "
              "been measured on this node."},
    ConfigKey{"api.latency_factor",
              field<&Config::node, &NodeConfig::api, &ApiConfig::latency_factor>, "1", "20", "",
              "A container that would be at its limit within that time, times this, gets the new "
              "limit written to its cgroup first."},
    ConfigKey{"api.verify_after", field<&Config::node, &NodeConfig::api, &ApiConfig::verify_after>,
              "100ms", "60s", "",
              "How long after an accepted resize the cgroup may still have the old limit; then the "
              "fallback. At most `api.withdraw_after`."},
    ConfigKey{"api.withdraw_after",
              field<&Config::node, &NodeConfig::api, &ApiConfig::withdraw_after>, "5s", "1h", "",
              "A resize that the kubelet has not carried out by then is taken back."},
    ConfigKey{
        "api.refused_backoff", field<&Config::node, &NodeConfig::api, &ApiConfig::refused_backoff>,
        "1s", "1h", "",
        "How long nothing is asked for again after a refusal; doubled at each further one ..."},
    ConfigKey{"api.refused_backoff_max",
              field<&Config::node, &NodeConfig::api, &ApiConfig::refused_backoff_max>, "1s", "24h",
              "", "... up to this."},
    ConfigKey{"preflight.enabled",
              field<&Config::node, &NodeConfig::preflight, &PreflightConfig::enabled>, "", "", "",
              "Ask the API server beforehand, with a dry run, how far a container may grow, so "
              "that nothing is written to a cgroup that would be refused. With `false` only the "
              "ceiling bounds what is written, until the API has refused."},
    ConfigKey{"preflight.requests_per_second",
              field<&Config::node, &NodeConfig::preflight, &PreflightConfig::requests_per_second>,
              "0.1", "100", "", "Dry runs on average.", kAtStart},
    ConfigKey{"announce.enabled",
              field<&Config::node, &NodeConfig::announce, &AnnounceConfig::enabled>, "", "", "",
              "Raise limits when a command begins that a pod, or the next key, has announced."},
    ConfigKey{"announce.default",
              field<&Config::node, &NodeConfig::announce, &AnnounceConfig::commands>, "", "", "",
              "The commands of containers that have no annotation `announce`, written as that: "
              "`make=2Gi,ninja,cargo`. Empty: none."},
    ConfigKey{"budget.node_share",
              field<&Config::node, &NodeConfig::budget, &NodeBudgetConfig::node_share>, "0", "10",
              "",
              "The share of what the node can allocate to pods that all managed containers "
              "together may need."},
    ConfigKey{
        "budget.namespace_default",
        field<&Config::node, &NodeConfig::budget, &NodeBudgetConfig::namespace_default>, "0",
        "16Ti", "no bound but the node's",
        "The most that all grants in one namespace together may stand above all floors there."},
    ConfigKey{"budget.namespaces.<namespace>",
              field<&Config::node, &NodeConfig::budget, &NodeBudgetConfig::namespaces>, "0", "16Ti",
              "`budget.namespace_default`",
              "The same for one namespace: `budget.namespaces.dev: 8Gi`."},
    ConfigKey{
        "budget.take_back", field<&Config::policy, &Policy::budget, &BudgetPolicy::take_back>, "",
        "", "",
        "When the budget is short, lower idle containers of lower priority first to make room."},
    ConfigKey{"coexist.mode", field<&Config::node, &NodeConfig::coexist>, "", "", "",
              "What to do about a limit that somebody else (a VerticalPodAutoscaler, a person) has "
              "put back twice after we had raised it. `yield`: leave that limit alone for a while. "
              "`share`: go on. Whatever they set is what the container declares from then on."},
    ConfigKey{"coexist.yield_for", field<&Config::node, &NodeConfig::yield_for>, "1m", "168h", "",
              "How long it is left alone."},
    ConfigKey{"events.per_minute", field<&Config::node, &NodeConfig::events_per_minute>, "0", "600",
              "",
              "Kubernetes Events that the agent writes at most; the others are counted. 0: none.",
              kAtStart},
    ConfigKey{"metrics.address", field<&Config::node, &NodeConfig::metrics_address>, "", "", "",
              "Where metrics and health are served: `:9464` on all addresses, `127.0.0.1:9464` on "
              "one, `off` nowhere.",
              kAtStart},
    ConfigKey{
        "explain.history", field<&Config::node, &NodeConfig::explain_history>, "0", "4096", "",
        "How many signals, decisions and answers are kept per container for `plimsoll explain`."},
    ConfigKey{"log.level", field<&Config::node, &NodeConfig::log_level>, "", "", "",
              "What is logged: this and what is worse."},
};

}  // namespace

std::span<const ConfigKey> config_keys() {
  static const std::vector<ConfigKey> kAll = [] {
    std::vector<ConfigKey> all(kKeys.begin(), kKeys.end());
    all.insert(all.end(), kNodeKeys.begin(), kNodeKeys.end());
    return all;
  }();
  return kAll;
}

std::span<const ConfigKey> node_config_keys() { return kNodeKeys; }

}  // namespace plimsoll::agent
