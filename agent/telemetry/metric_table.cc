// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/metric_table.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <utility>

namespace plimsoll::agent {
namespace {

using Samples = std::vector<Sample>;

double number(std::uint64_t count) { return static_cast<double>(count); }

Samples one(double value) { return {{.value = value}}; }
Samples count(std::uint64_t value) { return one(number(value)); }
Samples bytes(Bytes value) { return one(number(value.value)); }
Samples flag(bool value) { return one(value ? 1 : 0); }
Samples timed(const Distribution& distribution) { return {{.distribution = &distribution}}; }

Sample labelled(std::string_view label, double value) {
  return {.label_values = {std::string(label)}, .value = value};
}

double unix_seconds(std::chrono::system_clock::time_point time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

template <typename T>
Samples known(const std::optional<T>& value, Samples (*sample)(T)) {
  return value ? sample(*value) : Samples{};
}

// One sample for each reason, also for those that have not come up: a rate needs the 0 before the
// first.
Samples of_reasons(const std::map<Reason, std::uint64_t>& counts,
                   std::initializer_list<Reason> reasons) {
  Samples samples;
  for (const Reason reason : reasons) {
    const auto found = counts.find(reason);
    samples.push_back(
        labelled(to_string(reason), found == counts.end() ? 0 : number(found->second)));
  }
  return samples;
}

using Reasons = std::pair<Reason, Reason>;  // from the first to the last of them
constexpr Reasons kGrantReasons{Reason::kTimeToLimit, Reason::kAnnounced};
constexpr Reasons kDenialReasons{Reason::kCeiling, Reason::kGone};
constexpr Reasons kShrinkReasons{Reason::kLeaseEnded, Reason::kWithdrawn};

Samples of_reasons(const std::map<Reason, std::uint64_t>& counts,
                   std::initializer_list<Reasons> ranges) {
  Samples samples;
  for (const auto& [first, last] : ranges) {
    for (auto i = static_cast<std::uint8_t>(first); i <= static_cast<std::uint8_t>(last); ++i) {
      samples.push_back(of_reasons(counts, {static_cast<Reason>(i)}).front());
    }
  }
  return samples;
}

Samples cpu_grants(const Scrape& scrape) {
  return of_reasons(scrape.stats.activity.cpu.grants, {Reason::kThrottled, Reason::kStarting,
                                                       Reason::kAnnounced, Reason::kReasserted});
}

Samples cpu_wishes(const Scrape& scrape) {
  return of_reasons(scrape.stats.activity.cpu.wishes, {Reason::kThrottled, Reason::kStarting,
                                                       Reason::kAnnounced, Reason::kLeaseEnded});
}

Samples cpu_denials(const Scrape& scrape) {
  return of_reasons(
      scrape.stats.activity.cpu.denials,
      {Reason::kCeiling, Reason::kBudget, Reason::kPriority, Reason::kNotArmed, Reason::kNodeBusy});
}

// One sample for each value of the enumeration that the counts are indexed by.
template <typename Enum, std::size_t kValues>
Samples of_each(const std::array<std::uint64_t, kValues>& counts) {
  Samples samples;
  for (std::size_t i = 0; i < kValues; ++i) {
    samples.push_back(labelled(to_string(static_cast<Enum>(i)), number(counts[i])));
  }
  return samples;
}

double cores(MilliCpu cpus) { return static_cast<double>(cpus.value) / 1000; }

Samples answered(const Scrape& scrape, ResizeEvent::Kind kind) {
  return count(scrape.stats.activity.answers[static_cast<std::size_t>(kind)]);
}

Samples refusals(const Scrape& scrape) {
  Samples samples;
  for (const auto& [cause, times] : scrape.stats.activity.refusals) {
    samples.push_back(labelled(cause, number(times)));
  }
  return samples;
}

Samples tiers(const Scrape& scrape) {
  Samples samples;
  for (const bpf::Tier tier : {bpf::Tier::kA, bpf::Tier::kC}) {
    samples.push_back(labelled(bpf::to_string(tier), tier == scrape.stats.engine.tier ? 1 : 0));
  }
  return samples;
}

template <std::uint64_t bpf::Counters::*member>
Samples kernel(const Scrape& scrape) {
  if (!scrape.stats.engine.kernel) return {};
  return count((*scrape.stats.engine.kernel).*member);
}

Samples holds_refused(const Scrape& scrape) {
  if (!scrape.stats.engine.kernel) return {};
  return {labelled("heartbeat", number(scrape.stats.engine.kernel->refused_heartbeat)),
          labelled("budget", number(scrape.stats.engine.kernel->refused_budget))};
}

Samples held_seconds(const Scrape& scrape) {
  if (!scrape.stats.engine.kernel) return {};
  return one(std::chrono::duration<double>(scrape.stats.engine.kernel->held_for).count());
}

Samples lost(const Scrape& scrape) {
  const AgentStats& stats = scrape.stats;
  const auto kernel = stats.engine.kernel.value_or(bpf::Counters{});
  const auto cpu = stats.engine.cpu.value_or(CpuStatus{});
  const auto announced = stats.announce.kernel.value_or(bpf::ExecCounters{});
  return {labelled("kernel_events", number(kernel.events_dropped)),
          labelled("kernel_recursion", number(kernel.missed)),
          labelled("kernel_malformed", number(stats.engine.malformed_events)),
          labelled("announced_events", number(announced.events_dropped)),
          labelled("announced_recursion", number(announced.missed)),
          labelled("announced_table_full", number(announced.forgotten)),
          labelled("cpu_events_and_reports", number(cpu.lost)),
          labelled("reaction_reports", number(stats.engine.reports_lost)),
          labelled("containers_untracked", number(stats.engine.refused)),
          labelled("watch_relists", number(stats.watch.relists)),
          labelled("pods_malformed", number(stats.watch.pods_malformed)),
          labelled("resizes_dropped", number(stats.resizes_dropped)),
          labelled("events_dropped", number(stats.events.dropped)),
          labelled("log_lines", number(stats.log_overruns))};
}

Samples api_requests(const Scrape& scrape) {
  Samples samples;
  for (const auto& [key, times] : scrape.stats.api.requests) {
    const std::string status =
        key.status_class == 0 ? "none" : std::to_string(key.status_class) + "xx";
    samples.push_back(
        {.label_values = {std::string(to_string(key.verb)), status, std::string(key.outcome)},
         .value = number(times)});
  }
  return samples;
}

Samples api_seconds(const Scrape& scrape) {
  Samples samples;
  for (std::size_t i = 0; i < kApiVerbs; ++i) {
    samples.push_back({.label_values = {std::string(to_string(static_cast<ApiVerb>(i)))},
                       .distribution = &scrape.stats.api.seconds[i]});
  }
  return samples;
}

// The name of the sum of those that have no series of their own: no namespace can be called so.
constexpr const char* kOtherNamespaces = "_other";

std::vector<NamespaceBudget> largest_namespaces(const PodsStats& pods) {
  std::vector<NamespaceBudget> all = pods.namespaces;
  if (all.size() <= PodsStats::kMostNamespaces) return all;
  std::stable_sort(all.begin(), all.end(), [](const NamespaceBudget& a, const NamespaceBudget& b) {
    return a.granted > b.granted;
  });
  NamespaceBudget others{.name_space = kOtherNamespaces};
  for (std::size_t i = PodsStats::kMostNamespaces; i < all.size(); ++i) {
    others.granted += all[i].granted;
  }
  all.resize(PodsStats::kMostNamespaces);
  all.push_back(others);
  return all;
}

Samples namespace_granted(const Scrape& scrape) {
  Samples samples;
  for (const NamespaceBudget& each : largest_namespaces(scrape.stats.pods)) {
    samples.push_back(labelled(each.name_space, number(each.granted.value)));
  }
  return samples;
}

Samples namespace_left(const Scrape& scrape) {
  Samples samples;
  for (const NamespaceBudget& each : largest_namespaces(scrape.stats.pods)) {
    if (!each.limit) continue;
    samples.push_back(labelled(each.name_space, number((*each.limit - each.granted).value)));
  }
  return samples;
}

Samples kubernetes_events(const Scrape& scrape) {
  return {labelled("posted", number(scrape.stats.events.posted)),
          labelled("suppressed", number(scrape.stats.events.suppressed)),
          labelled("dropped", number(scrape.stats.events.dropped)),
          labelled("failed", number(scrape.stats.events.failed))};
}

using Read = decltype(Metric::read);
using Labels = decltype(Metric::labels);

Metric counter(std::string_view name, std::string_view help, Read read, const Labels& labels = {}) {
  return {name, MetricType::kCounter, help, labels, read};
}
Metric gauge(std::string_view name, std::string_view help, Read read, const Labels& labels = {}) {
  return {name, MetricType::kGauge, help, labels, read};
}
Metric histogram(std::string_view name, std::string_view help, Read read,
                 const Labels& labels = {}) {
  return {name, MetricType::kHistogram, help, labels, read};
}

const std::array kRows{
    counter("plimsoll_saves_total",
            "Needs that were met, by the layer that caught them: raises written to the cgroup, and "
            "raises through the API that had not been written before.",
            [](const Scrape& s) { return of_each<Layer>(s.stats.activity.saves); }, {"layer"}),
    counter(
        "plimsoll_grants_total", "Raises that the agent wrote to a cgroup, by reason.",
        [](const Scrape& s) { return of_reasons(s.stats.activity.memory.grants, {kGrantReasons}); },
        {"reason"}),
    counter("plimsoll_wishes_total",
            "Changes of a limit that the engine asked the API side for, by reason.",
            [](const Scrape& s) {
              return of_reasons(s.stats.activity.memory.wishes, {kGrantReasons, kShrinkReasons});
            },
            {"reason"}),
    counter("plimsoll_denials_total", "Growth that was refused by the agent, by reason.",
            [](const Scrape& s) {
              return of_reasons(s.stats.activity.memory.denials, {kDenialReasons});
            },
            {"reason"}),
    counter("plimsoll_granted_bytes_total", "Sum of all raises.",
            [](const Scrape& s) { return count(s.stats.activity.granted_bytes); }),
    counter("plimsoll_shrinks_total", "Limits that the agent wrote lower.",
            [](const Scrape& s) { return count(s.stats.activity.memory.shrinks); }),
    counter("plimsoll_reclaims_total", "Probes with memory.reclaim before a shrink.",
            [](const Scrape& s) { return count(s.stats.activity.reclaims); }),
    counter("plimsoll_failures_total", "Writes to a cgroup that failed.",
            [](const Scrape& s) { return count(s.stats.activity.memory.failures); }),
    counter("plimsoll_oom_kills_total", "Kernel OOM kills seen in watched containers.",
            [](const Scrape& s) { return count(s.stats.activity.oom_kills); }),
    histogram("plimsoll_reaction_seconds",
              "From the kernel's event to the written limit, of raises that answered an event.",
              [](const Scrape& s) { return timed(s.stats.activity.memory.reaction_seconds); }),
    counter("plimsoll_resizes_total",
            "Steps of limits on their way through the API, by what happened.",
            [](const Scrape& s) { return of_each<ResizeEvent::Kind>(s.stats.activity.answers); },
            {"step"}),
    counter("plimsoll_resize_refusals_total",
            "Resizes that the cluster decided against, by who decided.", refusals, {"cause"}),
    histogram("plimsoll_patch_to_limit_seconds",
              "From a PATCH to the limit in the cgroups of container and pod.",
              [](const Scrape& s) { return timed(s.stats.activity.patch_to_limit_seconds); }),
    gauge("plimsoll_leases_active", "Direct writes that the API has not confirmed.",
          [](const Scrape& s) { return count(s.stats.pods.leases); }),
    counter("plimsoll_leases_expired_total",
            "Direct writes that ended without having been confirmed, but for those that a refusal "
            "ended (plimsoll_bridges_withdrawn_total).",
            [](const Scrape& s) { return answered(s, ResizeEvent::Kind::kLeaseEnded); }),
    counter("plimsoll_bridges_withdrawn_total",
            "Direct writes ahead of a request that was refused, taken back.",
            [](const Scrape& s) { return answered(s, ResizeEvent::Kind::kBridgeWithdrawn); }),
    gauge("plimsoll_budget_bytes", "What the node can still give.",
          [](const Scrape& s) { return known(s.stats.budget, bytes); }),
    gauge("plimsoll_namespace_granted_bytes",
          "What the containers of a namespace stand above their floors. The 20 that are largest at "
          "the time; the others together as `_other`.",
          namespace_granted, {"namespace"}),
    gauge("plimsoll_namespace_budget_bytes",
          "What is left of the budget of a namespace that has one: the whole of it is this and "
          "plimsoll_namespace_granted_bytes together. Of the same 20 namespaces.",
          namespace_left, {"namespace"}),
    counter("plimsoll_holds_total", "Allocations that waited in the kernel for a raise.",
            kernel<&bpf::Counters::held>),
    counter("plimsoll_holds_saved_total", "Holds that ended because the raise had come.",
            kernel<&bpf::Counters::saved>),
    counter("plimsoll_holds_expired_total", "Holds that ended at their bound.",
            kernel<&bpf::Counters::expired>),
    counter("plimsoll_holds_missed_total",
            "Times that the kernel skipped a program because the same one was running on that CPU.",
            kernel<&bpf::Counters::missed>),
    counter("plimsoll_holds_refused_total", "Allocations that were not held, by why not.",
            holds_refused, {"reason"}),
    counter("plimsoll_hold_seconds_total", "Time that allocations were held.", held_seconds),
    counter("plimsoll_lost_total",
            "What was lost or skipped on its way, by what it was; `watch_relists`: times that all "
            "pods were listed again. A window with lost kernel events shrinks nothing.",
            lost, {"what"}),
    gauge("plimsoll_tier", "1 for the tier in use: `A` with the hold, `C` without BPF.", tiers,
          {"tier"}),
    gauge("plimsoll_reaction_realtime",
          "1 if the reaction thread is real-time and its memory is locked.",
          [](const Scrape& s) {
            return flag(s.stats.engine.quality.realtime && s.stats.engine.quality.memory_locked);
          }),
    gauge("plimsoll_containers_tracked", "Cgroups that are watched, pods' own included.",
          [](const Scrape& s) { return count(s.stats.pods.tracked); }),
    gauge("plimsoll_pods", "Pods of the node that the agent knows.",
          [](const Scrape& s) { return count(s.stats.pods.known); }),
    gauge("plimsoll_pods_managed", "Pods of which at least one container may grow.",
          [](const Scrape& s) { return count(s.stats.pods.managed); }),
    gauge(
        "plimsoll_containers_unanswered",
        "Containers for which the API has yet to say how far their memory may grow; until then it "
        "does not.",
        [](const Scrape& s) { return count(s.stats.pods.unanswered); }),
    gauge("plimsoll_config_generation",
          "Configurations in force so far; rises with every reload that was taken.",
          [](const Scrape& s) { return count(s.stats.config.generation); }),
    gauge(
        "plimsoll_config_last_reload_successful",
        "1 if the configuration file, as it is now, was taken; 0 if the one before stays in force.",
        [](const Scrape& s) { return flag(s.stats.config.last_reload_good); }),
    gauge("plimsoll_config_last_reload_success_timestamp_seconds",
          "When the configuration in force was taken; that of the start counts.",
          [](const Scrape& s) { return one(unix_seconds(s.stats.config.taken)); }),
    counter("plimsoll_config_reload_failures_total", "Configuration files that were refused.",
            [](const Scrape& s) { return count(s.stats.config.failures); }),
    gauge("plimsoll_cpu_containers",
          "Containers and pods whose CPU limit is kept ahead of their need.",
          [](const Scrape& s) { return count(s.stats.cpu.containers); }),
    gauge("plimsoll_cpu_granted_cores",
          "What the CPU limits of containers stand above what was declared, together, now.",
          [](const Scrape& s) { return one(cores(s.stats.cpu.granted)); }),
    gauge("plimsoll_cpu_budget_cores", "CPUs that the node can still give.",
          [](const Scrape& s) {
            return s.stats.cpu.budget ? one(cores(*s.stats.cpu.budget)) : Samples{};
          }),
    counter("plimsoll_cpu_throttled_periods_total",
            "CFS periods in which a watched container or pod was throttled.",
            [](const Scrape& s) {
              return count(s.stats.engine.cpu ? s.stats.engine.cpu->throttled_periods : 0);
            }),
    counter("plimsoll_cpu_grants_total", "CPU limits raised in the cgroup, by reason.", cpu_grants,
            {"reason"}),
    counter("plimsoll_cpu_bursts_total",
            "Throttles that were answered by cpu.max.burst, the limit left as it was.",
            [](const Scrape& s) { return count(s.stats.activity.cpu_bursts); }),
    counter("plimsoll_cpu_lowerings_total", "CPU limits lowered in the cgroup.",
            [](const Scrape& s) { return count(s.stats.activity.cpu.shrinks); }),
    counter("plimsoll_cpu_wishes_total",
            "Changes of CPU limits that the API was to make, by reason.", cpu_wishes, {"reason"}),
    counter("plimsoll_cpu_denials_total",
            "Throttles that were not answered, by reason; once until something has changed.",
            cpu_denials, {"reason"}),
    counter("plimsoll_cpu_failures_total", "CPU limits that could not be written.",
            [](const Scrape& s) { return count(s.stats.activity.cpu.failures); }),
    histogram("plimsoll_cpu_reaction_seconds",
              "From a throttle in the kernel to the written limit or burst.",
              [](const Scrape& s) { return timed(s.stats.activity.cpu.reaction_seconds); }),
    gauge("plimsoll_startup_boosted_containers",
          "Containers that start with a higher CPU limit now.",
          [](const Scrape& s) { return count(s.stats.startup.boosted); }),
    counter("plimsoll_startup_boosts_total", "Start-up boosts begun.",
            [](const Scrape& s) { return count(s.stats.startup.begun); }),
    counter("plimsoll_startup_boosts_ended_total", "Start-up boosts that are over, by why.",
            [](const Scrape& s) { return of_each<StartupEnd>(s.stats.startup.ended); }, {"why"}),
    gauge("plimsoll_announced_containers", "Containers whose announced commands are watched for.",
          [](const Scrape& s) { return count(s.stats.announce.containers); }),
    gauge("plimsoll_announced_running", "Announced commands that run now.",
          [](const Scrape& s) { return count(s.stats.announce.running); }),
    counter("plimsoll_announced_begun_total",
            "Announced commands that have begun; of those that begin while the same one runs, the "
            "first.",
            [](const Scrape& s) { return count(s.stats.announce.begun); }),
    counter("plimsoll_announced_ended_total", "Announced commands whose last process has ended.",
            [](const Scrape& s) { return count(s.stats.announce.ended); }),
    counter("plimsoll_announced_provided_bytes_total",
            "Sum of the sizes that those that have begun were expected to have.",
            [](const Scrape& s) { return count(s.stats.announce.provided_bytes); }),
    counter("plimsoll_announced_grown_bytes_total",
            "Sum of what those that have ended had, where they were seen from their begin.",
            [](const Scrape& s) { return count(s.stats.announce.grown_bytes); }),
    gauge("plimsoll_announced_learned", "Announced commands whose size is known from earlier ones.",
          [](const Scrape& s) { return count(s.stats.announce.learned); }),
    counter("plimsoll_announced_failures_total",
            "Containers whose announced commands could not be watched for.",
            [](const Scrape& s) { return count(s.stats.announce.failures); }),
    counter("plimsoll_api_requests_total",
            "Exchanges with the API server that have ended (a watch lasts for minutes), by class "
            "of the HTTP status (`none`: no reply) and by what the answer means to the agent.",
            api_requests, {"verb", "status", "outcome"}),
    histogram(
        "plimsoll_api_request_seconds",
        "Time of exchanges with the API server; of a list and a watch: until the reply began.",
        api_seconds, {"verb"}),
    counter("plimsoll_kubernetes_events_total", "Kubernetes Events, by what became of them.",
            kubernetes_events, {"result"}),
    counter("plimsoll_state_writes_total", "Writes of the state file.",
            [](const Scrape& s) { return count(s.stats.state.writes); }),
    counter("plimsoll_state_write_failures_total", "Writes of the state file that failed.",
            [](const Scrape& s) { return count(s.stats.state.write_failures); }),
    gauge("plimsoll_build_info", "1; the version and the node are labels.",
          [](const Scrape& s) {
            return Samples{{.label_values = {s.stats.version, s.stats.node}, .value = 1}};
          },
          {"version", "node"}),
    gauge("process_resident_memory_bytes", "Resident memory of the agent.",
          [](const Scrape& s) { return known(s.process.resident, bytes); }),
    gauge("process_virtual_memory_bytes", "Virtual memory of the agent.",
          [](const Scrape& s) { return known(s.process.virtual_size, bytes); }),
    counter("process_cpu_seconds_total", "User and system CPU time of the agent.",
            [](const Scrape& s) { return known(s.process.cpu_seconds, one); }),
    gauge("process_start_time_seconds", "When the agent was started.",
          [](const Scrape& s) { return known(s.process.start_unix_seconds, one); }),
    gauge("process_open_fds", "Open file descriptors of the agent.",
          [](const Scrape& s) { return known(s.process.open_fds, count); }),
    gauge("process_threads", "Threads of the agent.",
          [](const Scrape& s) { return known(s.process.threads, count); }),
};

// The labels, and the values of a single one where they are always the same.
std::string labels_of(const Metric& metric) {
  std::string text;
  for (const std::string_view label : metric.labels) {
    if (label.empty()) break;
    text.append(text.empty() ? "`" : ", `").append(label).append("`");
  }
  AgentStats stats{};
  stats.engine.kernel = bpf::Counters{};
  const Samples samples = metric.read({stats, ProcessStats{}});
  if (metric.labels[0].empty() || !metric.labels[1].empty() || samples.empty()) return text;
  std::string_view separator = ": ";
  for (const Sample& sample : samples) {
    text.append(separator).append("`").append(sample.label_values[0]).append("`");
    separator = ", ";
  }
  return text;
}

}  // namespace

std::string_view to_string(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return "counter";
    case MetricType::kGauge:
      return "gauge";
    case MetricType::kHistogram:
      return "histogram";
  }
  return "unknown";
}

std::span<const Metric> metric_table() { return kRows; }

std::string render_metrics_docs() {
  std::string text =
      "# Metrics\n\n"
      "`plimsoll agent` serves them at `/metrics` in Prometheus' text format. No label names a pod "
      "or a container:\nthe number of series does not grow with the pods of a node; `plimsoll "
      "explain` tells of one pod. A series\nthat has no value now (a counter of the kernel in tier "
      "C, a budget that is not known) is absent.\n\n"
      "This page is written by `render_metrics_docs()` from the table in "
      "`agent/telemetry/metric_table.cc`; "
      "a test compares\nthe two.\n\n"
      "| metric | type | labels | meaning |\n|---|---|---|---|\n";
  for (const Metric& metric : metric_table()) {
    text.append("| `").append(metric.name).append("` | ").append(to_string(metric.type));
    text.append(" | ");
    text.append(labels_of(metric));
    text.append(" | ").append(metric.help).append(" |\n");
  }
  return text;
}

}  // namespace plimsoll::agent
