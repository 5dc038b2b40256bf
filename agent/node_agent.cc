// SPDX-License-Identifier: Apache-2.0
#include "agent/node_agent.h"

#include <poll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "agent/resident.h"

namespace plimsoll::agent {
namespace {

// Commands go to the reaction thread and show in the files a moment later.
constexpr Nanoseconds kRaiseShows = std::chrono::milliseconds(20);

MonotonicTime now() {
  return std::chrono::time_point_cast<Nanoseconds>(std::chrono::steady_clock::now());
}

std::uint32_t today() {
  const auto days = std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
  return static_cast<std::uint32_t>(std::max<std::int64_t>(days.time_since_epoch().count(), 0));
}

kube::WallTime wall_now() {
  return std::chrono::time_point_cast<kube::WallTime::duration>(std::chrono::system_clock::now());
}

Result<Fd> make_timer() {
  Fd fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!fd) return errno_error(errno, "make a timer");
  return fd;
}

void set_timer(const Fd& fd, Nanoseconds first, Nanoseconds period) {
  const auto spec_of = [](Nanoseconds time) {
    return timespec{.tv_sec = time.count() / 1'000'000'000,
                    .tv_nsec = time.count() % 1'000'000'000};
  };
  const itimerspec spec{.it_interval = spec_of(period), .it_value = spec_of(first)};
  ::timerfd_settime(fd.get(), 0, &spec, nullptr);
}

void clear(const Fd& timer) {
  std::uint64_t expirations = 0;
  [[maybe_unused]] const auto got = ::read(timer.get(), &expirations, sizeof(expirations));
}

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

NodeAgent::NodeAgent(const AgentOptions& options, Config config)
    : options_(options), config_(std::move(config)), latency_(config_.node.api.latency) {}

NodeAgent::~NodeAgent() {
  // Those that bring news first, then those that write it down.
  status_server_.reset();
  explain_server_.reset();
  watcher_.reset();
  probe_.reset();
  resizer_.reset();
  if (event_client_) event_client_->stop();
  poster_.reset();
  systemd_.reset();
  if (state_file_ && pods_) (void)state_file_->flush(pods_->state(), now());
  if (floors_file_ && pods_ && announce_) (void)floors_file_->flush(floors_state(), now());
  announce_.reset();
  pods_.reset();
  engine_.reset();
}

Result<void> NodeAgent::run(int stop_fd) {
  auto alarm = make_timer();
  auto ticks = make_timer();
  if (!alarm || !ticks) return tl::unexpected(alarm ? ticks.error() : alarm.error());
  alarm_ = std::move(*alarm);
  ticks_ = std::move(*ticks);
  set_timer(ticks_, config_.tick, config_.tick);
  tick(now());
  turn(now(), true);

  enum Source : std::uint8_t {
    kStop,
    kTicks,
    kAlarm,
    kEngine,
    kPods,
    kOutcomes,
    kFacts,
    kCgroups,
    kConfig,
    kSystemd,
    kExplain,
    kAnnounced,
    kSources
  };
  std::array<pollfd, kSources> waits{};
  while (true) {
    const std::array<int, kSources> fds{stop_fd,
                                        ticks_.get(),
                                        alarm_.get(),
                                        engine_->report_fd(),
                                        watcher_->change_fd(),
                                        resizer_->outcome_fd(),
                                        probe_->fact_fd(),
                                        cgroups_->watch_fd(),
                                        config_watch_ ? config_watch_->fd() : -1,
                                        systemd_ ? systemd_->outcome_fd() : -1,
                                        explain_server_ ? explain_server_->poll_fd() : -1,
                                        announce_->fd()};
    for (std::size_t i = 0; i < kSources; ++i)
      waits[i] = {.fd = fds[i], .events = POLLIN, .revents = 0};
    if (::poll(waits.data(), waits.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return errno_error(errno, "wait for news");
    }
    const auto ready = [&](Source source) { return waits[source].revents != 0; };
    if (ready(kStop)) return {};
    if (ready(kAlarm)) clear(alarm_);
    if (ready(kCgroups)) take_cgroups();
    if (ready(kPods)) take_pods();
    if (ready(kAnnounced)) announce_->react(config_.policy.memory, now());
    if (ready(kEngine)) take_records(engine_->collect());
    if (ready(kOutcomes)) take_outcomes();
    if (ready(kFacts)) take_facts();
    if (ready(kConfig)) take_config();
    if (ready(kSystemd)) take_systemd();
    const bool ticked = ready(kTicks);
    if (ticked) {
      clear(ticks_);
      tick(now());
    }
    turn(now(), ticked);
    if (explain_server_ && (ready(kExplain) || ticked)) explain_server_->turn(now());
    if (ticked) publish(now());
  }
}

// ---- news ------------------------------------------------------------------------------------

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
          note_api(kube::Refusal{.cause = kube::Cause::kTransport}, agent::now());
        }
        break;
      case kube::PodChange::Kind::kResumed:
        log_->write(LogLevel::kInfo, "the API server is watched again", {});
        note_api(std::nullopt, agent::now());
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
    sight_.activity.add(record);
    const SlotOwner* owner = pods_->owner(record.slot);
    NodePod* pod = owner == nullptr ? nullptr : pods_->find(owner->uid);
    if (pod == nullptr) continue;
    // A pod's own limit follows its containers': the kubelet raises both for one request.
    if (owner->container.empty() && record.kind == Record::Kind::kWish) continue;
    const Subject subject = subject_of(pod->pod.id, owner->container);
    log_->record(subject, record);
    timelines_.add(subject, record);
    if (auto notice = notice_of(subject, record)) poster_->post(std::move(*notice));
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

void NodeAgent::take_outcomes() {
  for (ResizerOutcome& outcome : resizer_->collect()) {
    note_api(outcome.outcome.refusal, outcome.outcome.answered);
    NodePod* pod = pods_->find(outcome.uid);
    if (pod == nullptr) continue;
    pod->outcomes.push_back(std::move(outcome.outcome));
    pod->due = true;
  }
}

void NodeAgent::take_facts() {
  auto facts = probe_->take();
  if (!facts || facts == api_facts_) return;
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
  api_facts_ = std::move(facts);
  set_allocatable();
  note_api(std::nullopt, now());
  all_due();
}

void NodeAgent::set_allocatable() {
  if (!api_facts_ || !api_facts_->node || !api_facts_->node->allocatable) return;
  engine_->set_allocatable(scaled(*api_facts_->node->allocatable, config_.node.budget.node_share));
}

ApiSight NodeAgent::api_sight(MonotonicTime now) const {
  ApiSight sight{.ability = {.path = kube::ResizePath::kSubresource},
                 .away = api_health_.away || !api_facts_,
                 .may_ask = api_facts_ && has_turn(api_health_, now),
                 .ask_at = api_facts_ ? std::optional(api_health_.next_turn) : std::nullopt,
                 .slow = api_health_.slow,
                 .patch_to_limit = latency_.nine_of_ten()};
  if (!api_facts_) return sight;
  sight.ability = {.path = api_facts_->path, .minor = api_facts_->version.minor};
  if (api_facts_->node) {
    sight.ability.init_containers = api_facts_->node->resizes_init_containers;
    sight.ability.pod_level = api_facts_->node->resizes_pod_level;
  }
  return sight;
}

void NodeAgent::note_api(const std::optional<kube::Refusal>& refusal, MonotonicTime now) {
  const bool away = api_health_.away;
  note_exchange(api_health_, refusal, now);
  if (api_health_.away == away) return;
  log_->write(LogLevel::kWarn,
              away ? "the API server answers again" : "the API server is of no use for now",
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
  config_state_.last_success_unix_seconds =
      std::chrono::duration<double>(wall_now().time_since_epoch()).count();
  config_ = **news;
  const auto later = engine_->reconfigure(config_);
  log_->set_level(config_.node.log_level);
  timelines_.set_bounds({.entries = config_.node.explain_history});
  set_timer(ticks_, config_.tick, config_.tick);
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

void NodeAgent::tick(MonotonicTime now) {
  if (!cgroups_->watching() && !cgroups_->rescan().empty()) pods_->cgroups_changed();
  take_records(engine_->tick(now));
  announce_->tick(config_.policy.memory, now, today());
}

// ---- one turn --------------------------------------------------------------------------------

void NodeAgent::turn(MonotonicTime now, bool ticked) {
  // To settle one pod costs as much as to settle all, and the first LIST brings them one by one:
  // until its end, what is there at each tick is settled.
  const bool began = (synced_ || ticked) && settle();
  take_announced();
  std::vector<Planned> planned = step_pods(now);
  save(now);
  for (const Planned& each : planned) act(each, now);
  // What the engine tracks from now on is armed by its next tick.
  if (began) take_records(engine_->tick(agent::now()));
  if (synced_ && !std::exchange(told_armed_, true)) {
    tell_armed(agent::now());
    (void)drop_startup_pages();  // of handshakes and of the programs' loading
  }
  set_alarm(now);
}

void NodeAgent::tell_armed(MonotonicTime now) {
  const auto& arming = engine_->plan().arming;
  const auto armed = std::count_if(arming.begin(), arming.end(),
                                   [](const Arming& each) { return !each.armed.denial; });
  const auto since = watcher_->status().list_began.value_or(now);
  log_->write(LogLevel::kInfo, "all pods of the node are known",
              {{"pods", std::uint64_t{pods_->pods().size()}},
               {"tracked", std::uint64_t{pods_->tracked()}},
               {"armed", static_cast<std::uint64_t>(armed)},
               {"since_list_seconds", std::chrono::duration<double>(now - since).count()}});
}

// Whether something is tracked that was not.
bool NodeAgent::settle() {
  const NodePods::Changes changes = pods_->settle(config_);
  announce_->follow(pods_->pods(), agent::now());
  take_announced();
  forget(changes.ended);
  for (const Subject& subject : changes.began) {
    timelines_.note(subject, agent::now(), "watched", "");
  }
  for (const auto& [subject, error] : changes.failed) {
    log_->write(LogLevel::kWarn, "a container cannot be watched",
                {{"namespace", subject.name_space},
                 {"pod", subject.pod},
                 {"container", subject.container},
                 {"error", error.message}});
  }
  for (const auto& [subject, problem] : changes.problems) {
    timelines_.note(subject, agent::now(), "annotation", problem.text);
    poster_->post(annotation_notice(subject, problem.text));
  }
  return !changes.began.empty();
}

void NodeAgent::take_announced() {
  for (AnnounceNote& note : announce_->take()) {
    log_->write(note.what == kCommandUnseen ? LogLevel::kWarn : LogLevel::kDebug, "announced work",
                {{"what", note.what},
                 {"namespace", note.subject.name_space},
                 {"pod", note.subject.pod},
                 {"container", note.subject.container},
                 {"detail", note.detail}});
    if (pods_->find(note.subject.uid) == nullptr) continue;
    timelines_.note(note.subject, agent::now(), note.what, std::move(note.detail));
  }
}

void NodeAgent::forget(const std::vector<Subject>& subjects) {
  for (const Subject& subject : subjects) {
    log_->forget(subject);
    timelines_.ended(subject);
  }
}

std::vector<NodeAgent::Planned> NodeAgent::step_pods(MonotonicTime now) {
  std::vector<Planned> planned;
  const ResizeConfig config = resize_config(config_.node, options_.node_name);
  for (auto& [uid, pod] : pods_->pods()) {
    if (pod.wake && *pod.wake <= now) pod.due = true;
    if (!pod.due || (pod.containers.empty() && pod.words.empty() && pod.outcomes.empty())) continue;
    pod.due = false;
    ResizeFacts facts{.pod = &pod.pod,
                      .policies = &pod.policy.containers,
                      .api = api_sight(now),
                      .words = std::exchange(pod.words, {}),
                      .outcomes = std::exchange(pod.outcomes, {})};
    if (now >= pod.readable_at) facts.reading = pods_->read(pod, now);
    ResizeStep step = agent::step(std::move(pod.resize), facts, now, config);
    pod.resize = std::move(step.state);
    pod.wake = step.wake;
    for (const ResizeAction& action : step.actions) {
      const auto* bounds = std::get_if<SetBounds>(&action);
      NodeContainer* container = bounds == nullptr ? nullptr : pod.find(bounds->container);
      if (container != nullptr) container->bounds = bounds->bounds;
    }
    for (const ResizeAnswer& answer : step.answers) {
      tell(subject_of(pod.pod.id, answer.container), answer.answer);
    }
    const bool asks = std::any_of(step.actions.begin(), step.actions.end(), [](const auto& each) {
      return std::holds_alternative<SendResize>(each);
    });
    if (asks && api_health_.away) took_turn(api_health_, now);  // not those after it
    if (!step.actions.empty()) planned.push_back({&pod, std::move(step.actions)});
  }
  return planned;
}

NodeState NodeAgent::floors_state() const {
  NodeState floors = pods_->floors();
  floors.learned = announce_->learned();
  return floors;
}

void NodeAgent::save_one(StateFile& file, NodeState state, std::string& trouble,
                         MonotonicTime now) {
  const auto saved = file.update(std::move(state), now);
  if (saved && *saved) ++sight_.state_writes;
  if (!saved) {
    ++sight_.state_write_failures;
    if (trouble.empty()) {
      log_->write(LogLevel::kError,
                  "the state cannot be saved, no limit is raised that is not in it",
                  {{"error", saved.error().message}});
    }
  }
  trouble = saved ? std::string() : saved.error().message;
}

// What may be written is on disk before it may be written, and a floor before the API forgets it.
void NodeAgent::save(MonotonicTime now) {
  save_one(*state_file_, pods_->state(), state_trouble_, now);
  save_one(*floors_file_, floors_state(), floors_trouble_, now);
  const auto covers = [this](CgroupId id, Limit direct_ceiling) {
    return state_file_->covers(id, direct_ceiling);
  };
  constexpr int kAnswers = 2;  // one under way, and the next
  (void)pods_->give_bounds(covers, kAnswers * latency_.nine_of_ten(), now);
}

void NodeAgent::act(const Planned& planned, MonotonicTime now) {
  NodePod& pod = *planned.pod;
  const auto failed = [&](std::string_view what, const std::string& container, const Error& error) {
    const Subject subject = subject_of(pod.pod.id, container);
    log_->write(LogLevel::kWarn, "a limit was not changed",
                {{"what", what},
                 {"namespace", subject.name_space},
                 {"pod", subject.pod},
                 {"container", subject.container},
                 {"error", error.message}});
  };
  for (const ResizeAction& action : planned.actions) {
    if (const auto* raise = std::get_if<RaiseLimit>(&action)) {
      const NodeContainer* container = pod.find(raise->container);
      if (container == nullptr) continue;
      const auto raised = engine_->raise(container->slot, raise->limit, raise->reason);
      if (!raised) failed("raise", raise->container, raised.error());
      pod.readable_at = now + kRaiseShows;
    } else if (const auto* lower = std::get_if<LowerLimit>(&action)) {
      NodeContainer* container = pod.find(lower->container);
      if (container == nullptr) continue;
      const auto lowered = engine_->lower(container->slot, lower->limit, lower->reason);
      if (!lowered) {
        failed("lower", lower->container, lowered.error());
      } else {
        container->written = limit_of(*lowered);
        tell_systemd(container->cgroup, limit_of(*lowered));
      }
    } else if (const auto* repair = std::get_if<RepairSlice>(&action)) {
      if (!pod.slice || !pod.slice->slot) continue;
      const auto raised = engine_->raise(*pod.slice->slot, repair->limit, Reason::kBelowChildren);
      if (!raised) failed("repair", "", raised.error());
      pod.readable_at = now + kRaiseShows;
    } else if (const auto* send = std::get_if<SendResize>(&action)) {
      const bool kept = send->resize.dry_run || pods_->floors_kept(pod, floors_file_->saved());
      if (kept && resizer_->submit(*send, api_sight(now).ability.path)) continue;
      pod.outcomes.push_back(dropped(*send, now, kept ? kQueueFull : floors_trouble_).outcome);
      pod.due = true;
    } else if (const auto* forget = std::get_if<ForgetWish>(&action)) {
      const NodeContainer* container = pod.find(forget->container);
      if (container != nullptr) engine_->forget_wish(container->slot);
    }
  }
}

void NodeAgent::tell_systemd(const PodCgroup& cgroup, Limit limit) {
  if (!systemd_ || cgroup.name.driver != CgroupDriver::kSystemd) return;
  if (auto unit = unit_of_cgroup(cgroup.path)) {
    (void)systemd_->tell({.unit = std::move(*unit), .path = cgroup.path, .memory_max = limit});
  }
}

void NodeAgent::tell(const Subject& subject, const ApiAnswer& answer) {
  sight_.activity.add(answer);
  if (answer.patch_to_limit) latency_.add(*answer.patch_to_limit);
  log_->answer(subject, answer);
  timelines_.add(subject, answer);
  if (auto notice = notice_of(subject, answer)) poster_->post(std::move(*notice));
}

void NodeAgent::set_alarm(MonotonicTime now) {
  std::optional<MonotonicTime> next;
  for (const auto& [uid, pod] : pods_->pods()) {
    const std::optional<MonotonicTime> wake = pod.due && !pod.containers.empty() ? now : pod.wake;
    if (wake && (!next || *wake < *next)) next = wake;
  }
  // 0 would disarm it.
  const Nanoseconds wait =
      next ? std::max<Nanoseconds>(*next - now, std::chrono::milliseconds(1)) : Nanoseconds{};
  set_timer(alarm_, wait, {});
}

}  // namespace plimsoll::agent
