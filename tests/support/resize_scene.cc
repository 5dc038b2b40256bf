// SPDX-License-Identifier: Apache-2.0
#include "tests/support/resize_scene.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <tuple>

#include "agent/resize/resizer.h"

namespace plimsoll::agent::resize_test {

kube::Container container_of(std::string name, Bytes request, Bytes limit) {
  kube::Container container;
  container.name = std::move(name);
  container.resources.requests = {.memory = request, .cpu = kube::MilliCpu{100}};
  container.resources.limits = {.memory = limit, .cpu = kube::MilliCpu{500}};
  container.status.emplace();
  container.status->id = "containerd://" + container.name + "-1";
  container.status->state = kube::ContainerState::kRunning;
  container.status->resources = container.resources;
  container.status->allocated = container.resources.requests;
  return container;
}

kube::Pod burstable_pod() {
  kube::Pod pod;
  pod.id = {.uid = "uid-1", .namespace_name = "demo", .name = "web"};
  pod.resource_version = "10";
  pod.node_name = "node-a";
  pod.generation = 1;
  pod.observed_generation = 1;
  pod.phase = kube::PodPhase::kRunning;
  pod.qos = kube::QosClass::kBurstable;
  pod.containers = {container_of("app", mib(64), mib(128))};
  return pod;
}

kube::Pod guaranteed_pod() {
  kube::Pod pod = burstable_pod();
  pod.qos = kube::QosClass::kGuaranteed;
  kube::Container& app = pod.containers[0];
  app.resources.requests = app.resources.limits;
  app.status->resources = app.resources;
  app.status->allocated = app.resources.requests;
  return pod;
}

Scene::Scene(kube::Pod pod_in) : pod(std::move(pod_in)) {
  state.id = pod.id;
  config.node_name = pod.node_name;
  api.ability = {.path = kube::ResizePath::kSubresource,
                 .minor = 36,
                 .init_containers = true,
                 .pod_level = true};
  Bytes sum;
  for (const kube::Container& each : pod.containers) {
    const Bytes limit = each.resources.limits.memory.value_or(Bytes{});
    sum += limit;
    ContainerPolicy policy;
    policy.name = each.name;
    policy.floor = limit;
    policy.ceiling = {limit.value * 8};
    policy.actuation = Actuation::kResizeThenCgroup;
    policies.push_back(policy);
    files.containers.push_back({.container = each.name,
                                .container_id = each.status ? each.status->id : "",
                                .memory = {.limit = limit_of(limit), .usage = {limit.value / 2}}});
  }
  files.slice = CgroupReading{.limit = limit_of(sum), .usage = {sum.value / 2}};
}

ResizeStep& Scene::step() {
  files.at = now;
  ResizeFacts facts{.pod = &pod,
                    .policies = &policies,
                    .api = api,
                    .words = std::exchange(words_, {}),
                    .outcomes = std::exchange(outcomes_, {}),
                    .reading = files};
  last = agent::step(state, facts, now, config);
  state = last.state;
  apply(last);
  return last;
}

void Scene::apply(const ResizeStep& step) {
  answers.insert(answers.end(), step.answers.begin(), step.answers.end());
  for (const ResizeAction& action : step.actions) {
    if (const auto* request = std::get_if<SendResize>(&action)) {
      (request->resize.dry_run ? preflights : sent).push_back(*request);
    } else if (const auto* raise = std::get_if<RaiseLimit>(&action)) {
      file(raise->container).limit = limit_of(raise->limit);
      if (raise->slice && files.slice->limit.bytes < raise->slice->value) {
        files.slice->limit = limit_of(*raise->slice);
      }
    } else if (const auto* lower = std::get_if<LowerLimit>(&action)) {
      file(lower->container).limit = limit_of(lower->limit);
      if (lower->slice) files.slice->limit = limit_of(*lower->slice);
    } else if (const auto* repair = std::get_if<RepairSlice>(&action)) {
      files.slice->limit = limit_of(repair->limit);
    }
  }
}

ResizeStep& Scene::after(Nanoseconds time) {
  now += time;
  return step();
}

void Scene::run_until(MonotonicTime end) {
  while (now < end) {
    const MonotonicTime wake = last.wake.value_or(end);
    now = std::min({std::max(wake, now + milliseconds(1)), now + seconds(1), end});
    step();
  }
}

void Scene::say(EngineWord::Kind kind, Bytes to, Bytes rate, const std::string& container) {
  words_.push_back({.kind = kind,
                    .container = container,
                    .change = MemoryChange{Bytes{file(container).limit.bytes}, to},
                    .rate_per_second = rate,
                    .layer = Layer::kAtTheLimit,
                    .reason = Reason::kReclaimFailing,
                    .at = now});
}

void Scene::grant(Bytes to, Bytes rate, const std::string& container) {
  say(EngineWord::Kind::kGrant, to, rate, container);
  const std::uint64_t more = to.value - file(container).limit.bytes;
  file(container).limit = limit_of(to);
  files.slice->limit.bytes += more;
}

void Scene::wish(Bytes to, const std::string& container) {
  say(EngineWord::Kind::kWish, to, {}, container);
}

ContainerCpuPolicy& Scene::allow_cpu(MilliCpu ceiling, const std::string& container) {
  const kube::Resources& resources = kube::find_container(pod, container)->resources;
  for (ContainerPolicy& each : policies) {
    if (each.name != container) continue;
    const MilliCpu floor = resources.limits.cpu.value();
    each.cpu = ContainerCpuPolicy{.floor = floor,
                                  .ceiling = ceiling,
                                  .promised = resources.requests.cpu.value_or(MilliCpu{}),
                                  .boost = floor};
    return *each.cpu;
  }
  ADD_FAILURE() << "no policy of " << container;
  return policies.front().cpu.emplace();
}

void Scene::say_cpu(EngineWord::Kind kind, MilliCpu to, Reason reason,
                    const std::string& container) {
  words_.push_back({.kind = kind,
                    .container = container,
                    .change = CpuChange{{}, to},
                    .reason = reason,
                    .at = now});
}

void Scene::grant_cpu(MilliCpu to, Reason reason, const std::string& container) {
  say_cpu(EngineWord::Kind::kGrant, to, reason, container);
}

void Scene::shrink_cpu(MilliCpu to, Reason reason, const std::string& container) {
  say_cpu(EngineWord::Kind::kShrink, to, reason, container);
}

void Scene::wish_cpu(MilliCpu to, Reason reason, const std::string& container) {
  say_cpu(EngineWord::Kind::kWish, to, reason, container);
}

void Scene::accept() {
  const ResizeInFlight& request = state.in_flight ? *state.in_flight : *state.preflight;
  store(kube::applied(stored.value_or(pod), request.resize.changes));
}

void Scene::store(kube::Pod reply, bool watch_lags) {
  const bool dry = !state.in_flight;
  const ResizeInFlight& request = dry ? *state.preflight : *state.in_flight;
  if (!dry) {
    const kube::Pod before = stored.value_or(pod);
    reply.generation = before.generation ? std::optional(*before.generation + 1) : std::nullopt;
    reply.resource_version += "+";
    own_limits(reply, before, config.field_manager, now);
    if (stored) {
      stored = reply;
    } else if (!watch_lags) {
      pod = reply;
    }
  }
  outcomes_.push_back(
      {.id = request.id, .status = 200, .pod = reply, .sent = request.sent, .answered = now});
  step();
}

void Scene::catch_up() {
  pod = stored.value();
  stored.reset();
  step();
}

void Scene::refuse(kube::Refusal refusal) {
  const ResizeInFlight& request = state.in_flight ? *state.in_flight : *state.preflight;
  outcomes_.push_back({.id = request.id,
                       .status = 403,
                       .refusal = std::move(refusal),
                       .sent = request.sent,
                       .answered = now});
  step();
}

void Scene::refuse(const std::string& message) { refuse(refusal_of(403, message)); }

void Scene::answer_with(const kube::Response& response) {
  const ResizeInFlight& request = state.in_flight ? *state.in_flight : *state.preflight;
  const SendResize sent_one{.id = request.id, .resize = request.resize};
  outcomes_.push_back(outcome_of(sent_one, response, request.sent, now));
  step();
}

void Scene::time_out() {
  refuse(kube::Refusal{.code = Code::kUnavailable,
                       .cause = kube::Cause::kTransport,
                       .message = "deadline",
                       .outcome_unknown = true});
}

void Scene::actuate() {
  Bytes sum;
  for (kube::Container& each : pod.containers) {
    each.status->resources = each.resources;
    each.status->allocated = each.resources.requests;
    file(each.name).limit = limit_of(each.resources.limits.memory.value_or(Bytes{}));
    sum += each.resources.limits.memory.value_or(Bytes{});
  }
  files.slice->limit = limit_of(sum);
  pod.observed_generation = pod.generation;
  pod.resize = {};
}

void Scene::set_usage(Bytes usage, const std::string& container) {
  const Bytes before = file(container).usage;
  file(container).usage = usage;
  files.slice->usage = files.slice->usage - before + usage;
}

CgroupReading& Scene::file(const std::string& container) {
  for (ContainerReading& each : files.containers) {
    if (each.container == container) return each.memory;
  }
  ADD_FAILURE() << "no file of " << container;
  return files.containers.front().memory;
}

ContainerResize& Scene::container(const std::string& name) {
  for (ContainerResize& each : state.containers) {
    if (each.name == name) return each;
  }
  ADD_FAILURE() << "no container " << name;
  return state.containers.front();
}

const SendResize* Scene::patch() const {
  for (const ResizeAction& each : last.actions) {
    const auto* request = std::get_if<SendResize>(&each);
    if (request != nullptr && !request->resize.dry_run) return request;
  }
  return nullptr;
}

const CpuBounds* Scene::set_cpu_bounds() const {
  for (const ResizeAction& each : last.actions) {
    const auto* set = std::get_if<SetBounds>(&each);
    if (set == nullptr) continue;
    if (const auto* bounds = std::get_if<CpuBounds>(&set->bounds)) return bounds;
  }
  return nullptr;
}

bool Scene::forgets_cpu_wish() const {
  return std::any_of(last.actions.begin(), last.actions.end(), [](const ResizeAction& each) {
    const auto* forget = std::get_if<ForgetWish>(&each);
    return forget != nullptr && forget->resource == Resource::kCpu;
  });
}

std::vector<ResizeEvent> Scene::said(ResizeEvent::Kind kind) const {
  std::vector<ResizeEvent> found;
  for (const ResizeAnswer& each : answers) {
    if (each.answer.kind == kind) found.push_back(each.answer);
  }
  return found;
}

std::optional<Bytes> asked(const SendResize* request, const std::string& container) {
  if (request == nullptr) return std::nullopt;
  for (const kube::ResizeChange& change : request->resize.changes) {
    if (change.container == container) return change.limits.memory;
  }
  return std::nullopt;
}

std::optional<MilliCpu> asked_cpu(const SendResize* request, const std::string& container) {
  if (request == nullptr) return std::nullopt;
  for (const kube::ResizeChange& change : request->resize.changes) {
    if (change.container == container) return change.limits.cpu;
  }
  return std::nullopt;
}

void own_limits(kube::Pod& pod, const kube::Pod& before, const std::string& manager,
                MonotonicTime at) {
  kube::ResizedBy owner{.manager = manager};
  for (const kube::ResizedBy& each : before.resized_by) {
    if (each.manager == manager) owner = each;
  }
  owner.at = kube::ApiTime(std::chrono::duration_cast<seconds>(at.time_since_epoch()));
  pod.resized_by = before.resized_by;
  std::erase_if(pod.resized_by, [&](const auto& each) { return each.manager == manager; });
  const auto take = [&](const std::string& name,
                        std::vector<std::string> kube::ResizedBy::*limits) {
    for (kube::ResizedBy& each : pod.resized_by) std::erase(each.*limits, name);
    std::erase(owner.*limits, name);
    (owner.*limits).push_back(name);
  };
  for (const kube::Container& each : pod.containers) {
    const kube::Amounts& old = kube::find_container(before, each.name)->resources.limits;
    if (each.resources.limits.memory != old.memory)
      take(each.name, &kube::ResizedBy::memory_limits);
    if (each.resources.limits.cpu != old.cpu) take(each.name, &kube::ResizedBy::cpu_limits);
  }
  std::erase_if(pod.resized_by, [](const kube::ResizedBy& each) {
    return each.memory_limits.empty() && each.cpu_limits.empty();
  });
  if (owner.memory_limits.empty() && owner.cpu_limits.empty()) return;
  pod.resized_by.push_back(std::move(owner));
  std::sort(pod.resized_by.begin(), pod.resized_by.end(), [](const auto& a, const auto& b) {
    return std::tie(a.at, a.manager) < std::tie(b.at, b.manager);
  });
}

kube::Refusal refusal_of(int status, const std::string& message) {
  const nlohmann::json body{{"kind", "Status"},
                            {"status", "Failure"},
                            {"message", message},
                            {"reason", status == 403 ? "Forbidden" : "Invalid"},
                            {"details", {{"name", "web"}, {"kind", "pods"}}},
                            {"code", status}};
  return kube::classify(
      kube::Response{.status = status, .content_type = "application/json", .body = body.dump()});
}

Scene armed(kube::Pod pod) {
  Scene scene(std::move(pod));
  scene.step();
  EXPECT_EQ(scene.preflights.size(), 1u);
  scene.accept();
  scene.answers.clear();
  return scene;
}

Scene armed_cpu(kube::Pod pod) {
  Scene scene(std::move(pod));
  for (const ContainerPolicy& each : scene.policies) scene.allow_cpu(kCpuMost, each.name);
  scene.step();
  scene.accept();
  scene.accept();
  EXPECT_EQ(scene.preflights.size(), 2u);
  EXPECT_FALSE(scene.state.preflight);
  scene.answers.clear();
  return scene;
}

void carry_out(Scene& scene) {
  ASSERT_TRUE(scene.state.in_flight);
  scene.accept();
  scene.actuate();
  scene.after(milliseconds(500));
}

std::string cpu_quota(const std::string& used, const std::string& limited) {
  return "pods \"web\" is forbidden: exceeded quota: rq, requested: limits.cpu=3500m, used: "
         "limits.cpu=" +
         used + ", limited: limits.cpu=" + limited;
}

void resizes(Scene& scene, const std::string& manager, Bytes to) {
  const kube::Pod before = scene.pod;
  scene.pod.containers[0].resources.limits.memory = to;
  scene.pod.generation = *scene.pod.generation + 1;
  own_limits(scene.pod, before, manager, scene.now);
}

void vpa_resizes(Scene& scene, Bytes to) { resizes(scene, "vpa-updater", to); }

kube::ResizeCondition condition(std::string reason, std::string message) {
  return {.reason = std::move(reason), .message = std::move(message), .observed_generation = 2};
}

std::pair<Bytes, Bytes> applied(const Scene& scene) {
  const std::vector<ResizeEvent> said = scene.said(ResizeEvent::Kind::kApplied);
  if (said.empty()) return {};
  const auto& change = std::get<MemoryChange>(said.back().change);
  return {change.from, change.to};
}

}  // namespace plimsoll::agent::resize_test
