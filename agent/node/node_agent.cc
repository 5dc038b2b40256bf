// SPDX-License-Identifier: Apache-2.0
#include "agent/node/node_agent.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <utility>

#include "agent/node/publish.h"
#include "agent/node/resident_memory.h"
#include "agent/telemetry/explain.h"
#include "base/clock.h"

namespace plimsoll::agent {
namespace {

// Commands go to the reaction thread and show in the files a moment later.
constexpr Nanoseconds kRaiseShows = std::chrono::milliseconds(20);

// Between two looks at a pod that is brought back to what it declares.
constexpr Nanoseconds kLeaveAgain = std::chrono::seconds(1);

std::uint32_t today() {
  const auto days = std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
  return static_cast<std::uint32_t>(std::max<std::int64_t>(days.time_since_epoch().count(), 0));
}

kube::ApiTime wall_now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

}  // namespace

NodeAgent::NodeAgent(const AgentOptions& options, Config config)
    : options_(options), config_(std::move(config)), api_(config_.node.api.latency) {}

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
  if (state_file_ && pods_) (void)state_file_->flush(pods_->state(), monotonic_now());
  if (floors_file_ && pods_ && announce_)
    (void)floors_file_->flush(floors_state(), monotonic_now());
  announce_.reset();
  startup_.reset();
  pods_.reset();
  engine_.reset();
}

Result<void> NodeAgent::run(int stop_fd) {
  auto alarm = Timer::make();
  auto ticks = Timer::make();
  if (!alarm || !ticks) return tl::unexpected(alarm ? ticks.error() : alarm.error());
  alarm_ = std::move(*alarm);
  ticks_ = std::move(*ticks);
  start_ticks();
  tick(monotonic_now());
  turn(monotonic_now(), true);

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
                                        ticks_.fd(),
                                        alarm_.fd(),
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
    if (ready(kAlarm)) alarm_.clear();
    if (ready(kCgroups)) take_cgroups();
    if (ready(kPods)) take_pods();
    if (ready(kAnnounced)) announce_->react(config_.policy.memory, monotonic_now());
    if (ready(kEngine)) take_records(engine_->collect());
    if (ready(kOutcomes)) take_outcomes();
    if (ready(kFacts)) take_facts();
    if (ready(kConfig)) take_config();
    if (ready(kSystemd)) take_systemd();
    const bool ticked = ready(kTicks);
    if (ticked) {
      ticks_.clear();
      tick(monotonic_now());
    }
    // The first LIST brings the pods one by one, and a turn costs as much for one as for all: until
    // its end, what is there at each tick has its turn.
    if (synced_ || ticked) turn(monotonic_now(), ticked);
    if (explain_server_ && (ready(kExplain) || ticked)) explain_server_->turn(monotonic_now());
    if (ticked) publish(monotonic_now());
  }
}

void NodeAgent::tick(MonotonicTime now) {
  if (!cgroups_->watching() && !cgroups_->rescan().empty()) pods_->cgroups_changed();
  if (drop_pages_at_ && now >= *drop_pages_at_) {
    (void)drop_unneeded_pages();
    drop_pages_at_.reset();
  }
  take_records(engine_->tick(now));
  announce_->tick(config_.policy.memory, now, today());
}

void NodeAgent::start_ticks() { ticks_.set(config_.tick, config_.tick); }

// ---- one turn --------------------------------------------------------------------------------

void NodeAgent::turn(MonotonicTime now, bool ticked) {
  const bool began = settle(now);
  take_announced();
  std::vector<Planned> planned = step_pods(now);
  save(now);
  for (const Planned& each : planned) act(each, now);
  // What the engine tracks from now on, and wider bounds, are armed by its next tick: at once,
  // where a container starts.
  if (std::exchange(boost_may_rise_, false) || began) take_records(engine_->tick(monotonic_now()));
  keep_boosts(monotonic_now(), ticked);
  if (synced_ && !std::exchange(told_armed_, true)) {
    tell_armed(monotonic_now());
    drop_pages_at_ = monotonic_now();  // of handshakes and of the programs' loading
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
bool NodeAgent::settle(MonotonicTime now) {
  const NodePods::Changes changes = pods_->settle(config_, now);
  announce_->follow(pods_->pods(), monotonic_now());
  take_announced();
  forget(changes.ended);
  for (const ContainerRef& subject : changes.began) {
    timelines_.note(subject, monotonic_now(), "watched", "");
  }
  for (const auto& [subject, error] : changes.failed) {
    log_->write(LogLevel::kWarn, "a container cannot be watched",
                {{"namespace", subject.name_space},
                 {"pod", subject.pod},
                 {"container", subject.container},
                 {"error", error.message}});
  }
  for (const auto& [subject, problem] : changes.problems) {
    timelines_.note(subject, monotonic_now(), "annotation", problem.text);
    poster_->post(annotation_notice(subject, problem.text));
  }
  return !changes.began.empty();
}

void NodeAgent::note(LogLevel level, std::string_view sentence, ContainerNote note) {
  log_->write(level, sentence,
              {{"what", note.what},
               {"namespace", note.subject.name_space},
               {"pod", note.subject.pod},
               {"container", note.subject.container},
               {"detail", note.detail}});
  if (pods_->find(note.subject.uid) == nullptr) return;
  timelines_.note(note.subject, monotonic_now(), note.what, std::move(note.detail));
}

void NodeAgent::take_announced() {
  for (ContainerNote& each : announce_->take()) {
    const bool unseen = each.what == kCommandUnseen;
    note(unseen ? LogLevel::kWarn : LogLevel::kDebug, "announced work", std::move(each));
  }
}

void NodeAgent::keep_boosts(MonotonicTime now, bool ticked) {
  startup_->follow(pods_->pods(), config_.node.startup, wall_now(), now, ticked);
  for (ContainerNote& each : startup_->take()) {
    note(LogLevel::kInfo, "start-up boost", std::move(each));
  }
}

void NodeAgent::forget(const std::vector<ContainerRef>& subjects) {
  for (const ContainerRef& subject : subjects) {
    log_->forget(subject);
    timelines_.ended(subject);
  }
}

std::vector<NodeAgent::Planned> NodeAgent::step_pods(MonotonicTime now) {
  std::vector<Planned> planned;
  const ResizeConfig config = resize_config(config_.node, options_.node_name);
  for (auto& [uid, pod] : pods_->pods()) {
    if (pod.wake && *pod.wake <= now) pod.due = true;
    // What starts is boosted as far as the API server has said beforehand.
    const bool waits = pod.containers.empty() && pod.words.empty() && pod.cpu_words.empty() &&
                       pod.outcomes.empty();
    if (!pod.due || (waits && !will_be_boosted(pod))) continue;
    pod.due = false;
    ResizeFacts facts{.pod = &pod.pod,
                      .policies = &pod.policy.containers,
                      .api = api_.status(now),
                      .words = std::exchange(pod.words, {}),
                      .cpu_words = std::exchange(pod.cpu_words, {}),
                      .outcomes = std::exchange(pod.outcomes, {})};
    if (now >= pod.readable_at) facts.reading = pods_->read(pod, now);
    ResizeStep step = agent::step(std::move(pod.resize), facts, now, config);
    pod.resize = std::move(step.state);
    pod.wake = step.wake;
    if (pod.leaves()) {
      pods_->bring_back(pod, now);
      pod.wake = std::min(pod.wake.value_or(now + kLeaveAgain), now + kLeaveAgain);
    }
    for (const ResizeAction& action : step.actions) {
      const auto* set = std::get_if<SetBounds>(&action);
      NodeContainer* container = set == nullptr ? nullptr : pod.find(set->container);
      if (container == nullptr) continue;
      if (const auto* memory = std::get_if<EngineBounds>(&set->bounds)) {
        container->bounds = *memory;
      } else {
        const auto& cpu = std::get<CpuBounds>(set->bounds);
        const bool wider = cpu.direct_ceiling > container->cpu_bounds.direct_ceiling;
        boost_may_rise_ |= wider && startup_->goes_on(container->slot);
        container->set_cpu_bounds(cpu);
      }
    }
    for (const ResizeAnswer& answer : step.answers) {
      tell(ref_of(pod.pod.id, answer.container), answer.answer);
    }
    const bool asks = std::any_of(step.actions.begin(), step.actions.end(), [](const auto& each) {
      return std::holds_alternative<SendResize>(each);
    });
    if (asks) api_.asked(now);  // not those after it
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
  if (saved && *saved) ++state_stats_.writes;
  if (!saved) {
    ++state_stats_.write_failures;
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
  const NodePods::Covers covers{
      .memory = [this](CgroupId id, Limit ceiling) { return state_file_->covers(id, ceiling); },
      .cpu = [this](CgroupId id,
                    MilliCpu ceiling) { return state_file_->covers_cpu(id, ceiling); }};
  constexpr int kAnswers = 2;  // one under way, and the next
  (void)pods_->give_bounds(covers, kAnswers * api_.patch_to_limit(), now);
}

void NodeAgent::act(const Planned& planned, MonotonicTime now) {
  NodePod& pod = *planned.pod;
  const auto failed = [&](std::string_view what, const std::string& container, const Error& error) {
    const ContainerRef subject = ref_of(pod.pod.id, container);
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
      if (kept && resizer_->submit(*send, api_.status(now).ability.path)) continue;
      pod.outcomes.push_back(dropped(*send, now, kept ? kQueueFull : floors_trouble_).outcome);
      pod.due = true;
    } else if (const auto* forget = std::get_if<ForgetWish>(&action)) {
      const NodeContainer* container = pod.find(forget->container);
      if (container == nullptr) continue;
      if (forget->resource == Resource::kMemory) {
        engine_->forget_wish(container->slot);
      } else if (engine_->cpu() != nullptr) {
        engine_->cpu()->forget_wish(container->slot);
      }
    }
  }
}

void NodeAgent::tell_systemd(const PodCgroup& cgroup, Limit limit) {
  if (!systemd_ || cgroup.name.driver != CgroupDriver::kSystemd) return;
  if (auto unit = unit_of_cgroup(cgroup.path)) {
    (void)systemd_->tell({.unit = std::move(*unit), .path = cgroup.path, .memory_max = limit});
  }
}

void NodeAgent::tell(const ContainerRef& subject, const ResizeEvent& answer) {
  activity_.add(answer);
  if (answer.patch_to_limit) api_.note_patch_to_limit(*answer.patch_to_limit);
  log_->answer(subject, answer);
  timelines_.add(subject, answer);
  if (auto notice = notice_of(subject, answer)) poster_->post(std::move(*notice));
}

void NodeAgent::publish(MonotonicTime now) {
  const PodWatcherStatus watcher = watcher_->status();
  const Published parts{.node = options_.node_name,
                        .engine = *engine_,
                        .pods = *pods_,
                        .announce = *announce_,
                        .startup = *startup_,
                        .watcher = watcher,
                        .resizer = *resizer_,
                        .poster = *poster_,
                        .log = *log_,
                        .api = tally_,
                        .activity = activity_,
                        .config = config_state_,
                        .state = state_stats_};
  const bool refused = config_watch_ && config_watch_->error();
  const Troubles troubles{.config = refused ? config_watch_->error()->message : std::string(),
                          .state = state_trouble_.empty() ? floors_trouble_ : state_trouble_};
  board_.publish({stats_of(parts), health_of(parts, troubles, now)});
}

std::string NodeAgent::explain(const ExplainRequest& request) const {
  std::vector<ExplainedContainer> states;
  for (const auto& [uid, pod] : pods_->pods()) {
    if (pod.pod.id.namespace_name != request.name_space || pod.pod.id.name != request.pod) {
      continue;
    }
    for (const kube::Container& container : pod.pod.containers) {
      ExplainedContainer& state = states.emplace_back(pods_->explain(pod, container.name));
      const auto tracked = std::find_if(
          pod.containers.begin(), pod.containers.end(),
          [&](const NodeContainer& each) { return each.policy.name == container.name; });
      if (tracked == pod.containers.end()) continue;
      const std::vector<std::string> announced = announce_->explain(tracked->slot);
      state.notes.insert(state.notes.end(), announced.begin(), announced.end());
      if (auto boost = startup_->explain(tracked->slot); !boost.empty()) {
        state.notes.push_back(std::move(boost));
      }
    }
  }
  const auto now = monotonic_now();
  const auto wall =
      std::chrono::time_point_cast<kube::WallTime::duration>(std::chrono::system_clock::now());
  return explain_json(timelines_, states, request.name_space, request.pod, request.container, now,
                      wall);
}

void NodeAgent::set_alarm(MonotonicTime now) {
  std::optional<MonotonicTime> next = pods_->look_again();
  for (const auto& [uid, pod] : pods_->pods()) {
    const bool is_due = pod.due && (!pod.containers.empty() || will_be_boosted(pod));
    const std::optional<MonotonicTime> wake = is_due ? now : pod.wake;
    if (wake && (!next || *wake < *next)) next = wake;
  }
  // 0 would disarm it.
  const Nanoseconds wait =
      next ? std::max<Nanoseconds>(*next - now, std::chrono::milliseconds(1)) : Nanoseconds{};
  alarm_.set(wait);
}

}  // namespace plimsoll::agent
