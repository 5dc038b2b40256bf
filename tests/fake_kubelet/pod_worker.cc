// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_kubelet/pod_worker.h"

#include <algorithm>

#include "tests/fake_api/pod_resources.h"
#include "tests/fake_api/store.h"
#include "tests/fake_kubelet/fake_kubelet.h"

namespace plimsoll::test {
namespace {

using std::chrono::milliseconds;

// Seen by the kubelet, then accepted, in parts of the way to the container's new limit; as v1 and
// v11 were recorded.
constexpr milliseconds kLongestToAccept{150};
constexpr milliseconds kLongestToReport{200};
constexpr milliseconds kSliceAfterStart{130};
constexpr milliseconds kLongestBackoff = std::chrono::minutes(5);

bool restarts_for(const Json& container, const char* resource) {
  const Json& policies = member(container, "resizePolicy");
  return std::any_of(policies.begin(), policies.end(), [&](const Json& policy) {
    return text_at(policy, "resourceName") == resource &&
           text_at(policy, "restartPolicy") == "RestartContainer";
  });
}

bool differs(const Json& a, const Json& b, const char* resource) {
  for (const char* kind : {"limits", "requests"}) {
    if (!same(member(member(a, kind), resource), member(member(b, kind), resource))) return true;
  }
  return false;
}

bool restarts_by_itself(const PodState& pod, const ContainerState& container,
                        const ExitState& state) {
  const std::string policy = text_at(pod.spec, "restartPolicy");
  return container.sidecar || policy == "Always" || policy.empty() ||
         (policy == "OnFailure" && state.code != 0);
}

std::string event_message(const char* what, const PodState& pod) {
  return std::string("Pod resize ") + what + ": " + resize_details(pod, pod.spec);
}

}  // namespace

PodWorker::PodWorker(const FakeKubeletOptions& options, const KubeletApi& api)
    : options_(options),
      api_(api),
      cgroups_(CgroupFiles(options.cgroup_root, options.made, options.writing),
               {options.layout, options.logs, !options.made || options.run, options.sandbox}),
      minor_(api.minor()),
      least_delay_(options.least_delay),
      most_delay_(options.most_delay) {}

void PodWorker::set_delay(milliseconds least, milliseconds most) {
  least_delay_ = least;
  most_delay_ = most;
}

ResizeMode PodWorker::mode_of(const PodState& pod) const {
  for (const std::string& key : {pod.key(), std::string("*")}) {
    const auto found = modes_.find(key);
    if (found != modes_.end()) return found->second;
  }
  return ResizeMode::kApply;
}

std::optional<PodState> PodWorker::admit(const Json& object) {
  const Json& metadata = object["metadata"];
  const std::string phase = text_at(member(object, "status"), "phase");
  if (phase == "Succeeded" || phase == "Failed" ||
      member(metadata, "annotations").contains("kubernetes.io/config.mirror")) {
    return std::nullopt;
  }
  PodState pod;
  pod.space = text_at(metadata, "namespace");
  pod.name = text_at(metadata, "name");
  pod.uid = text_at(metadata, "uid");
  pod.qos = qos_class(object);
  pod.slice = cgroups_.layout().pod(pod.qos, pod.uid);
  pod.started = timestamp();
  pod.spec = object["spec"];
  pod.allocated = pod.spec;
  pod.generation = metadata.value("generation", 0);
  pod.observed = pod.generation;
  for (const std::string_view list : {kInitContainers, kContainers}) {
    for (const Json& container : member(pod.spec, list)) {
      const bool sidecar = list == kInitContainers;
      // Ordinary init containers are taken for done.
      if (sidecar && !is_sidecar(container)) continue;
      ContainerState state;
      state.name = text_at(container, "name");
      state.sidecar = sidecar;
      pod.containers.push_back(std::move(state));
    }
  }
  if (!cgroups_.make(pod)) return std::nullopt;
  for (ContainerState& container : pod.containers) start(pod, container);
  publish(pod);
  return pod;
}

void PodWorker::publish(PodState& pod) {
  if (pod.ready() != pod.told_ready) {
    pod.told_ready = pod.ready();
    pod.ready_changed = timestamp();
    pod.ready_since.reset();
    if (pod.told_ready) pod.ready_since = KubeletClock::now();
  }
  api_.publish(pod, status_of(pod, cgroups_.layout(), minor_));
}

void PodWorker::start(PodState& pod, ContainerState& container) {
  if (cgroups_.start(pod, container)) return;
  container.state = {{"waiting", {{"reason", "CreateContainerError"}}}};
  container.next_start = KubeletClock::now() + options_.backoff;
}

void PodWorker::changed(PodState& pod, const Json& object) {
  pod.spec = object["spec"];
  pod.generation = object["metadata"].value("generation", 0);
}

void PodWorker::ended(PodState& pod, ContainerState& container, const ExitState& state) {
  const bool oom = cgroups_.files().events(container.group, "oom_kill") > 0;
  const char* reason = oom && state.signal != 0 ? "OOMKilled"
                       : state.code == 0        ? "Completed"
                                                : "Error";
  const Json over{{"exitCode", state.code},
                  {"reason", reason},
                  {"startedAt", member(member(container.state, "running"), "startedAt")},
                  {"finishedAt", timestamp()},
                  {"containerID", cgroups_.layout().container_id(container.id)}};
  cgroups_.stop(container);
  container.state = {{"terminated", over}};
  publish(pod);
  if (!restarts_by_itself(pod, container, state)) return;
  container.last_state = {{"terminated", over}};
  container.next_start = KubeletClock::now() + container.backoff;
  if (container.backoff.count() > 0) {
    container.state = {
        {"waiting",
         {{"reason", "CrashLoopBackOff"},
          {"message", "back-off " + std::to_string(container.backoff.count() / 1000) +
                          "s restarting failed container=" + container.name + " pod=" + pod.name +
                          "_" + pod.space + "(" + pod.uid + ")"}}}};
    publish(pod);
  }
  container.backoff = container.backoff.count() == 0
                          ? options_.backoff
                          : std::min(container.backoff * 2, kLongestBackoff);
}

void PodWorker::look_at_containers(PodState& pod) {
  const auto now = KubeletClock::now();
  for (ContainerState& container : pod.containers) {
    if (container.running && container.process) {
      if (const auto state = container.process->ended()) ended(pod, container, *state);
    }
    if (container.running && cgroups_.probe(pod, container)) publish(pod);
    if (container.running || !container.next_start || *container.next_start > now) continue;
    ++container.restarts;
    start(pod, container);
    // A limit that came while it was down reaches the slice only once it runs.
    if (!options_.slice_left_small) pod.slice_due = now + kSliceAfterStart;
    publish(pod);
  }
  if (pod.slice_due && *pod.slice_due <= now) {
    pod.slice_due.reset();
    cgroups_.actuate_growth_of_slice(pod);
  }
}

bool PodWorker::restart(PodState& pod, const std::string& container) {
  const auto found = std::find_if(pod.containers.begin(), pod.containers.end(),
                                  [&](const ContainerState& one) { return one.name == container; });
  if (found == pod.containers.end()) return false;
  found->last_state = {{"terminated",
                        {{"exitCode", 137},
                         {"reason", "Error"},
                         {"startedAt", member(member(found->state, "running"), "startedAt")},
                         {"finishedAt", timestamp()},
                         {"containerID", cgroups_.layout().container_id(found->id)}}}};
  ++found->restarts;
  start(pod, *found);
  publish(pod);
  return true;
}

void PodWorker::refuse(PodState& pod, ResizeMode mode) {
  const bool deferred = mode == ResizeMode::kDeferred;
  const std::string reason = deferred ? "Deferred" : "Infeasible";
  if (pod.pending_reason == reason && pod.observed == pod.generation) return;
  const std::string requested =
      std::to_string(pod_total(Json{{"spec", pod.spec}}, "requests", "memory"));
  pod.pending_reason = reason;
  pod.pending_message = deferred
                            ? "Node didn't have enough resource: memory, requested: " + requested +
                                  ", used: 1639972864, capacity: 3070611456"
                            : "Node didn't have enough capacity: memory, requested: " + requested +
                                  ", capacity: 134217728";
  pod.observed = pod.generation;
  publish(pod);
  api_.event(pod, true, "Resize" + reason,
             event_message(deferred ? "deferred" : "infeasible", pod));
}

void PodWorker::begin_resize(PodState& pod) {
  if (same_amounts(pod.spec, pod.allocated) && pod.pending_reason.empty()) {
    // Nothing to do but to say that it was seen.
    if (pod.observed == pod.generation || mode_of(pod) == ResizeMode::kNever) return;
    pod.observed = pod.generation;
    publish(pod);
    return;
  }
  const ResizeMode mode = mode_of(pod);
  if (mode == ResizeMode::kNever) return;
  if (mode != ResizeMode::kApply && !same_amounts(pod.spec, pod.allocated)) {
    refuse(pod, mode);
    return;
  }
  const auto spread = static_cast<std::minstd_rand::result_type>(
      std::max<milliseconds::rep>(0, (most_delay_ - least_delay_).count()));
  pod.delay = least_delay_ + milliseconds(spread == 0 ? 0 : random_() % (spread + 1));
  pod.phase = PodState::Phase::kSeen;
  pod.next = KubeletClock::now() + std::min(pod.delay * 3 / 10, kLongestToAccept);
}

// Containers whose policy says so start anew with the accepted limits.
void PodWorker::restart_for_policy(PodState& pod, const Json& before) {
  for (ContainerState& container : pod.containers) {
    const Json& spec = container_spec(pod.allocated, container);
    const Json& was = member(container_spec(before, container), "resources");
    const Json& is = member(spec, "resources");
    const bool restarts = (restarts_for(spec, "memory") && differs(was, is, "memory")) ||
                          (restarts_for(spec, "cpu") && differs(was, is, "cpu"));
    if (restarts && container.running) restart(pod, container.name);
  }
}

void PodWorker::finish(PodState& pod) {
  for (ContainerState& container : pod.containers) {
    container.reported = member(container_spec(pod.allocated, container), "resources");
  }
  pod.in_progress = false;
  pod.error.clear();
  pod.phase = PodState::Phase::kNone;
  publish(pod);
  api_.event(pod, false, "ResizeCompleted", event_message("completed", pod));
}

void PodWorker::go_on(PodState& pod) {
  using Phase = PodState::Phase;
  const auto now = KubeletClock::now();
  // A newer spec takes the place of one that could not be carried out.
  if (pod.phase == Phase::kFailed && !same_amounts(pod.spec, pod.allocated)) pod.next = now;
  if (pod.next > now) return;
  switch (pod.phase) {
    case Phase::kNone:
      return;
    case Phase::kSeen: {
      const Json before = pod.allocated;
      pod.allocated = pod.spec;
      pod.observed = pod.generation;
      pod.pending_reason.clear();
      pod.pending_message.clear();
      pod.in_progress = true;
      pod.error.clear();
      publish(pod);
      api_.event(pod, false, "ResizeStarted", event_message("started", pod));
      // Its resources are part of the key of a container's back-off.
      for (ContainerState& container : pod.containers) {
        if (!container.running && container.next_start) container.next_start = now;
      }
      restart_for_policy(pod, before);
      pod.phase = Phase::kAccepted;
      pod.next = now + pod.delay / 20;
      return;
    }
    case Phase::kAccepted: {
      const std::string problem = cgroups_.too_low(pod);
      if (!problem.empty()) {
        pod.phase = Phase::kFailed;
        pod.next = now + options_.error_delay;
        return;
      }
      const bool down = std::none_of(pod.containers.begin(), pod.containers.end(),
                                     [](const ContainerState& one) { return one.running; });
      if (!(down && options_.slice_left_small)) cgroups_.actuate_growth_of_slice(pod);
      pod.phase = Phase::kSliceDone;
      pod.next = now + pod.delay - std::min(pod.delay * 3 / 10, kLongestToAccept);
      return;
    }
    case Phase::kFailed: {
      if (!same_amounts(pod.spec, pod.allocated)) {
        pod.phase = Phase::kNone;
        begin_resize(pod);
        return;
      }
      const std::string problem = cgroups_.too_low(pod);
      if (problem.empty()) {
        pod.phase = Phase::kAccepted;
        return;
      }
      pod.next = now + options_.error_delay;
      if (pod.error == problem) return;
      pod.error = problem;
      publish(pod);
      api_.event(pod, true, "ResizeError", event_message("error", pod));
      return;
    }
    case Phase::kSliceDone:
      cgroups_.actuate(pod);
      pod.phase = Phase::kActuated;
      pod.next = now + std::min(pod.delay * 4 / 10, kLongestToReport);
      return;
    case Phase::kActuated:
      finish(pod);
      return;
  }
}

void PodWorker::turn(PodState& pod) {
  look_at_containers(pod);
  if (pod.phase == PodState::Phase::kNone) begin_resize(pod);
  go_on(pod);
}

}  // namespace plimsoll::test
