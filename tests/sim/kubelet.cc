// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/kubelet.h"

#include <algorithm>

#include "kube/resize.h"

namespace plimsoll::sim {
namespace {

constexpr Nanoseconds kErrorBackoff = std::chrono::seconds(10);
constexpr const char* kTop = "kubepods.slice";

std::string slice_of(const kube::Pod& pod) {
  std::string uid = pod.id.uid;
  std::replace(uid.begin(), uid.end(), '-', '_');
  const std::string top = kTop;
  if (pod.qos == kube::QosClass::kGuaranteed) return top + "/kubepods-pod" + uid + ".slice";
  return top + "/kubepods-burstable.slice/kubepods-burstable-pod" + uid + ".slice";
}

}  // namespace

const RunningContainer* Kubelet::find(const std::string& uid, const std::string& name) const {
  const auto pod = pods_.find(uid);
  if (pod == pods_.end()) return nullptr;
  for (const RunningContainer& each : pod->second.containers) {
    if (each.name == name) return &each;
  }
  return nullptr;
}

void Kubelet::make(const kube::Pod& pod, RunningPod& running, const std::string& name,
                   MonotonicTime now) {
  std::string id = std::to_string(++made_);
  id = std::string(64 - id.size(), '0') + id;
  RunningContainer made{.name = name,
                        .path = running.slice + "/cri-containerd-" + id + ".scope",
                        .actuated = kube::find_container(pod, name)->resources,
                        .since = now};
  cgroups_.make(made.path);
  const kube::Amounts& limits = made.actuated.limits;
  cgroups_.write_memory(made.path, limits.memory ? limit_of(*limits.memory) : kNoLimit);
  if (limits.cpu) (void)cgroups_.write_cpu(made.path, *limits.cpu);
  running.containers.push_back(std::move(made));
  api_.change(pod.id.uid, [&](kube::Pod& stored) {
    for (kube::Container& each : stored.containers) {
      if (each.name != name) continue;
      const std::uint32_t restarts = each.status ? each.status->restart_count + 1 : 0;
      each.status = kube::ContainerStatus{.id = "containerd://" + id,
                                          .state = kube::ContainerState::kRunning,
                                          .ready = true,
                                          .started = true,
                                          .restart_count = restarts,
                                          .resources = each.resources,
                                          .allocated = each.resources.requests};
    }
    stored.phase = kube::PodPhase::kRunning;
    if (!stored.observed_generation) stored.observed_generation = stored.generation;
  });
}

void Kubelet::start(const kube::Pod& pod, MonotonicTime now) {
  RunningPod running{
      .slice = slice_of(pod), .containers = {}, .generation = *pod.generation, .due = {}};
  cgroups_.make(running.slice);
  const std::string uid = pod.id.uid;
  write_slice(pod, running);
  RunningPod& put = pods_.insert_or_assign(uid, std::move(running)).first->second;
  for (const kube::Container& each : kube::Pod(pod).containers) make(pod, put, each.name, now);
}

void Kubelet::write_slice(const kube::Pod& pod, const RunningPod& running) {
  const auto memory = kube::pod_memory_limit(pod);
  cgroups_.write_memory(running.slice, memory ? limit_of(*memory) : kNoLimit);
  if (const auto cpu = kube::pod_cpu_limit(pod)) {
    if (!cgroups_.write_cpu(running.slice, *cpu)) failed_.push_back({pod.id.uid, ""});
  }
}

void Kubelet::tell(const std::string& uid, const std::string& reason, const std::string& message) {
  api_.change(uid, [&](kube::Pod& pod) {
    kube::ResizeCondition condition{.reason = reason, .message = message};
    condition.observed_generation = pod.generation;
    pod.resize = {};
    (reason == "Error" ? pod.resize.in_progress : pod.resize.pending) = condition;
    pod.observed_generation = pod.generation;
  });
}

void Kubelet::actuate(const kube::Pod& pod, RunningPod& running, MonotonicTime now) {
  const std::string uid = pod.id.uid;
  if (mode_ == kInfeasible) return tell(uid, "Infeasible", "Node didn't have enough capacity");
  if (mode_ == kDefers) {
    running.due = now + kErrorBackoff;
    return tell(uid, "Deferred", "Node didn't have enough resource: memory");
  }
  bool failed = mode_ == kFails;
  for (RunningContainer& each : running.containers) {
    const kube::Resources& wanted = kube::find_container(pod, each.name)->resources;
    if (wanted.limits.memory && *wanted.limits.memory < each.actuated.limits.memory &&
        cgroups_.usage(each.path) >= *wanted.limits.memory) {
      failed = true;
    }
  }
  if (failed) {
    running.due = now + kErrorBackoff;
    return tell(uid, "Error",
                "cannot decrease memory limits: attempting to set pod memory limit "
                "below current usage");
  }
  // Raised before its containers and lowered after them: in one moment, that is the same.
  write_slice(pod, running);
  for (RunningContainer& each : running.containers) {
    const kube::Resources& wanted = kube::find_container(pod, each.name)->resources;
    if (wanted == each.actuated) continue;
    if (wanted.limits.cpu && !cgroups_.write_cpu(each.path, *wanted.limits.cpu)) {
      failed_.push_back({uid, each.name});
      failed = true;
      continue;
    }
    // Also when only its CPU has changed.
    if (wanted.limits.memory) cgroups_.write_memory(each.path, limit_of(*wanted.limits.memory));
    each.actuated = wanted;
  }
  if (failed) {
    running.due = now + kErrorBackoff;
    return tell(uid, "Error", "failed to write cpu.max: invalid argument");
  }
  api_.change(uid, [&](kube::Pod& stored) {
    for (kube::Container& each : stored.containers) {
      if (!each.status) continue;
      const kube::Container* actuated = kube::find_container(pod, each.name);
      each.status->resources = actuated->resources;
      each.status->allocated = actuated->resources.requests;
    }
    stored.resize = {};
    stored.observed_generation = pod.generation;
  });
}

void Kubelet::turn(MonotonicTime now) {
  if (mode_ == kDead) return;
  const auto due = next();
  if (seen_ == api_.version() && !(due && *due <= now)) return;
  seen_ = api_.version();
  for (auto at = pods_.begin(); at != pods_.end();) {
    if (api_.find(at->first) == nullptr) {
      cgroups_.remove(at->second.slice);
      at = pods_.erase(at);
    } else {
      ++at;
    }
  }
  const std::map<std::string, kube::Pod> all = api_.pods();
  for (const auto& [uid, pod] : all) {
    const auto known = pods_.find(uid);
    if (known == pods_.end()) {
      start(pod, now);
      continue;
    }
    RunningPod& running = known->second;
    if (running.generation != *pod.generation) {
      running.generation = *pod.generation;
      running.due = now + late_;
    }
    if (!running.due || *running.due > now) continue;
    running.due.reset();
    actuate(pod, running, now);
  }
}

std::optional<MonotonicTime> Kubelet::next() const {
  std::optional<MonotonicTime> next;
  if (mode_ == kDead) return next;
  for (const auto& [uid, pod] : pods_) {
    if (pod.due && (!next || *pod.due < *next)) next = pod.due;
  }
  return next;
}

void Kubelet::restart(const std::string& uid, const std::string& name, bool killed,
                      MonotonicTime now) {
  const auto pod = pods_.find(uid);
  const kube::Pod* stored = api_.find(uid);
  if (pod == pods_.end() || stored == nullptr) return;
  std::erase_if(pod->second.containers, [&](const RunningContainer& each) {
    if (each.name != name) return false;
    cgroups_.remove(each.path);
    return true;
  });
  make(*stored, pod->second, name, now);
  if (!killed) return;
  api_.change(uid, [&](kube::Pod& changed) {
    for (kube::Container& each : changed.containers) {
      if (each.name != name) continue;
      each.status->last_state = kube::Termination{.reason = "OOMKilled", .exit_code = 137};
    }
  });
}

void Kubelet::reload(const std::string& uid) {
  const auto pod = pods_.find(uid);
  if (pod == pods_.end()) return;
  const auto again = [&](const std::string& path) {
    cgroups_.write_memory(path, cgroups_.written(path));
    const MilliCpu cpu = cgroups_.cpu_written(path);
    if (cpu > MilliCpu{}) (void)cgroups_.write_cpu(path, cpu);
  };
  again(pod->second.slice);
  for (const RunningContainer& each : pod->second.containers) again(each.path);
}

}  // namespace plimsoll::sim
