// SPDX-License-Identifier: Apache-2.0
// The half of node_agent.h that takes news in: of pods, cgroups, the engine, the API server, the
// configuration, systemd.
#include <algorithm>
#include <utility>

#include "agent/config/keys.h"
#include "agent/node/node_agent.h"
#include "base/clock.h"

namespace plimsoll::agent {
namespace {

// After so long without an answer to a request, what requests use is given back.
constexpr Nanoseconds kQuiet = std::chrono::seconds(10);

EngineWord::Kind word_of(Record::Kind kind) {
  switch (kind) {
    case Record::Kind::kGrant:
      return EngineWord::Kind::kGrant;
    case Record::Kind::kShrink:
      return EngineWord::Kind::kShrink;
    default:
      return EngineWord::Kind::kWish;
  }
}

}  // namespace

void NodeAgent::take_pods() {
  for (kube::PodChange& change : watcher_->take()) {
    switch (change.kind) {
      case kube::PodChange::Kind::kPresent:
        pods_->present(std::move(change.pod), config_);
        break;
      case kube::PodChange::Kind::kGone:
        forget(pods_->gone(change.pod.id.uid));
        break;
      case kube::PodChange::Kind::kSynced:
        pods_->forget_unseen();
        synced_ = true;
        break;
      case kube::PodChange::Kind::kSkipped:
        log_->write(LogLevel::kWarn, "a pod could not be read",
                    {{"namespace", change.pod.id.namespace_name},
                     {"pod", change.pod.id.name},
                     {"error", change.error.message}});
        break;
      case kube::PodChange::Kind::kFailed:
        log_->write(LogLevel::kWarn, "the API server cannot be watched",
                    {{"error", change.error.message}});
        if (change.error.code == Code::kUnavailable) {
          note_api(kube::Refusal{.cause = kube::Cause::kTransport}, monotonic_now());
        }
        break;
      case kube::PodChange::Kind::kResumed:
        log_->write(LogLevel::kInfo, "the API server is watched again", {});
        note_api(std::nullopt, monotonic_now());
        probe_->ask_again();
        break;
    }
  }
}

void NodeAgent::take_cgroups() {
  if (!cgroups_->drain().empty()) pods_->cgroups_changed();
}

void NodeAgent::take_records(const std::vector<Record>& records) {
  for (const Record& record : records) {
    activity_.add(record);
    const SlotOwner* owner = pods_->owner(record.slot);
    NodePod* pod = owner == nullptr ? nullptr : pods_->find(owner->uid);
    if (pod == nullptr) continue;
    // A pod's own limit follows its containers': the kubelet raises both for one request.
    if (owner->container.empty() && record.kind == Record::Kind::kWish) continue;
    const ContainerRef subject = ref_of(pod->pod.id, owner->container);
    log_->record(subject, record);
    timelines_.add(subject, record);
    if (auto notice = notice_of(subject, record)) poster_->post(std::move(*notice));
    if (record.cpu) {
      take_cpu_record(record, *pod, owner->container);
      continue;
    }
    const bool written =
        record.kind == Record::Kind::kGrant || record.kind == Record::Kind::kShrink;
    if (!written && record.kind != Record::Kind::kWish) continue;
    if (owner->container.empty()) {
      if (pod->slice && written) {
        pod->slice->written = limit_of(record.to);
        tell_systemd(pod->slice->cgroup, limit_of(record.to));
      }
      continue;
    }
    NodeContainer* container = pod->find(owner->container);
    if (container == nullptr) continue;
    if (written) {
      container->written = limit_of(record.to);
      tell_systemd(container->cgroup, limit_of(record.to));
    }
    pod->words.push_back({.kind = word_of(record.kind),
                          .container = owner->container,
                          .from = record.from,
                          .to = record.to,
                          .rate_per_second = record.facts.rate_per_second,
                          .layer = record.layer,
                          .reason = record.reason,
                          .at = record.at});
    pod->due = true;
  }
}

void NodeAgent::take_cpu_record(const Record& record, NodePod& pod, const std::string& name) {
  const CpuChange& change = *record.cpu;
  const bool written = record.kind == Record::Kind::kGrant || record.kind == Record::Kind::kShrink;
  // A burst leaves the limit as it is.
  if (change.burst || (!written && record.kind != Record::Kind::kWish)) return;
  if (name.empty()) {
    if (pod.slice && pod.slice->cpu && written) pod.slice->cpu->written = change.to;
    return;
  }
  NodeContainer* container = pod.find(name);
  if (container == nullptr || !container->cpu) return;
  if (written) container->cpu->written = change.to;
  pod.cpu_words.push_back({.kind = word_of(record.kind),
                           .container = name,
                           .from = change.from,
                           .to = change.to,
                           .reason = record.reason,
                           .at = record.at});
  pod.due = true;
}

void NodeAgent::take_outcomes() {
  for (ResizerOutcome& outcome : resizer_->collect()) {
    drop_pages_at_ = outcome.outcome.answered + kQuiet;
    note_api(outcome.outcome.refusal, outcome.outcome.answered);
    NodePod* pod = pods_->find(outcome.uid);
    if (pod == nullptr) continue;
    pod->outcomes.push_back(std::move(outcome.outcome));
    pod->due = true;
  }
}

void NodeAgent::take_facts() {
  const auto facts = probe_->take();
  if (!facts || !api_.learn(*facts)) return;
  log_->write(LogLevel::kInfo, "the API server is known",
              {{"version", facts->version.git_version},
               {"resize", kube::to_string(facts->path)},
               {"may_resize", facts->may_resize.value_or(false)}});
  if (facts->may_resize == false) {
    log_->write(LogLevel::kError,
                "the service account may not resize pods; deploy/daemonset.yaml has the rule", {});
  }
  if (!facts->trouble.empty()) {
    log_->write(LogLevel::kWarn, "something of the API server is not known",
                {{"error", facts->trouble}});
  }
  set_allocatable();
  note_api(std::nullopt, monotonic_now());
  all_due();
}

void NodeAgent::set_allocatable() {
  if (!api_.facts() || !api_.facts()->node) return;
  const kube::Node& node = *api_.facts()->node;
  engine_->set_allocatable_cpu(node.allocatable_cpu);
  if (!node.allocatable) return;
  engine_->set_allocatable(scaled(*node.allocatable, config_.node.budget.node_share));
}

void NodeAgent::note_api(const std::optional<kube::Refusal>& refusal, MonotonicTime now) {
  if (!api_.note(refusal, now)) return;
  log_->write(LogLevel::kWarn,
              api_.away() ? "the API server is of no use for now" : "the API server answers again",
              {{"error", refusal ? std::string_view(refusal->message) : std::string_view()}});
  all_due();
}

void NodeAgent::all_due() {
  for (auto& [uid, pod] : pods_->pods()) pod.due = true;
}

void NodeAgent::take_config() {
  auto news = config_watch_->take();
  if (!news) return;
  config_state_.generation = config_watch_->generation();
  config_state_.last_reload_good = news->has_value();
  if (!*news) {
    ++config_state_.failures;
    log_->write(LogLevel::kError, "the configuration is refused, the last good one stays",
                {{"error", news->error().message}});
    poster_->post(config_notice(options_.node_name, news->error().message));
    return;
  }
  config_state_.taken = std::chrono::system_clock::now();
  const auto later = keys_for_next_start(config_, **news);
  config_ = **news;
  engine_->reconfigure(config_.policy);
  log_->set_level(config_.node.log_level);
  timelines_.set_bounds({.entries = config_.node.explain_history});
  start_ticks();
  set_allocatable();
  pods_->reconfigure(config_);
  log_->write(LogLevel::kInfo, "the configuration is in force",
              {{"generation", config_state_.generation}});
  for (const std::string_view key : later) {
    log_->write(LogLevel::kWarn, "a changed key takes effect at the next start", {{"key", key}});
  }
}

void NodeAgent::take_systemd() {
  for (const UnitOutcome& outcome : systemd_->collect()) {
    if (!outcome.error || outcome.error->code == Code::kGone) continue;
    log_->write(LogLevel::kWarn, "systemd was not told a limit",
                {{"unit", outcome.limits.unit}, {"error", outcome.error->message}});
  }
}

}  // namespace plimsoll::agent
