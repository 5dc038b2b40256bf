// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/world.h"

#include <malloc.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "agent/resize/resizer.h"
#include "tests/sim/clock.h"
#include "tests/sim/machine.h"

namespace plimsoll::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Nanoseconds kProgramStep = milliseconds(100);
// From a request to its answer, and of that from the answer's making to its arrival.
constexpr Nanoseconds kAnswerTime = milliseconds(40);
// Ticks while nothing happens: an overloaded node's, and quicker to simulate.
constexpr Nanoseconds kCalmTick = seconds(10);
constexpr Nanoseconds kBusyFor = seconds(5);
// A write below what is in use reclaims for so long before it kills.
constexpr Nanoseconds kReclaims = seconds(1);
constexpr Bytes kAtStart{16 * kMiB};
constexpr Nanoseconds kTail = seconds(20);
// A container that has died is started again.
constexpr Nanoseconds kStartsAgain = milliseconds(500);
// A LIST that was refused is tried again.
constexpr Nanoseconds kListAgain = seconds(2);

constexpr std::array<const char*, 2> kNamespaces{"team-a", "team-b"};
constexpr const char* kNode = "node-a";

constexpr Bytes mib(std::int64_t n) { return {static_cast<std::uint64_t>(n) * kMiB}; }

agent::ApiFacts facts() {
  agent::ApiFacts facts;
  facts.version = {.major = 1, .minor = 36, .git_version = "v1.36.2"};
  facts.path = kube::ResizePath::kSubresource;
  facts.node = kube::Node{.allocatable = Bytes{15 * kGiB},
                          .allocatable_cpu = MilliCpu{8000},
                          .resizes_init_containers = true,
                          .resizes_pod_level = true};
  facts.may_resize = true;
  return facts;
}

kube::Reply transport(kube::TransportError::Kind kind, bool sent) {
  return tl::unexpected(kube::TransportError{
      .kind = kind,
      .error = {.code = Code::kUnavailable, .message = "the API server cannot be reached"},
      .sent = sent});
}

}  // namespace

World::World(const std::filesystem::path& directory, const agent::Config& config)
    : config_(config),
      directory_(directory),
      now_(kBegin),
      cgroups_(directory / "cgroup"),
      kubelet_(api_, cgroups_),
      invariants_(api_, kubelet_, cgroups_),
      next_tick_(kBegin),
      ran_(kBegin),
      busy_until_(kBegin) {
  set_now(now_);
  set_machine({});
  cgroups_.make("kubepods.slice/kubepods-burstable.slice");
  cgroups_.write_memory("kubepods.slice", limit_of(Bytes{15 * kGiB}));
  cgroups_.on_need([this] {
    if (agent_) agent_->react();
  });
  invariants_.set_factor(config.node.pods.ceiling, now_);
}

std::string World::uid_of(int pod) const {
  const auto found = names_.find(pod);
  return found == names_.end() ? std::string() : found->second;
}

bool World::is_growing() const {
  return std::any_of(programs_.begin(), programs_.end(), [&](const auto& each) {
    const RunningContainer* container = kubelet_.find(each.first.first, each.first.second);
    return container != nullptr && (cgroups_.usage(container->path) != each.second.need ||
                                    each.second.too_big || each.second.busy > MilliCpu{});
  });
}

MonotonicTime World::next(MonotonicTime until) const {
  MonotonicTime next = std::min(until, next_tick_);
  const auto at = [&](MonotonicTime when) { next = std::min(next, when); };
  if (const auto kubelet = kubelet_.next()) at(*kubelet);
  for (const Asked& each : waiting_) at(each.at);
  for (const Under& each : under_) at(each.at);
  for (const Asked& each : queued_) at(each.at);
  for (const auto& [pod, each] : put_back_) at(each.at);
  for (const News& each : news_) at(each.at);
  for (const auto& [uid, when] : ending_) at(when);
  if (starts_at_) at(*starts_at_);
  if (list_at_) at(*list_at_);
  if (is_growing()) at(ran_ + kProgramStep);
  if (agent_) {
    if (const auto wake = agent_->next(now_)) at(std::max(*wake, now_ + milliseconds(1)));
  }
  return std::max(next, now_ + milliseconds(1));
}

// ---- what people do --------------------------------------------------------------------------

void World::create(const Act& act) {
  if (!uid_of(act.pod).empty()) return;
  std::array<char, 40> uid;
  std::snprintf(uid.data(), uid.size(), "%08x-0000-4000-8000-%012x", ++created_, act.pod);
  const auto has = [&](Shape bit) { return (act.b & bit) != 0; };
  kube::Pod pod;
  pod.id = {.uid = uid.data(),
            .namespace_name = kNamespaces.at(has(kOtherNamespace) ? 1 : 0),
            .name = "p" + std::to_string(act.pod)};
  pod.node_name = kNode;
  pod.owner = kube::Owner{.kind = "ReplicaSet", .name = pod.id.name + "-5d4f8"};
  if (has(kOptedIn)) pod.labels.emplace("plimsoll.dev/enabled", "true");
  pod.qos = has(kGuaranteed) ? kube::QosClass::kGuaranteed : kube::QosClass::kBurstable;
  for (int i = 0; i < (has(kTwoContainers) ? 2 : 1); ++i) {
    kube::Container container;
    container.name = "c" + std::to_string(i);
    container.resources.limits.memory = mib(act.a);
    if (has(kHasCpu) || has(kGuaranteed)) container.resources.limits.cpu = MilliCpu{500};
    container.resources.requests = {.memory = mib(std::max<std::int64_t>(act.a / 4, 1)),
                                    .cpu = MilliCpu{100}};
    if (has(kGuaranteed)) container.resources.requests = container.resources.limits;
    if (has(kRestartsOnResize)) container.memory_resize = kube::ResizePolicy::kRestartContainer;
    container.resources.has_claims = has(kClaims);
    pod.containers.push_back(std::move(container));
    programs_[{pod.id.uid, pod.containers.back().name}] = {};
  }
  if (has(kPodLevel)) {
    pod.resources.emplace();
    pod.resources->limits.memory = mib(act.a * 3);
    pod.resources->requests.memory = mib(std::max<std::int64_t>(act.a / 4, 1));
  }
  names_[act.pod] = pod.id.uid;
  backup_[pod.id.uid] = pod;
  backup_[pod.id.uid].generation = 1;
  identities_[pod.id.uid] = pod.id;
  invariants_.opted(pod.id.uid, has(kOptedIn), now_);
  invariants_.declared(api_.create(std::move(pod)), now_);
}

void World::resize(const Act& act) {
  const std::string uid = uid_of(act.pod);
  const kube::Pod* pod = api_.find(uid);
  if (pod == nullptr) return;
  const std::string name = "c" + std::to_string(act.container);
  const auto change =
      act.kind == ActKind::kMemory
          ? kube::memory_change(*pod, name, mib(act.a))
          : kube::cpu_change(*pod, name, MilliCpu{static_cast<std::uint64_t>(act.a)});
  if (!change) return;
  const auto answer = api_.resize({.pod = pod->id, .changes = {*change}},
                                  to_string(static_cast<Manager>(act.b)), now_);
  if (!answer.pod) return;
  invariants_.foreign_write(uid, now_);
  // Of the others nothing was said.
  kube::Pod declared = backup_[uid];
  for (kube::Container& each : declared.containers) {
    if (each.name != name) continue;
    each.resources.limits = kube::find_container(*answer.pod, name)->resources.limits;
    if (act.kind == ActKind::kCpu) {
      each.resources.limits.memory =
          kube::find_container(backup_[uid], name)->resources.limits.memory;
    }
  }
  backup_[uid].containers = declared.containers;
  invariants_.declared(declared, now_);
}

// What has been declared of each limit of a pod comes again, by who watches it.
void World::put_back() {
  for (auto& [number, each] : put_back_) {
    if (each.at > now_) continue;
    each.at = now_ + each.every;
    const std::string uid = uid_of(number);
    const kube::Pod* pod = api_.find(uid);
    if (pod == nullptr) continue;
    for (const kube::Container& declared : kube::Pod(backup_[uid]).containers) {
      const kube::Amounts& limits = declared.resources.limits;
      for (const auto& change :
           {limits.memory ? kube::memory_change(*pod, declared.name, *limits.memory) : std::nullopt,
            limits.cpu ? kube::cpu_change(*pod, declared.name, *limits.cpu) : std::nullopt}) {
        if (!change) continue;
        const auto answer =
            api_.resize({.pod = pod->id, .changes = {*change}}, to_string(each.who), now_);
        if (answer.pod) invariants_.foreign_write(uid, now_);
      }
    }
  }
}

void World::act(const Act& act) {
  busy_until_ = now_ + kBusyFor;
  const std::string uid = uid_of(act.pod);
  const std::string name = "c" + std::to_string(act.container);
  const auto program = programs_.find({uid, name});
  const auto number = static_cast<std::uint64_t>(std::max<std::int64_t>(act.a, 0));
  switch (act.kind) {
    case ActKind::kCreate:
      return create(act);
    case ActKind::kDelete:
      api_.remove(uid);
      names_.erase(act.pod);
      return;
    case ActKind::kEnd:
      api_.change(uid, [&](kube::Pod& pod) {
        pod.deleted_at = kube::ApiTime(std::chrono::floor<seconds>(now_.time_since_epoch()));
      });
      if (!uid.empty()) ending_.emplace(uid, now_ + seconds(5));
      return;
    case ActKind::kOptIn:
      api_.change(uid, [&](kube::Pod& pod) {
        pod.labels.insert_or_assign("plimsoll.dev/enabled", act.a != 0 ? "true" : "false");
      });
      if (!uid.empty()) invariants_.opted(uid, act.a != 0, now_);
      return;
    case ActKind::kCeiling:
      api_.change(uid, [&](kube::Pod& pod) {
        pod.annotations.insert_or_assign("plimsoll.dev/memory-ceiling",
                                         std::to_string(act.a) + "Mi");
      });
      if (!uid.empty()) invariants_.capped(uid, mib(act.a));
      return;
    case ActKind::kAnnotate: {
      if (uid.empty() || !agent_ || silent_) return;
      const std::size_t before = ::mallinfo2().uordblks;
      for (std::int64_t i = 0; i < act.a; ++i) {
        kube::Pod pod = *api_.find(uid);
        for (int key = 0; key < 20; ++key) {
          pod.annotations.insert_or_assign("plimsoll.dev/" + std::string(40, 'x') +
                                               std::to_string(i) + "-" + std::to_string(key),
                                           "y");
        }
        agent_->loop().on_pod({.kind = kube::PodChange::Kind::kPresent, .pod = pod, .error = {}},
                              now_);
        agent_->turn(now_, false);
      }
      const std::size_t after = ::mallinfo2().uordblks;
      violation_ = Invariants::grew({after > before ? after - before : 0}, now_);
      told_.erase(uid);
      watched_ = 0;
      return;
    }
    case ActKind::kNeed:
      if (program == programs_.end()) return;
      program->second.need = mib(act.a);
      program->second.per_second = mib(std::max<std::int64_t>(act.b, 1));
      return;
    case ActKind::kBusy:
      if (program != programs_.end()) program->second.busy = MilliCpu{number};
      return;
    case ActKind::kMemory:
    case ActKind::kCpu:
      return resize(act);
    case ActKind::kQuota:
    case ActKind::kCpuQuota:
    case ActKind::kRange:
    case ActKind::kWebhook: {
      Admission& admission = api_.admission(kNamespaces.at(static_cast<std::size_t>(act.pod) % 2));
      const auto amount = act.a < 0 ? std::nullopt : std::optional(mib(act.a));
      if (act.kind == ActKind::kQuota) admission.quota = amount;
      if (act.kind == ActKind::kCpuQuota) {
        admission.cpu_quota = act.a < 0 ? std::nullopt : std::optional(MilliCpu{number});
      }
      if (act.kind == ActKind::kRange) admission.range = amount;
      if (act.kind == ActKind::kWebhook) {
        admission.webhook = static_cast<Webhook>(act.a);
        admission.webhook_value = act.b;
      }
      invariants_.admission_changed(now_);
      return;
    }
    case ActKind::kApi:
      set_mode(static_cast<ApiMode>(act.a));
      mode_value_ = act.b;
      {
        // One that is half upgraded, or has conflicts, answers.
        const bool answers = mode_ == kHalfUpgraded || mode_ == kConflicts;
        invariants_.api_is(mode_ == kHealthy || answers, !answers, now_);
      }
      return;
    case ActKind::kWatch:
      silent_ = act.a == 1;
      watch_late_ = milliseconds(act.b);
      invariants_.watch_is(!silent_ && watch_late_ <= seconds(2), now_);
      if (act.a != 1) list();
      return;
    case ActKind::kRestore: {
      const auto backup = backup_.find(uid);
      if (backup == backup_.end() || api_.find(uid) == nullptr) return;
      api_.restore(backup->second);
      invariants_.opted(uid, backup->second.labels.contains("plimsoll.dev/enabled"), now_);
      invariants_.declared(backup->second, now_);
      invariants_.foreign_write(uid, now_);
      return;
    }
    case ActKind::kKubelet:
      kubelet_.behave(static_cast<KubeletMode>(act.a),
                      milliseconds(std::max<std::int64_t>(act.b, 10)));
      invariants_.kubelet_is(act.a == kApplies && act.b <= 2000, now_);
      return;
    case ActKind::kPutBack:
      put_back_.erase(act.pod);
      if (act.a > 0) {
        put_back_[act.pod] = {milliseconds(act.a), static_cast<Manager>(act.b), now_};
      }
      return;
    case ActKind::kReload:
      kubelet_.reload(uid);
      invariants_.foreign_write(uid, now_);
      return;
    case ActKind::kRestart:
      if (kubelet_.find(uid, name) != nullptr) kubelet_.restart(uid, name, false, now_);
      if (program != programs_.end()) program->second.need = kAtStart;
      return;
    case ActKind::kAgent:
      if (act.a == kKilled && act.b > 0) {
        dies_after_ = act.b;
        return;
      }
      if (act.a == kHandedOver) return hand_over();
      if (act.a != kStarted) end_agent(act.a == kStopped);
      if (act.a == kStarted || act.a == kRestarted) start_agent();
      return;
    case ActKind::kDisk: {
      std::error_code ignored;
      for (const char* file : {"run/state.new", "lib/floors.new"}) {
        if (act.a != 0) {
          std::filesystem::create_directories(directory_ / file, ignored);
        } else {
          std::filesystem::remove(directory_ / file, ignored);
        }
      }
      invariants_.disk(act.a != 0);
      return;
    }
    case ActKind::kFactor:
      config_.node.pods.ceiling = static_cast<double>(act.a);
      if (agent_) agent_->reconfigure(config_);
      invariants_.set_factor(config_.node.pods.ceiling, now_);
      return;
  }
}

// ---- the agent and its API -------------------------------------------------------------------

void World::start_agent() {
  starts_at_.reset();
  if (agent_) return;
  agent_ = std::make_unique<NodeAgent>(directory_, cgroups_, config_);
  invariants_.agent_began(now_);
  next_tick_ = now_;
  list();
  if (mode_ != kRefusesConnections) (void)agent_->loop().on_facts(facts(), now_);
}

// A watch ends with its connection, and is tried again soon after there can be one.
void World::set_mode(ApiMode mode) {
  const ApiMode before = std::exchange(mode_, mode);
  const bool refuses = mode_ == kRefusesConnections;
  if (!agent_ || refuses == (before == kRefusesConnections)) return;
  using Kind = kube::PodChange::Kind;
  if (refuses) {
    news_.clear();
    news_.push_back({now_,
                     {.kind = Kind::kFailed,
                      .pod = {},
                      .error = {.code = Code::kUnavailable, .message = "connection refused"},
                      .cause = kube::Cause::kTransport}});
    return;
  }
  (void)agent_->loop().on_facts(facts(), now_);
  list();
  if (!silent_) {
    news_.push_back({now_ + watch_late_, {.kind = Kind::kResumed, .pod = {}, .error = {}}});
  }
}

void World::end_agent(bool clean) {
  if (!agent_) return;
  if (clean) agent_->loop().flush(now_);
  agent_.reset();
  waiting_.clear();
  under_.clear();
  for (Asked& each : queued_) each.send.id = 0;  // nobody's
  invariants_.agent_ended();
}

// The next agent is there before the one before it has ended, and has the node only after it.
void World::hand_over() {
  if (!agent_) return start_agent();
  try {
    const NodeAgent second(directory_, cgroups_, config_);
    violation_ = Invariants::both(now_);
  } catch (const std::runtime_error&) {
    // The node is the other one's.
  }
  agent_->give_away(now_);
  end_agent(false);
  start_agent();
}

void World::list() {
  news_.clear();
  told_.clear();
  watched_ = 0;
  list_at_.reset();
  if (!agent_ || silent_ || mode_ == kRefusesConnections) return;
  lists_ = mode_ == kServerErrors || mode_ == kThrottles;
  if (lists_) {
    list_at_ = now_ + kListAgain;
    return;
  }
  const MonotonicTime at = now_ + watch_late_;
  for (const auto& [uid, tracked] : agent_->pods().pods()) {
    if (api_.find(uid) != nullptr) continue;
    kube::PodChange gone{.kind = kube::PodChange::Kind::kGone, .pod = {}, .error = {}};
    gone.pod.id = identities_[uid];
    news_.push_back({at, std::move(gone)});
  }
  watch();
  news_.push_back({at, {.kind = kube::PodChange::Kind::kSynced, .pod = {}, .error = {}}});
}

// What has changed since it was told last.
void World::watch() {
  if (!agent_ || silent_ || lists_ || mode_ == kRefusesConnections) return;
  if (std::exchange(watched_, api_.version()) == api_.version()) return;
  const MonotonicTime at = now_ + watch_late_;
  for (const auto& [uid, pod] : api_.pods()) {
    std::string& told = told_[uid];
    if (told == pod.resource_version) continue;
    told = pod.resource_version;
    news_.push_back({at, {.kind = kube::PodChange::Kind::kPresent, .pod = pod, .error = {}}});
  }
  std::erase_if(told_, [&](const auto& each) {
    if (api_.find(each.first) != nullptr) return false;
    kube::PodChange gone{.kind = kube::PodChange::Kind::kGone, .pod = {}, .error = {}};
    gone.pod.id = identities_[each.first];
    news_.push_back({at, std::move(gone)});
    return true;
  });
}

agent::ResizeOutcome World::do_now(const agent::SendResize& send) {
  Answer said = api_.resize(send.resize, agent::kFieldManager, now_);
  if (!said.pod) return agent::outcome_of(send, said.response, now_, now_ + kAnswerTime);
  return {.id = send.id, .status = 200, .pod = std::move(said.pod), .refusal = {}, .sent = now_};
}

// Requests arrive, and their answers are on their way.
void World::answer() {
  for (Asked& each : std::vector<Asked>(queued_)) {
    if (each.at > now_) continue;
    agent::ResizeOutcome outcome = do_now(each.send);
    invariants_.answered(each.send, outcome, now_);
    const auto open = std::find_if(under_.begin(), under_.end(), [&](const Under& under) {
      return under.outcome.outcome.id == each.send.id &&
             under.outcome.uid == each.send.resize.pod.uid;
    });
    if (open == under_.end()) continue;
    outcome.sent = open->outcome.outcome.sent;
    outcome.answered = now_ + kAnswerTime;
    open->at = now_ + kAnswerTime;
    open->outcome.outcome = std::move(outcome);
  }
  std::erase_if(queued_, [&](const Asked& each) { return each.at <= now_; });
  std::vector<Asked> arrived;
  std::erase_if(waiting_, [&](Asked& each) {
    if (each.at > now_) return false;
    arrived.push_back(std::move(each));
    return true;
  });
  for (const Asked& each : arrived) {
    const agent::SendResize& send = each.send;
    Nanoseconds takes = kAnswerTime;
    agent::ResizeOutcome outcome;
    const auto no = [&](const kube::Reply& reply) {
      outcome = agent::outcome_of(send, reply, now_, now_ + takes);
    };
    const auto ask = [&] { outcome = do_now(send); };
    // It is done, and the watch will tell.
    const auto lose = [&] {
      if (!send.resize.dry_run) invariants_.answered(send, outcome, now_);
      outcome = {};
    };
    switch (mode_) {
      case kHealthy:
        ask();
        break;
      case kRefusesConnections:
        no(transport(kube::TransportError::Kind::kConnect, false));
        break;
      case kSlow:
        takes = milliseconds(mode_value_);
        ask();
        if (takes > send.deadline) {
          takes = send.deadline;
          lose();
          no(transport(kube::TransportError::Kind::kDeadline, true));
        }
        break;
      case kQueues:
        queued_.push_back({send, now_ + milliseconds(mode_value_)});
        takes = send.deadline;
        no(transport(kube::TransportError::Kind::kDeadline, true));
        break;
      case kServerErrors:
        no(status_of(500, "InternalError", "Internal error occurred: etcdserver: leader changed",
                     ""));
        break;
      case kThrottles:
        no(status_of(429, "TooManyRequests", "too many requests, please try again later", ""));
        break;
      case kLosesReplies:
        ask();
        lose();
        no(transport(kube::TransportError::Kind::kCut, true));
        break;
      case kConflicts:
      case kHalfUpgraded:
        if (mode_value_-- > 0) {
          if (mode_value_ == 0) invariants_.api_is(true, true, now_);
          if (mode_ == kConflicts) {
            no(status_of(409, "Conflict",
                         "Operation cannot be fulfilled on pods \"" + send.resize.pod.name +
                             "\": the object has been modified; please apply your changes to the "
                             "latest version and try again",
                         send.resize.pod.name));
            break;
          }
          no(status_of(404, "NotFound", "the server could not find the requested resource", ""));
        } else {
          ask();
        }
        break;
    }
    outcome.id = send.id;
    outcome.sent = each.at;
    outcome.answered = now_ + takes;
    invariants_.answered(send, outcome, now_);
    under_.push_back({now_ + takes,
                      {.uid = send.resize.pod.uid,
                       .dry_run = send.resize.dry_run,
                       .outcome = std::move(outcome)}});
  }
}

// ---- programs --------------------------------------------------------------------------------

void World::kill(const std::string& uid, const std::string& name) {
  const RunningContainer* container = kubelet_.find(uid, name);
  if (container == nullptr) return;
  Program& program = programs_[{uid, name}];
  if (!violation_) violation_ = invariants_.killed(uid, name, program.need, now_);
  cgroups_.count_kill(container->path);
  program = {};
  kubelet_.restart(uid, name, true, now_);
}

void World::run_programs() {
  const Nanoseconds passed = now_ - ran_;
  if (passed < kProgramStep) return;
  ran_ = now_;
  const double time = std::min(std::chrono::duration<double>(passed).count(), 1.0);
  for (auto& [whose, program] : programs_) {
    const auto& [uid, name] = whose;
    const RunningContainer* container = kubelet_.find(uid, name);
    if (container == nullptr) continue;
    const std::string path = container->path;
    if (program.busy > MilliCpu{}) {
      const MilliCpu limit = cgroups_.cpu(path);
      const bool bound = limit > MilliCpu{} && program.busy > limit;
      const std::uint64_t used = bound ? limit.value : program.busy.value;
      const auto periods = static_cast<std::uint64_t>(time * 10);
      cgroups_.run(
          path,
          Nanoseconds(static_cast<std::int64_t>(time * 1e6) * static_cast<std::int64_t>(used)),
          periods, bound ? periods : 0);
    }
    if (!cgroups_.fits(path)) {
      if (!program.too_big) program.too_big = now_;
      if (now_ - *program.too_big >= kReclaims) kill(uid, name);
      continue;
    }
    program.too_big.reset();
    const Bytes usage = cgroups_.usage(path);
    if (program.need < usage) {
      cgroups_.free(path, program.need);
    } else if (program.need > usage) {
      const Bytes to = std::min(program.need, usage + scaled(program.per_second, time));
      if (!cgroups_.charge(path, to)) kill(uid, name);
    }
  }
}

// ---- one step --------------------------------------------------------------------------------

void World::turn() {
  const bool ticked = now_ >= next_tick_;
  if (ticked) {
    const bool calm = now_ > busy_until_ && !is_growing();
    next_tick_ = now_ + (calm ? kCalmTick : config_.tick);
  }
  if (!agent_) return;
  const auto wake = agent_->next(now_);
  const bool due = wake && *wake <= now_;
  const bool came = std::exchange(something_came_, false);
  if (due && !came && !ticked && !violation_) violation_ = invariants_.woke(now_);
  if (!ticked && !due && !came) return;
  agent_->turn(now_, ticked);
  for (Asked& each : agent_->take_asked()) {
    invariants_.asked(each.send, now_);
    waiting_.push_back(std::move(each));
  }
  if (dies_after_ == 0 || --dies_after_ > 0) return;
  end_agent(false);
  starts_at_ = now_ + kStartsAgain;
}

void World::show_step() {
  std::string line;
  for (const auto& [uid, running] : kubelet_.pods()) {
    const kube::Pod* pod = api_.find(uid);
    if (pod == nullptr) continue;
    line += "  " + pod->id.name + " gen " + std::to_string(*pod->generation) + " slice " +
            to_string(cgroups_.memory(running.slice));
    for (const RunningContainer& each : running.containers) {
      const kube::Amounts& limits = kube::find_container(*pod, each.name)->resources.limits;
      line += " [" + each.name + " spec " + to_string(limits.memory.value_or(Bytes{})) + " max " +
              to_string(cgroups_.memory(each.path)) + " cpu " + to_string(cgroups_.cpu(each.path)) +
              "]";
    }
  }
  for (const Asked& each : waiting_) {
    line += each.send.resize.dry_run ? "  dry run" : "  PATCH";
    for (const kube::ResizeChange& change : each.send.resize.changes) {
      line += " " + change.container + " to " + to_string(change.limits.memory.value_or(Bytes{})) +
              " " + to_string(change.limits.cpu.value_or(MilliCpu{}));
    }
  }
  if (agent_) {
    line += "  tracked " + std::to_string(agent_->pods().slots().tracked()) + " managed " +
            std::to_string(agent_->pods().managed()) + " of " +
            std::to_string(agent_->pods().pods().size());
  }
  if (line == shown_) return;
  shown_ = line;
  std::fprintf(stderr, "%.3f%s\n", std::chrono::duration<double>(now_ - kBegin).count(),
               line.c_str());
}

std::optional<Violation> World::run(const History& history) {
  start_agent();
  const MonotonicTime end =
      kBegin + milliseconds(history.empty() ? 0 : history.back().at_ms) + kTail;
  std::size_t done = 0;
  while (now_ < end) {
    const MonotonicTime until =
        done < history.size() ? kBegin + milliseconds(history[done].at_ms) : end;
    now_ = std::max(now_, std::min(next(until), end));
    set_now(now_);
    for (; done < history.size() && kBegin + milliseconds(history[done].at_ms) <= now_; ++done) {
      act(history[done]);
    }
    std::erase_if(ending_, [&](const auto& each) {
      if (each.second > now_) return false;
      api_.remove(each.first);
      std::erase_if(names_, [&](const auto& name) { return name.second == each.first; });
      return true;
    });
    if (starts_at_ && *starts_at_ <= now_) start_agent();
    if (list_at_ && *list_at_ <= now_) list();
    put_back();
    kubelet_.turn(now_);
    for (const FailedWrite& each : kubelet_.take_failed()) {
      if (!violation_) violation_ = invariants_.failed(each, now_);
    }
    run_programs();
    answer();
    watch();
    if (agent_) {
      std::erase_if(news_, [&](News& each) {
        if (each.at > now_) return false;
        if (each.change.kind == kube::PodChange::Kind::kPresent) invariants_.told(each.change.pod);
        agent_->loop().on_pod(std::move(each.change), now_);
        return something_came_ = true;
      });
      std::erase_if(under_, [&](Under& each) {
        if (each.at > now_) return false;
        agent_->loop().on_outcome(std::move(each.outcome));
        return something_came_ = true;
      });
    }
    turn();
    if (traces_) show_step();
    if (!violation_) violation_ = invariants_.after_step(agent_.get(), now_);
    if (violation_) return violation_;
  }
  return std::nullopt;
}

}  // namespace plimsoll::sim
