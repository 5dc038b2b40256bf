// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/node_agent.h"

#include <stdexcept>
#include <utility>

#include "base/clock.h"

namespace plimsoll::sim {
namespace {

// The resizer's rates, without its burst: requests leave one after the other.
constexpr Nanoseconds kBetweenRequests = std::chrono::milliseconds(20);
constexpr Nanoseconds kBetweenDryRuns = std::chrono::milliseconds(200);

template <typename T>
std::unique_ptr<T> made(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::make_unique<T>(std::move(*result));
}

// Lines go nowhere; one thread for the whole program.
agent::DecisionLog& log() {
  static const std::unique_ptr<agent::DecisionLog> log = [] {
    auto opened = agent::DecisionLog::open(
        {.level = agent::LogLevel::kError, .queue = 512, .file = "/dev/null"});
    if (!opened) throw std::runtime_error(opened.error().message);
    return std::move(*opened);
  }();
  return *log;
}

}  // namespace

NodeAgent::NodeAgent(const std::filesystem::path& files, Cgroups& cgroups, agent::Config config)
    : config_(std::move(config)) {
  root_ = made(cgroup::Root::open(cgroups.top().string(), cgroup::Filesystem::kAny));
  state_ = made(agent::StateStore::open((files / "run" / "state").string(),
                                        (files / "lib" / "floors").string()));
  auto engine = agent::Engine::start({.policy = config_.policy,
                                      .hold = config_.hold,
                                      .tier = bpf::Tier::kC,
                                      .own_threads = false});
  if (!engine) throw std::runtime_error(engine.error().message);
  engine_ = std::move(*engine);
  if (auto started = engine_->start_cpu(); !started) {
    throw std::runtime_error(started.error().message);
  }
  cgroups_ = made(agent::PodCgroups::open(*root_));
  pods_ = std::make_unique<agent::NodePods>(*root_, *engine_, *cgroups_, state_->found(),
                                            state_->found_floors());
  announce_ = std::make_unique<agent::NodeAnnounce>(*engine_, state_->found_floors().learned);
  startup_ = std::make_unique<agent::NodeStartup>(*engine_);
  poster_ =
      std::make_unique<agent::EventPoster>(agent::EventPosterOptions{}, agent::EventPoster::Send());
  reporter_ = std::make_unique<agent::Reporter>(log(), *poster_);
  reporter_->reconfigure(config_.node);
  turn_ = std::make_unique<agent::NodeTurn>(agent::TurnTools{
      .config = config_,
      .node = node_,
      .engine = *engine_,
      .cgroups = *cgroups_,
      .pods = *pods_,
      .announce = *announce_,
      .startup = *startup_,
      .state = *state_,
      .reporter = *reporter_,
      .log = log(),
      .systemd = nullptr,
      .submit = [this](const agent::SendResize& send, kube::ResizePath) { return submit(send); }});
}

bool NodeAgent::submit(const agent::SendResize& send) {
  const MonotonicTime now = monotonic_now();
  MonotonicTime& next = send.resize.dry_run ? next_dry_run_ : next_request_;
  const MonotonicTime at = std::max(now, next);
  next = at + (send.resize.dry_run ? kBetweenDryRuns : kBetweenRequests);
  asked_.push_back({send, at});
  return true;
}

void NodeAgent::reconfigure(agent::Config config) {
  config_ = std::move(config);
  turn_->reconfigure();
}

void NodeAgent::give_away(MonotonicTime now) {
  engine_->stop_writing();
  turn_->on_records(engine_->collect());
  turn_->flush(now);
  state_->release();
}

// Until the first LIST ends only ticks have turns.
std::optional<MonotonicTime> NodeAgent::next(MonotonicTime now) const {
  return turn_->synced() ? turn_->next(now) : std::nullopt;
}

void NodeAgent::react() {
  engine_->react();
  turn_->on_records(engine_->collect());
}

void NodeAgent::turn(MonotonicTime now, bool ticked) {
  if (!cgroups_->drain().empty()) pods_->set_stale();
  react();
  if (ticked) {
    turn_->tick(now);
    react();
  }
  if (turn_->synced() || ticked) turn_->turn(now, ticked);
  react();
}

}  // namespace plimsoll::sim
