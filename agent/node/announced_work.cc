// SPDX-License-Identifier: Apache-2.0
#include "agent/node/announced_work.h"

#include <algorithm>
#include <utility>

#include "agent/policy/reason.h"
#include "agent/reaction/resident_memory.h"

namespace plimsoll::agent {
namespace {

constexpr std::string_view kHashLabel = "pod-template-hash";
// A CronJob calls its Jobs by the minute, since 1970, for which they were due.
constexpr std::size_t kLeastDigits = 8;

std::string_view without_number(std::string_view name) {
  const std::size_t end = name.find_last_not_of("0123456789");
  if (end == std::string_view::npos || name[end] != '-') return name;
  return name.size() - end - 1 >= kLeastDigits ? name.substr(0, end) : name;
}

std::string_view controller_name(const kube::Pod& pod) {
  const std::string_view name = pod.owner->name;
  if (pod.owner->kind == "Job") return without_number(name);
  const auto hash = pod.labels.find(kHashLabel);
  if (pod.owner->kind != "ReplicaSet" || hash == pod.labels.end()) return name;
  const std::string suffix = "-" + hash->second;
  return name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : name;
}

}  // namespace

std::string workload_of(const kube::Pod& pod, std::string_view container) {
  std::string workload = pod.id.namespace_name + "/";
  if (pod.owner) {
    workload.append(pod.owner->kind).append("/").append(controller_name(pod));
  } else {
    workload.append("Pod/").append(pod.id.name);
  }
  return workload.append("/").append(container);
}

NodeAnnounce::NodeAnnounce(Engine& engine, LearnedSizes learned)
    : engine_(engine), announcer_({}, [this](const AnnouncedNews& news) { tell(news); }) {
  announcer_.set_learned(std::move(learned));
}

void NodeAnnounce::follow(const std::map<std::string, NodePod>& pods, MonotonicTime now) {
  struct Wanted {
    const NodePod* pod = nullptr;
    const NodeContainer* container = nullptr;
  };
  std::map<Slot, Wanted> wanted;
  for (const auto& [uid, pod] : pods) {
    for (const NodeContainer& container : pod.containers) {
      if (!container.policy.announce.empty()) wanted[container.slot] = {&pod, &container};
    }
  }
  const auto stays = [&](Slot slot, const Watched& watched) {
    const auto found = wanted.find(slot);
    return found != wanted.end() && found->second.container->cgroup.id == watched.id &&
           found->second.container->policy.announce == watched.commands;
  };
  for (auto each = watched_.begin(); each != watched_.end();) {
    if (stays(each->first, each->second)) {
      ++each;
      continue;
    }
    announcer_.unwatch(engine_, each->first, now);
    each = watched_.erase(each);
  }
  for (const auto& [slot, one] : wanted) {
    if (!watched_.contains(slot)) watch(*one.pod, *one.container);
  }
}

void NodeAnnounce::watch(const NodePod& pod, const NodeContainer& container) {
  const bool first = announcer_.fd() < 0;
  if (first && trouble_.empty() && engine_.status().tier == bpf::Tier::kC) {
    trouble_ = "tier C uses no BPF";
  }
  const ContainerPolicy& policy = container.policy;
  Result<void> done = fail(Code::kUnsupported, trouble_);
  if (trouble_.empty()) {
    done = announcer_.watch(container.slot, container.group, policy.announce,
                            workload_of(pod.pod, policy.name));
  }
  if (!done && done.error().code == Code::kGone) return;  // as the pods will be told
  watched_[container.slot] = {container.cgroup.id, container.subject, policy.announce};
  if (done) {
    // Of the programs' loading.
    if (first) (void)drop_unneeded_pages();
    return;
  }
  // Without programs the next one would fail in the same way.
  if (announcer_.fd() < 0) trouble_ = done.error().message;
  ++totals_.failures;
  notes_.push_back({container.subject, kCommandUnseen, done.error().message});
}

void NodeAnnounce::react(const MemoryPolicy& policy, MonotonicTime now) {
  announcer_.react(engine_, policy, now);
}

void NodeAnnounce::tick(const MemoryPolicy& policy, MonotonicTime now, std::uint32_t day) {
  announcer_.set_day(day);
  announcer_.tick(engine_, policy, now);
}

void NodeAnnounce::tell(const AnnouncedNews& news) {
  const auto found = watched_.find(news.slot);
  if (found == watched_.end()) return;
  std::string detail = news.command;
  if (news.ended) {
    ++totals_.ended;
    totals_.grown_bytes += news.grown.value_or(Bytes{}).value;
    detail += " after " + in_seconds(news.lasted);
    if (news.grown) detail += ", grew by " + to_string(*news.grown);
  } else {
    ++totals_.begun;
    totals_.provided_bytes += news.size.value;
    detail += (news.found ? " runs already, " : ", ") + to_string(news.size) + " are provided for";
  }
  notes_.push_back(
      {found->second.subject, news.ended ? kCommandEnded : kCommandBegins, std::move(detail)});
}

AnnouncedStats NodeAnnounce::stats() const {
  AnnouncedStats stats = totals_;
  stats.containers = announcer_.containers();
  stats.running = announcer_.running();
  stats.learned = announcer_.learned().commands();
  stats.kernel = announcer_.counters();
  return stats;
}

std::vector<std::string> NodeAnnounce::explain(Slot slot) const {
  std::vector<std::string> lines;
  for (const AnnouncedUse& use : announcer_.use(slot)) {
    std::string line = "announces " + use.command.name + ": ";
    if (use.command.size) {
      line += to_string(*use.command.size);
    } else if (use.next_size) {
      line += to_string(*use.next_size) + ", as it was learned";
    } else {
      line += "one step, until it has ended once";
    }
    if (use.running > 0) line += "; runs now";
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace plimsoll::agent
