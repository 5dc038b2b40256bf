// SPDX-License-Identifier: Apache-2.0
//
// Random histories of a pod with two containers: an engine that needs memory and CPU, an API server
// that is slow, away, full, or fought over, and a kubelet that is late, defers, or does nothing.
// What agent/resize/plan.h promises must hold at every step of each.
#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <random>
#include <string>

#include "tests/support/resize_scene.h"

namespace plimsoll::agent::properties_test {
namespace {

using resize_test::burstable_pod;
using resize_test::container_of;
using resize_test::guaranteed_pod;
using resize_test::mib;
using resize_test::milliseconds;
using resize_test::refusal_of;
using resize_test::seconds;

struct Due {
  MonotonicTime at;
  SendResize request;
};

class World {
 public:
  explicit World(std::uint32_t seed) : random_(seed) {
    pod = chance(0.3) ? guaranteed_pod() : burstable_pod();
    pod.containers.push_back(container_of("side", mib(32), mib(64)));
    if (pod.qos == kube::QosClass::kGuaranteed) {
      kube::Container& side = pod.containers[1];
      side.resources.requests = side.resources.limits;
      side.status->resources = side.resources;
      side.status->allocated = side.resources.requests;
    }
    state.id = pod.id;
    config.node_name = "node-a";
    config.coexist = chance(0.5) ? Coexist::kShare : Coexist::kYield;
    config.fallback.lease = seconds(60);
    api.ability = {.path = kube::ResizePath::kSubresource, .minor = chance(0.2) ? 33 : 36};
    quota = mib(200 + number(2000));
    cpu_quota = {1000 + number(8000)};
    const bool with_cpu = chance(0.8);
    actuation = static_cast<Actuation>(number(3));
    for (const kube::Container& each : pod.containers) {
      const Bytes limit = *each.resources.limits.memory;
      policies.push_back({.name = each.name,
                          .floor = limit,
                          .ceiling = {limit.value * 8},
                          .actuation = actuation});
      if (with_cpu) {
        policies.back().cpu = ContainerCpuPolicy{.floor = kCpuFloor, .ceiling = kCpuMost};
      }
      files.containers.push_back({each.name, each.status->id, {limit_of(limit), mib(20)}});
    }
    files.slice = CgroupReading{limit_of(mib(192)), mib(40)};
    calm_at = now + std::chrono::minutes(4);
    end = now + std::chrono::minutes(20);
  }

  void run() {
    while (now < end && !testing::Test::HasFailure()) turn();
  }

  std::uint64_t words = 0;
  std::uint64_t cpu_words = 0;
  std::uint64_t cpu_patches = 0;
  std::uint64_t withdrawals = 0;
  std::uint64_t unstored = 0;  // PATCHes that were refused or not answered
  PodResize state;

 private:
  static constexpr MilliCpu kCpuFloor{500};
  static constexpr MilliCpu kCpuMost{4000};
  // What the world knows of one container's CPU limit.
  struct Cpu {
    MilliCpu file = kCpuFloor;  // cpu.max
    MilliCpu need{100};
    std::optional<MonotonicTime> refused_until;
    MilliCpu allowed;
  };

  bool chance(double p) { return std::uniform_real_distribution<>(0, 1)(random_) < p; }
  std::uint64_t number(std::uint64_t below) { return random_() % below; }
  bool calm() const { return now >= calm_at; }

  CgroupReading& file(std::size_t i) { return files.containers[i].memory; }
  Bytes spec(std::size_t i) const { return *pod.containers[i].resources.limits.memory; }

  void turn() {
    now += milliseconds(10 + number(calm() ? 1000 : 400));
    ResizeFacts facts{.pod = &pod, .policies = &policies};
    disturb();
    live(facts);
    live_on_cpu(facts);
    answer(facts);
    kubelet();
    files.at = now;
    facts.api = api;
    facts.reading = files;
    const ResizeStep out = agent::step(state, facts, now, config);
    state = out.state;
    for (const ResizeAction& action : out.actions) check_and_do(action);
    check();
  }

  // The containers use memory; the engine answers within its bounds.
  void live(ResizeFacts& facts) {
    for (std::size_t i = 0; i < 2; ++i) {
      CgroupReading& memory = file(i);
      const Bytes before = memory.usage;
      if (calm()) {
        memory.usage = mib(10);
      } else if (chance(0.3)) {
        const std::uint64_t top = memory.limit.bytes;
        memory.usage = {std::min(top, memory.usage.value / 2 + number(top))};
      }
      files.slice->usage = files.slice->usage - before + memory.usage;
      const ContainerResize* known = find(pod.containers[i].name);
      if (known == nullptr || !known->memory.bounds) continue;
      const EngineBounds<Bytes>& bounds = *known->memory.bounds;
      EngineWord word;
      word.container = pod.containers[i].name;
      word.at = now;
      MemoryChange change{.from = {memory.limit.bytes}};
      word.rate_per_second = mib(number(500));
      const bool tight = memory.usage.value > memory.limit.bytes / 10 * 8;
      const Bytes need = {memory.limit.bytes + memory.limit.bytes / 2};
      if (tight && need <= bounds.direct_ceiling) {
        word.kind = EngineWord::Kind::kGrant;
        change.to = need;
        files.slice->limit.bytes += need.value - memory.limit.bytes;
        memory.limit = limit_of(need);
      } else if (tight && std::min(need, bounds.ceiling).value > memory.limit.bytes) {
        word.kind = EngineWord::Kind::kWish;
        change.to = std::min(need, bounds.ceiling);
      } else if (memory.usage.value < memory.limit.bytes / 4 && chance(0.1)) {
        const Bytes to = std::max(bounds.floor, memory.usage + memory.usage);
        if (to.value >= memory.limit.bytes) continue;
        const Bytes direct = std::max(to, bounds.direct_floor);
        if (direct.value < memory.limit.bytes && bounds.direct_ceiling.value > 0) {
          word.kind = EngineWord::Kind::kShrink;
          change.to = direct;
          memory.limit = limit_of(direct);
        } else {
          word.kind = EngineWord::Kind::kWish;
          change.to = to;
        }
      } else {
        continue;
      }
      ++words;
      word.change = change;
      facts.words.push_back(word);
    }
  }

  // The same of CPU: what is needed moves about, and the engine follows in no time.
  void live_on_cpu(ResizeFacts& facts) {
    for (std::size_t i = 0; i < 2; ++i) {
      Cpu& cpu = cpus[i];
      if (calm()) {
        cpu.need = {100};
      } else if (chance(0.1)) {
        cpu.need = {100 + number(6000)};
      }
      const ContainerResize* known = find(pod.containers[i].name);
      if (known == nullptr || !known->cpu.bounds) continue;
      const EngineBounds<MilliCpu>& bounds = *known->cpu.bounds;
      EngineWord word{.container = pod.containers[i].name, .at = now};
      CpuChange change{.from = cpu.file};
      const MilliCpu to = std::clamp(cpu.need, bounds.floor, bounds.ceiling);
      const MilliCpu up = std::min(to, bounds.direct_ceiling);
      const MilliCpu top = std::max(bounds.direct_ceiling, bounds.direct_floor);
      const MilliCpu down = std::max(std::min(to, top), bounds.direct_floor);
      const bool starting = chance(0.1);
      word.reason = starting ? Reason::kStarting : Reason::kThrottled;
      if (up > cpu.file) {
        word.kind = EngineWord::Kind::kGrant;
        change.to = cpu.file = up;
      } else if (to > cpu.file && chance(0.1)) {
        word.kind = EngineWord::Kind::kWish;
        change.to = to;
      } else if (down < cpu.file) {
        word.kind = EngineWord::Kind::kShrink;
        word.reason = starting ? Reason::kStarted : Reason::kLeaseEnded;
        change.to = cpu.file = down;
      } else if (to < cpu.file && chance(0.05)) {
        word.kind = EngineWord::Kind::kWish;
        word.reason = starting ? Reason::kStarted : Reason::kLeaseEnded;
        change.to = to;
      } else {
        continue;
      }
      ++words;
      ++cpu_words;
      word.change = change;
      facts.words.push_back(word);
    }
  }

  const ContainerResize* find(const std::string& name) const {
    for (const ContainerResize& each : state.containers) {
      if (each.name == name) return &each;
    }
    return nullptr;
  }

  void disturb() {
    if (calm()) {
      broken = false;
    } else if (chance(0.02)) {
      broken = !broken;
    }
    api.away = broken;
    api.may_ask = !broken || chance(0.05);
    if (!calm() && chance(0.01)) quota = mib(150 + number(2000));
    if (!calm() && chance(0.01)) cpu_quota = {1000 + number(8000)};
    if (!calm() && chance(0.005)) foreign_resize();
    if (!calm() && chance(0.003) && pod.qos != kube::QosClass::kGuaranteed) foreign_cpu_resize();
    if (!calm() && chance(0.01)) {  // somebody's CPU resize rewrites memory.max
      const std::size_t i = number(2);
      const Bytes actuated = *pod.containers[i].status->resources->limits.memory;
      file(i).limit = std::min(file(i).limit, limit_of(std::max(actuated, file(i).usage)));
      pod.generation = *pod.generation + 1;
    }
  }

  void foreign_resize() {
    const kube::Pod before = pod;
    kube::Container& app = pod.containers[0];
    app.resources.limits.memory = mib(128 + number(300));
    if (pod.qos == kube::QosClass::kGuaranteed) {
      app.resources.requests.memory = app.resources.limits.memory;
    }
    pod.generation = *pod.generation + 1;
    resize_test::own_limits(pod, before, "somebody", now);
    foreign = true;
  }

  void foreign_cpu_resize() {
    const kube::Pod before = pod;
    pod.containers[0].resources.limits.cpu = MilliCpu{500 + number(3000)};
    pod.generation = *pod.generation + 1;
    resize_test::own_limits(pod, before, "somebody", now);
    foreign = true;
    for (Cpu& each : cpus) each.refused_until.reset();
  }

  void answer(ResizeFacts& facts) {
    for (auto due = under_way.begin(); due != under_way.end();) {
      if (now < due->at) {
        ++due;
        continue;
      }
      facts.outcomes.push_back(outcome(due->request));
      note_cpu_answer(due->request, facts.outcomes.back());
      if (due->request.resize.dry_run) {
        --dry_runs;
      } else {
        storing = false;
        if (facts.outcomes.back().refusal) ++unstored;
      }
      due = under_way.erase(due);
    }
  }

  // What a refusal of the quota leaves: not more of it is asked for within 30 s.
  void note_cpu_answer(const SendResize& request, const ResizeOutcome& outcome) {
    for (const kube::ResizeChange& change : request.resize.changes) {
      if (!change.limits.cpu) continue;
      Cpu& cpu = cpus[change.container == "app" ? 0 : 1];
      // Where somebody else has raised it meanwhile, it was no raise.
      const bool quota_said = outcome.refusal && outcome.refusal->cause == kube::Cause::kQuota &&
                              *change.limits.cpu > spec_cpu(change.container);
      if (!outcome.refusal) {
        cpu.refused_until.reset();
      } else if (quota_said && !request.resize.dry_run) {
        const MilliCpu sum = *kube::pod_cpu_limit(pod);
        cpu.refused_until = now + config.api.refused_backoff;
        cpu.allowed = spec_cpu(change.container) + (std::max(cpu_quota, sum) - sum);
      }
    }
  }

  MilliCpu spec_cpu(const std::string& container) const {
    return *kube::find_container(pod, container)->resources.limits.cpu;
  }

  ResizeOutcome outcome(const SendResize& request) {
    ResizeOutcome out{.id = request.id, .status = 200, .sent = now, .answered = now};
    if (broken) {
      out.status = 0;
      out.refusal = kube::Refusal{.code = Code::kUnavailable,
                                  .cause = kube::Cause::kTransport,
                                  .message = "deadline",
                                  .outcome_unknown = chance(0.5)};
      if (out.refusal->outcome_unknown && !request.resize.dry_run && chance(0.5)) store(request);
      return out;
    }
    const kube::Pod after = kube::applied(pod, request.resize.changes);
    const Bytes sum = *kube::pod_memory_limit(after);
    if (sum > quota && sum > *kube::pod_memory_limit(pod)) {
      const Bytes used = *kube::pod_memory_limit(pod);
      out.status = 403;
      out.refusal = refusal_of(
          403, "pods \"web\" is forbidden: exceeded quota: rq, requested: limits.memory=" +
                   std::to_string((sum - used).value) +
                   ", used: limits.memory=" + std::to_string(used.value) +
                   ", limited: limits.memory=" + std::to_string(std::max(quota, used).value));
      return out;
    }
    const MilliCpu cpu_sum = *kube::pod_cpu_limit(after);
    const MilliCpu cpu_used = *kube::pod_cpu_limit(pod);
    if (cpu_sum > cpu_quota && cpu_sum > cpu_used) {
      out.status = 403;
      out.refusal = refusal_of(
          403, "pods \"web\" is forbidden: exceeded quota: rq, requested: limits.cpu=" +
                   to_string(cpu_sum - cpu_used) + ", used: limits.cpu=" + to_string(cpu_used) +
                   ", limited: limits.cpu=" + to_string(std::max(cpu_quota, cpu_used)));
      return out;
    }
    if (!calm() && chance(0.03)) {
      out.refusal = kube::Refusal{.code = Code::kConflict, .cause = kube::Cause::kConflict};
      return out;
    }
    if (!request.resize.dry_run) store(request);
    out.pod = request.resize.dry_run ? after : pod;
    return out;
  }

  void store(const SendResize& request) {
    const kube::Pod after = kube::applied(pod, request.resize.changes);
    if (after.containers == pod.containers) return;
    const kube::Pod before = pod;
    pod.containers = after.containers;
    pod.generation = *pod.generation + 1;
    resize_test::own_limits(pod, before, "plimsoll", now);
    if (chance(0.2) && !calm()) defer_generation = *pod.generation;
  }

  void kubelet() {
    const bool failing = pod.resize.in_progress || pod.resize.pending;
    if (pod.observed_generation == pod.generation && !failing) return;
    if (!calm() && chance(0.8)) return;  // late
    if (defer_generation == pod.generation && !calm()) {
      pod.observed_generation = pod.generation;
      pod.resize.pending = kube::ResizeCondition{
          .reason = "Deferred",
          .message = chance(0.5) ? "Node didn't have enough resource: memory" : "DiskPressure",
          .observed_generation = pod.generation};
      return;
    }
    pod.observed_generation = pod.generation;
    pod.resize = {};
    Bytes sum;
    for (std::size_t i = 0; i < 2; ++i) {
      kube::Container& each = pod.containers[i];
      // Only what differs from what is allocated reaches the cgroup; a raise does not look.
      const bool lowering = each.status->resources->limits.memory > each.resources.limits.memory;
      if (lowering && file(i).usage >= spec(i)) {
        pod.resize.in_progress = kube::ResizeCondition{
            .reason = "Error", .message = "cannot decrease", .observed_generation = pod.generation};
        return;
      }
      if (each.status->resources->limits.memory != each.resources.limits.memory) {
        file(i).limit = limit_of(spec(i));
        file(i).usage = std::min(file(i).usage, spec(i));
      } else if (each.status->resources->limits.cpu != each.resources.limits.cpu) {
        file(i).limit = limit_of(std::max(spec(i), file(i).usage));
      }
      if (each.status->resources != each.resources) cpus[i].file = *each.resources.limits.cpu;
      each.status->resources = each.resources;
      each.status->allocated = each.resources.requests;
      sum += spec(i);
    }
    foreign = false;
    files.slice->limit = limit_of(std::max(sum, files.slice->usage));
  }

  void check_and_do(const ResizeAction& action) {
    if (const auto* send = std::get_if<SendResize>(&action)) {
      check_request(*send);
      const MonotonicTime at = now + milliseconds(5 + number(calm() ? 100 : 2500));
      under_way.push_back({at, *send});
    } else if (const auto* raise = std::get_if<RaiseLimit>(&action)) {
      const ContainerResize* known = find(raise->container);
      EXPECT_NE(actuation, Actuation::kResize);
      EXPECT_TRUE(known->memory.lease) << "every direct write has a lease";
      EXPECT_LE(raise->limit, known->memory.bounds->direct_ceiling) << "no further than is allowed";
      const auto& said = known->memory.allowance;
      if (said.refused && said.refused->cause == kube::Cause::kQuota) {
        EXPECT_LE(raise->limit, std::max(said.upto, *known->memory.spec));
      }
      set(raise->container, raise->limit);
      if (raise->slice) {
        files.slice->limit = std::max(files.slice->limit, limit_of(*raise->slice));
      }
    } else if (const auto* lower = std::get_if<LowerLimit>(&action)) {
      for (const ContainerReading& each : files.containers) {
        if (each.container != lower->container) continue;
        EXPECT_GT(lower->limit, each.memory.usage) << "would kill";
      }
      if (calm() || chance(0.7)) set(lower->container, lower->limit);  // else the usage rose
    } else if (const auto* repair = std::get_if<RepairSlice>(&action)) {
      EXPECT_GT(limit_of(repair->limit), files.slice->limit);
      files.slice->limit = limit_of(repair->limit);
    }
  }

  void check_request(const SendResize& send) {
    if (send.resize.dry_run) {
      EXPECT_EQ(dry_runs, 0) << "two dry runs at once";
      ++dry_runs;
    } else {
      EXPECT_FALSE(storing) << "two PATCHes at once";
      storing = true;
      EXPECT_NE(actuation, Actuation::kCgroup);
      if (state.in_flight && state.in_flight->withdraws) ++withdrawals;
    }
    EXPECT_FALSE(send.resize.changes.empty());
    EXPECT_EQ(send.resize.pod, pod.id);
    const bool is_cpu = send.resize.changes.front().limits.cpu.has_value();
    if (is_cpu && !send.resize.dry_run) check_memory_is_quiet(send);
    // The plan may not have seen the newest foreign resize; without one it is exact.
    if (foreign) return;
    const kube::Pod after = kube::applied(pod, send.resize.changes);
    EXPECT_EQ(kube::qos_of(after), kube::qos_of(pod)) << "the QoS class would change";
    for (const kube::ResizeChange& change : send.resize.changes) {
      EXPECT_FALSE(change.requests.cpu);
      if (change.limits.cpu) {
        check_cpu_change(send, change);
        continue;
      }
      const std::size_t i = change.container == "app" ? 0 : 1;
      if (!send.resize.dry_run && !state.in_flight->withdraws) {
        EXPECT_GE(*change.limits.memory, file(i).usage) << "in force it would kill";
      }
      if (api.ability.minor == 33 && !send.resize.dry_run) {
        EXPECT_GE(*change.limits.memory, spec(i));
      }
    }
  }

  // A CPU request under way may make the kubelet write memory.max.
  void check_memory_is_quiet(const SendResize& send) {
    ++cpu_patches;
    EXPECT_FALSE(state.memory.unverified);
    for (const ContainerResize& each : state.containers) {
      EXPECT_FALSE(each.memory.lease) << "a CPU change and a memory lease";
      EXPECT_FALSE(each.memory.want) << "a CPU change before a need for memory";
    }
    for (const kube::ResizeChange& change : send.resize.changes) {
      const std::size_t i = change.container == "app" ? 0 : 1;
      EXPECT_LT(file(i).usage, scaled(*find(change.container)->memory.spec, config.active_share));
    }
  }

  void check_cpu_change(const SendResize& send, const kube::ResizeChange& change) {
    EXPECT_FALSE(change.limits.memory || change.requests.memory) << "never together";
    const std::size_t i = change.container == "app" ? 0 : 1;
    const ContainerResize& known = *find(change.container);
    EXPECT_TRUE(policies[i].cpu);
    EXPECT_NE(change.limits.cpu, known.cpu.spec) << "nothing would change";
    if (send.resize.dry_run || state.in_flight->withdraws) return;
    const MilliCpu floor = known.cpu.floor.value_or(kCpuFloor);
    // Below it only on the way up, where a refusal leaves no more.
    EXPECT_GE(*change.limits.cpu, std::min(floor, *known.cpu.spec));
    EXPECT_LE(*change.limits.cpu, std::max(kCpuMost, floor));
    if (cpus[i].refused_until &&
        now<*cpus[i].refused_until&& * change.limits.cpu> * known.cpu.spec) {
      EXPECT_LE(*change.limits.cpu, cpus[i].allowed) << "refused before";
    }
  }

  void set(const std::string& container, Bytes limit) {
    for (ContainerReading& each : files.containers) {
      if (each.container == container) each.memory.limit = limit_of(limit);
    }
  }

  void check() {
    EXPECT_LE(state.patches, words + withdrawals + unstored) << "a PATCH without a cause";
    EXPECT_LE(cpu_patches, cpu_words + withdrawals + unstored) << "the same of CPU";
    for (const ContainerResize& each : state.containers) {
      if (!each.memory.lease || each.memory.lease->withdrawing) continue;
      EXPECT_LE(now, each.memory.lease->until + seconds(61)) << "a lease beyond its end";
    }
    if (now + std::chrono::minutes(1) < end) return;
    for (std::size_t i = 0; i < 2; ++i) {
      const ContainerResize& each = state.containers[i];
      EXPECT_FALSE(each.memory.lease && actuation != Actuation::kCgroup)
          << "a lease without a need";
      if (actuation == Actuation::kCgroup) continue;
      EXPECT_EQ(file(i).limit, limit_of(spec(i))) << "spec and cgroup agree in the end";
      EXPECT_EQ(each.memory.spec, spec(i)) << "and the state with them";
      if (!policies[i].cpu) continue;
      // A request of ours has overtaken theirs, and there may be no room to give it back.
      const bool overtaken = each.cpu.floor && *each.cpu.floor > *each.cpu.spec;
      if (now < each.cpu.yield_until || overtaken) continue;
      EXPECT_EQ(cpus[i].file, spec_cpu(each.name)) << "the same of CPU";
      EXPECT_EQ(each.cpu.spec, spec_cpu(each.name));
      EXPECT_FALSE(state.cpu.unverified);
    }
  }

  std::mt19937 random_;
  kube::Pod pod;
  std::vector<ContainerPolicy> policies;
  ResizeConfig config;
  ApiStatus api;
  PodReading files;
  Bytes quota;
  MilliCpu cpu_quota;
  std::array<Cpu, 2> cpus;
  Actuation actuation{};
  std::deque<Due> under_way;
  bool storing = false;
  int dry_runs = 0;
  bool broken = false;
  bool foreign = false;
  std::optional<std::int64_t> defer_generation;
  MonotonicTime now = resize_test::kStart;
  MonotonicTime calm_at;
  MonotonicTime end;
};

TEST(ResizePlanProperties, HoldForRandomHistories) {
  std::uint64_t words = 0;
  std::uint64_t patches = 0;
  std::uint64_t cpu_words = 0;
  std::uint64_t cpu_patches = 0;
  for (std::uint32_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(seed);
    world.run();
    words += world.words;
    patches += world.state.patches;
    cpu_words += world.cpu_words;
    cpu_patches += world.cpu_patches;
    if (HasFailure()) return;
  }
  EXPECT_GT(patches, 200u) << "the histories have resizes in them";
  EXPECT_LT(patches, words) << "fewer PATCHes than words of the engine";
  EXPECT_GT(cpu_patches, 100u) << "CPU limits among them";
  EXPECT_LT(cpu_patches, cpu_words / 2);
  RecordProperty("cpu_words", std::to_string(cpu_words));
  RecordProperty("cpu_patches", std::to_string(cpu_patches));
  RecordProperty("words", std::to_string(words));
  RecordProperty("patches", std::to_string(patches));
}

}  // namespace
}  // namespace plimsoll::agent::properties_test
