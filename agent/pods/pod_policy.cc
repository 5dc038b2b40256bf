// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/pod_policy.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <utility>

#include "agent/config/values.h"
#include "agent/policy/cpu.h"
#include "agent/policy/memory.h"
#include "base/enum_table.h"
#include "base/printable.h"
#include "kube/quantity.h"
#include "kube/resize.h"

namespace plimsoll::agent {
namespace {

constexpr auto kManaged = std::to_array<EnumWord<Managed>>({
    {Managed::kYes, "managed"},
    {Managed::kNamespace, "namespace_not_selected"},
    {Managed::kSelector, "labels_not_selected"},
    {Managed::kBestEffort, "best_effort"},
    {Managed::kNotOptedIn, "not_opted_in"},
    {Managed::kOptedOut, "opted_out"},
    {Managed::kBadAnnotation, "bad_annotation"},
    {Managed::kNoLimit, "no_memory_limit"},
    {Managed::kInit, "init_container"},
    {Managed::kCannotResize, "cannot_be_resized"},
    {Managed::kNoContainer, "no_container"},
});
static_assert(has_row_for_each(kManaged, Managed::kNoContainer));

const std::string kEnabledKey = std::string(kAnnotationPrefix) + "/enabled";

constexpr Nanoseconds kShortestLookAhead = std::chrono::milliseconds(1);
constexpr Nanoseconds kShortestBoost = std::chrono::seconds(1);

std::string in_quantity(Bytes bytes) { return kube::format_memory(bytes); }
std::string in_quantity(MilliCpu cpus) { return kube::format_cpu(cpus); }

// From the declared limit, so that the author's annotations can only narrow it, to what is allowed.
template <typename Amount>
struct Range {
  Amount limit;
  Amount allowed;
};

template <typename Amount>
Range<Amount> up_to(Amount limit, Amount multiple, std::optional<Amount> most) {
  return {limit, std::max(limit, std::min(multiple, most.value_or(multiple)))};
}

template <typename Amount>
std::optional<Amount> smaller(std::optional<Amount> a, std::optional<Amount> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

// One pod: what its annotations say to the operator's bounds, and what is wrong with them.
class Reader {
 public:
  Reader(const PodFacts& pod, const Config& config, PodAnnotations annotations)
      : pod_(pod), config_(config), annotations_(std::move(annotations)) {}

  ContainerPolicy read(std::size_t index) {
    const ContainerFacts& facts = pod_.containers[index];
    ContainerPolicy policy{.name = facts.name, .managed = enabled(index)};
    if (policy.managed != Managed::kYes) return policy;
    // To the kubelet, a limit of 0 is none.
    const Bytes limit = facts.memory_limit.value_or(Bytes{});
    if (facts.init) {
      policy.managed = Managed::kInit;
    } else if (limit == Bytes{} || is_unlimited(limit)) {
      policy.managed = Managed::kNoLimit;
    } else {
      policy.actuation = actuation(index);
      if (facts.only_cgroup && policy.actuation == Actuation::kResize) {
        policy.managed = Managed::kCannotResize;
      }
    }
    if (policy.managed != Managed::kYes) {
      tell_unused(annotations_.containers[index], policy.managed);
      return policy;
    }
    policy.ceiling = ceiling(index, limit);
    policy.floor = floor(index, limit, facts.memory_request.value_or(Bytes{}));
    policy.look_ahead = look_ahead(index);
    policy.dry_run = dry_run(index);
    policy.unasked = unasked();
    policy.announce = announce(index, policy.ceiling);
    policy.cpu = cpu(index, policy.actuation);
    return policy;
  }

  // Of the pod as a whole. `managed`: by what came of its containers.
  std::vector<PolicyProblem> take_problems(Managed managed) {
    if (managed != Managed::kYes && of_pod_ == Managed::kYes) {
      tell_unused(annotations_.pod, managed);
      const auto label = pod_.labels.find(kEnabledKey);
      if (label != pod_.labels.end()) {
        complain({kEnabledKey, label->second}, unused(managed));
      }
      if (pod_.memory_limit) {
        add({"spec.resources", "a memory limit of the pod as a whole (" +
                                   in_quantity(*pod_.memory_limit) +
                                   ") is not grown where its containers have none: declare one for "
                                   "each that is to grow"});
      }
    }
    if (managed == Managed::kYes && !pod_.sandbox.empty()) {
      add({"spec.runtimeClassName",
           in_quotes(pod_.sandbox) +
               " runs the pod in a sandbox, whose memory is fixed when it starts: what is granted "
               "to a container may not reach its programs"});
    }
    return std::move(annotations_.problems);
  }

 private:
  void complain(const FoundAnnotation& found, std::string text) {
    add({found.name, in_quotes(found.value) + " " + std::move(text)});
  }

  void add(PolicyProblem problem) {
    std::vector<PolicyProblem>& problems = annotations_.problems;
    // What the pod says for all its containers is wrong with it once.
    if (problems.size() >= kMostProblems ||
        std::find(problems.begin(), problems.end(), problem) != problems.end()) {
      return;
    }
    problems.push_back(std::move(problem));
  }

  // Who asks for something that nobody gets is told why.
  static std::string unused(Managed why) {
    const std::string nothing = "changes nothing: ";
    if (why == Managed::kInit) return nothing + "an init container is not grown";
    if (why == Managed::kNoLimit) return nothing + "there is no memory limit to grow";
    if (why != Managed::kCannotResize) return nothing + "no container of the pod can be grown";
    return nothing +
           "the API does not resize it, or not without a restart, and the operator does "
           "not allow to write its cgroup (pods.actuation)";
  }

  void tell_unused(const AnnotationSet& set, Managed why) {
    for (std::size_t key = 0; key < kAnnotations; ++key) {
      const auto& found = set.get(static_cast<Annotation>(key));
      if (found) complain(*found, unused(why));
    }
  }

  // A label or an annotation of the pod: "false" on either wins, then what cannot be read.
  Managed pod_enabled() {
    std::array<std::optional<FoundAnnotation>, 2> said{annotations_.pod.get(Annotation::kEnabled)};
    if (const auto label = pod_.labels.find(kEnabledKey); label != pod_.labels.end()) {
      said[1] = FoundAnnotation{kEnabledKey, label->second};
    }
    Managed answer = config_.node.pods.opt_in ? Managed::kNotOptedIn : Managed::kYes;
    for (const std::optional<FoundAnnotation>& each : said) {
      if (!each) continue;
      const Managed here = yes_or_no(*each);
      if (here == Managed::kOptedOut || answer == Managed::kOptedOut) {
        answer = Managed::kOptedOut;
      } else if (answer != Managed::kBadAnnotation) {
        answer = here;
      }
    }
    return answer;
  }

  Managed yes_or_no(const FoundAnnotation& found) {
    const std::optional<bool> yes = parse_yes_no(found.value);
    if (!yes) {
      complain(found, R"(is neither "true" nor "false"; not managed)");
      return Managed::kBadAnnotation;
    }
    return *yes ? Managed::kYes : Managed::kOptedOut;
  }

  // A container can opt in or out by itself, but for a pod that has opted out.
  Managed enabled(std::size_t index) {
    if (!of_pod_) of_pod_ = pod_enabled();
    const auto& own = annotations_.containers[index].get(Annotation::kEnabled);
    if (!own || *of_pod_ == Managed::kOptedOut || *of_pod_ == Managed::kBadAnnotation) {
      return *of_pod_;
    }
    return yes_or_no(*own);
  }

  // What an annotation makes of a range; without it, all that is allowed.
  template <typename Amount>
  Amount narrowed(std::size_t index, Annotation key, const Range<Amount>& range,
                  Result<Amount> (*parse)(std::string_view), std::string_view example,
                  std::string_view otherwise) {
    const FoundAnnotation* found = annotations_.get(index, key);
    if (found == nullptr) return range.allowed;
    const Result<Amount> wanted = parse(found->value);
    const std::string bounds = "; allowed for container " + pod_.containers[index].name + ": " +
                               in_quantity(range.limit) + " (its limit) to " +
                               in_quantity(range.allowed);
    if (!wanted || *wanted < range.limit) {
      complain(*found, (wanted ? "is below the limit"
                               : "is not a quantity such as " + std::string(example)) +
                           bounds + "; " + std::string(otherwise));
      return range.limit;
    }
    if (*wanted > range.allowed) {
      complain(*found, "is more than the operator allows" + bounds + ", which is used");
      return range.allowed;
    }
    return *wanted;
  }

  Bytes ceiling(std::size_t index, Bytes limit) {
    const PodsConfig& pods = config_.node.pods;
    return narrowed(index, Annotation::kMemoryCeiling,
                    up_to(limit, scaled_to_fit(limit, pods.ceiling),
                          smaller(pods.ceiling_max, pod_.memory_limit)),
                    kube::parse_memory, "4Gi", "it is not grown");
  }

  Bytes floor(std::size_t index, Bytes limit, Bytes request) {
    const FoundAnnotation* found = annotations_.get(index, Annotation::kMemoryFloor);
    if (found == nullptr) return limit;
    const Result<Bytes> wanted = kube::parse_memory(found->value);
    // The API server wants a limit of at least a byte, and the kernel of at least a page.
    const Bytes least = std::min(limit, std::max(request, kLeastFloor));
    if (wanted && *wanted >= least && *wanted <= limit) return *wanted;
    complain(*found, std::string(wanted ? "is out of range" : "is not a quantity such as 256Mi") +
                         "; allowed for container " + pod_.containers[index].name + ": " +
                         in_quantity(least) + " to " + in_quantity(limit) +
                         " (its limit), which is used");
    return limit;
  }

  Nanoseconds look_ahead(std::size_t index) {
    const Nanoseconds usual = config_.policy.memory.look_ahead;
    const FoundAnnotation* found = annotations_.get(index, Annotation::kLookAhead);
    if (found == nullptr) return usual;
    const Result<Nanoseconds> wanted = parse_duration(found->value);
    const Nanoseconds most = std::max(config_.node.pods.look_ahead_max, usual);
    const std::string range = "; allowed: " + text_of(kShortestLookAhead) + " to " + text_of(most);
    if (wanted && *wanted > most) {
      complain(*found,
               "is more than the operator allows" + range + "; " + text_of(most) + " is used");
      return most;
    }
    if (wanted && *wanted >= kShortestLookAhead) return *wanted;
    complain(*found, std::string(wanted ? "is too short" : "is not a duration such as 5s") + range +
                         "; " + text_of(usual) + " is used");
    return usual;
  }

  bool dry_run(std::size_t index) {
    if (config_.node.pods.dry_run) return true;
    const FoundAnnotation* found = annotations_.get(index, Annotation::kDryRun);
    if (found == nullptr) return false;
    const std::optional<bool> yes = parse_yes_no(found->value);
    if (!yes) complain(*found, R"(is neither "true" nor "false"; nothing is changed)");
    return yes.value_or(true);
  }

  Actuation actuation(std::size_t index) {
    const Actuation allowed = config_.node.pods.actuation;
    const FoundAnnotation* found = annotations_.get(index, Annotation::kActuation);
    if (found == nullptr) return allowed;
    const std::span<const std::string_view> words =
        std::span(kActuationWords).first(static_cast<std::size_t>(allowed) + 1);
    std::string list;
    for (const std::string_view word : words) list.append(list.empty() ? "" : ", ").append(word);
    Actuation wanted{};
    if (!read_value(found->value, wanted)) {
      complain(*found, "is no way to raise limits; allowed: " + list + "; resize is used");
      return Actuation::kResize;
    }
    if (wanted > allowed) {
      complain(*found, "is more than the operator allows; allowed: " + list + "; " +
                           std::string(to_string(allowed)) + " is used");
      return allowed;
    }
    return wanted;
  }

  // Only where the operator bounds what the namespace may get.
  bool unasked() const {
    const NodeBudgetConfig& budget = config_.node.budget;
    const bool bounded =
        budget.namespace_default || budget.namespaces.contains(pod_.namespace_name);
    return config_.node.fallback.unasked && bounded;
  }

  std::vector<AnnouncedCommand> announce(std::size_t index, Bytes ceiling) {
    const AnnounceConfig& config = config_.node.announce;
    const FoundAnnotation* found = annotations_.get(index, Annotation::kAnnounce);
    if (!config.enabled) {
      if (found != nullptr) complain(*found, "is ignored: the operator has turned that off");
      return {};
    }
    if (found == nullptr) return config.commands;
    Result<std::vector<AnnouncedCommand>> commands = parse_announced(found->value);
    if (!commands) {
      complain(*found, "is no list of commands such as make=2Gi,ninja: " +
                           commands.error().message + "; nothing is announced");
      return {};
    }
    for (const AnnouncedCommand& command : *commands) {
      if (!command.size || *command.size < ceiling) continue;
      complain(*found, "asks for " + in_quantity(*command.size) + " for " +
                           in_quotes(command.name) + "; allowed for container " +
                           pod_.containers[index].name + ": " + in_quantity(ceiling) +
                           " in all, which is what it gets");
    }
    return std::move(*commands);
  }

  std::optional<ContainerCpuPolicy> cpu(std::size_t index, Actuation actuation) {
    const PodsCpuConfig& config = config_.node.cpu;
    const StartupConfig& startup = config_.node.startup;
    const ContainerFacts& facts = pod_.containers[index];
    if (!config.enabled) return ignore_cpu(index, "the operator has turned that off");
    if (pod_.guaranteed) return ignore_cpu(index, "a Guaranteed pod's CPU limit is its request");
    if (facts.cpu_only_cgroup && actuation == Actuation::kResize) return std::nullopt;
    // To the kubelet, a CPU limit of 0 is none.
    const MilliCpu limit = facts.cpu_limit.value_or(MilliCpu{});
    if (limit == MilliCpu{}) return std::nullopt;
    const ContainerCpuPolicy policy{
        .floor = limit,
        .ceiling = narrowed(index, Annotation::kCpuCeiling,
                            up_to(limit, scaled(limit, config.ceiling),
                                  smaller(config.ceiling_max, pod_.cpu_limit)),
                            kube::parse_cpu, "1500m", "it is not grown"),
        .promised = facts.cpu_request.value_or(MilliCpu{}),
        .boost = narrowed(index, Annotation::kStartupBoost,
                          up_to(limit, scaled(limit, startup.boost), startup.boost_max),
                          kube::parse_cpu, "1500m", "it is not boosted"),
        .boost_for = boost_for(index)};
    if (policy.most() == policy.floor) return std::nullopt;
    return policy;
  }

  // Who asks for it is told why there is none.
  std::nullopt_t ignore_cpu(std::size_t index, const std::string& why) {
    for (const Annotation key :
         {Annotation::kCpuCeiling, Annotation::kStartupBoost, Annotation::kStartupTime}) {
      const FoundAnnotation* found = annotations_.get(index, key);
      if (found != nullptr) complain(*found, "is ignored: " + why);
    }
    return std::nullopt;
  }

  Nanoseconds boost_for(std::size_t index) {
    const Nanoseconds most = config_.node.startup.time;
    const FoundAnnotation* found = annotations_.get(index, Annotation::kStartupTime);
    if (found == nullptr) return most;
    const Result<Nanoseconds> wanted = parse_duration(found->value);
    const Nanoseconds used = std::min(most, std::max(wanted.value_or(most), kShortestBoost));
    if (wanted && *wanted == used) return used;
    const std::string_view wrong = !wanted          ? "is not a duration such as 45s"
                                   : *wanted > most ? "is more than the operator allows"
                                                    : "is too short";
    complain(*found, std::string(wrong) + "; allowed: " + text_of(kShortestBoost) + " to " +
                         text_of(most) + "; " + text_of(used) + " is used");
    return used;
  }

  static constexpr Bytes kLeastFloor{4 * kMiB};

  const PodFacts& pod_;
  const Config& config_;
  PodAnnotations annotations_;
  std::optional<Managed> of_pod_;
};

// Of a pod, from its containers.
Managed together(const std::vector<ContainerPolicy>& containers) {
  std::optional<Managed> reason;
  for (const ContainerPolicy& each : containers) {
    if (each.managed == Managed::kYes) return Managed::kYes;
    reason = reason.value_or(each.managed) == each.managed ? each.managed : Managed::kNoContainer;
  }
  return reason.value_or(Managed::kNoContainer);
}

// Each pod of such a class costs memory of its own, that of a guest kernel.
bool is_sandbox(const kube::Pod& pod) {
  constexpr std::array<std::string_view, 3> kKnown{"gvisor", "runsc", "kata"};
  const auto is_known = [&](std::string_view word) {
    return pod.runtime_class.find(word) != std::string::npos;
  };
  return !pod.runtime_class.empty() &&
         (pod.overhead.memory || std::any_of(kKnown.begin(), kKnown.end(), is_known));
}

Managed selected(const PodFacts& pod, const PodsConfig& pods) {
  if (!pods.namespaces.contains(pod.namespace_name)) return Managed::kNamespace;
  if (!pods.selector.matches(pod.labels)) return Managed::kSelector;
  return pod.best_effort ? Managed::kBestEffort : Managed::kYes;
}

}  // namespace

std::string_view to_string(Managed managed) { return word_of(kManaged, managed); }

PodFacts pod_facts(const kube::Pod& pod) {
  PodFacts facts{.namespace_name = pod.id.namespace_name,
                 .labels = pod.labels,
                 .annotations = pod.annotations,
                 .best_effort = pod.qos == kube::QosClass::kBestEffort,
                 .guaranteed = pod.qos.value_or(kube::qos_of(pod)) == kube::QosClass::kGuaranteed};
  if (pod.resources) {
    facts.memory_limit = pod.resources->limits.memory;
    facts.cpu_limit = pod.resources->limits.cpu;
  }
  if (is_sandbox(pod)) facts.sandbox = pod.runtime_class;
  const bool mirror = kube::is_mirror(pod);
  for (const kube::Container& each : pod.containers) {
    const kube::Resources& resources = each.resources;
    const bool refused = mirror || resources.has_claims;
    facts.containers.push_back(
        {.name = each.name,
         .memory_limit = resources.limits.memory,
         .memory_request = resources.requests.memory,
         .cpu_limit = resources.limits.cpu,
         .cpu_request = resources.requests.cpu,
         .init = each.kind == kube::ContainerKind::kInit,
         .only_cgroup = refused || each.memory_resize == kube::ResizePolicy::kRestartContainer,
         .cpu_only_cgroup = refused || each.cpu_resize == kube::ResizePolicy::kRestartContainer});
  }
  return facts;
}

PodPolicy policy_for(const PodFacts& pod, const Config& config) {
  PodPolicy policy{.managed = selected(pod, config.node.pods)};
  if (policy.managed != Managed::kYes) {
    for (const ContainerFacts& each : pod.containers) {
      policy.containers.push_back({.name = each.name, .managed = policy.managed});
    }
    return policy;
  }
  std::vector<std::string> names;
  for (const ContainerFacts& each : pod.containers) names.push_back(each.name);
  Reader reader(pod, config, sort_annotations(pod.annotations, names));
  for (std::size_t i = 0; i < pod.containers.size(); ++i) {
    policy.containers.push_back(reader.read(i));
  }
  policy.managed = together(policy.containers);
  policy.problems = reader.take_problems(policy.managed);
  return policy;
}

ContainerPolicy leaving_policy(std::string name, Managed managed, Bytes declared,
                               std::optional<MilliCpu> declared_cpu) {
  ContainerPolicy policy{.name = std::move(name), .managed = managed, .leaving = true};
  policy.floor = declared;
  policy.ceiling = declared;
  policy.actuation = Actuation::kResizeThenCgroup;
  if (declared_cpu) policy.cpu = leaving_cpu(*declared_cpu);
  return policy;
}

ContainerCpuPolicy leaving_cpu(MilliCpu declared) {
  return {.floor = declared, .ceiling = declared, .promised = {}, .boost = declared};
}

}  // namespace plimsoll::agent
