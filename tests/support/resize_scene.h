// SPDX-License-Identifier: Apache-2.0
//
// A pod, its files and its API server in front of step(), for the tests of agent/resize/plan: each
// step() keeps the state and what came out of it. Time only passes when a test says so.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/apiserver/health.h"
#include "agent/resize/plan.h"
#include "kube/http.h"

namespace plimsoll::agent::resize_test {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Bytes mib(std::uint64_t n) { return {n * kMiB}; }
inline constexpr MonotonicTime kStart{std::chrono::hours(1)};

kube::Container container_of(std::string name, Bytes request, Bytes limit);
// One Burstable container "app", 64 MiB requested, limit 128 MiB, on node-a.
kube::Pod burstable_pod();
kube::Pod guaranteed_pod();

using CpuBounds = EngineBounds<MilliCpu>;

class Scene {
 public:
  explicit Scene(kube::Pod pod = burstable_pod());

  // ---- the world
  kube::Pod pod;                    // as the watch has it
  std::optional<kube::Pod> stored;  // as the API server has it; absent: the same
  std::vector<ContainerPolicy> policies;
  ResizeConfig config;
  ApiStatus api;
  PodReading files;
  MonotonicTime now = kStart;

  // ---- the plan
  PodResize state;
  ResizeStep last;                    // of the step before
  std::vector<ResizeAnswer> answers;  // of all steps
  std::vector<SendResize> sent;       // storing ones, of all steps
  std::vector<SendResize> preflights;

  // A step; words and outcomes that were put in before go with it.
  ResizeStep& step();
  ResizeStep& after(Nanoseconds time);
  // Steps at every wake and at least once a second, until `end`.
  void run_until(MonotonicTime end);

  void say(EngineWord::Kind kind, Bytes to, Bytes rate = {}, const std::string& container = "app");
  // The engine writes: the file follows, and so does the slice.
  void grant(Bytes to, Bytes rate = {}, const std::string& container = "app");
  void wish(Bytes to, const std::string& container = "app");

  // The CPU limit of that container may go to `ceiling`. Without this it is left alone.
  ContainerCpuPolicy& allow_cpu(MilliCpu ceiling, const std::string& container = "app");
  void say_cpu(EngineWord::Kind kind, MilliCpu to, Reason reason = Reason::kThrottled,
               const std::string& container = "app");
  void grant_cpu(MilliCpu to, Reason reason = Reason::kThrottled,
                 const std::string& container = "app");
  void shrink_cpu(MilliCpu to, Reason reason = Reason::kLeaseEnded,
                  const std::string& container = "app");
  void wish_cpu(MilliCpu to, Reason reason = Reason::kThrottled,
                const std::string& container = "app");

  // What the API server answers to the PATCH or dry run under way, then a step.
  void accept();
  // The same, but this is stored; and perhaps the watch does not show it yet, as where `stored` is.
  void store(kube::Pod reply, bool watch_lags = false);
  // The watch shows what is stored.
  void catch_up();
  void answer_with(const kube::Response& response);
  void refuse(kube::Refusal refusal);
  void refuse(const std::string& message);  // 403
  void time_out();
  // The kubelet carries out the spec: files and status.
  void actuate();

  void set_usage(Bytes usage, const std::string& container = "app");
  CgroupReading& file(const std::string& container = "app");
  ContainerResize& container(const std::string& name = "app");
  const EngineBounds<Bytes>& bounds(const std::string& name = "app") {
    return *memory(name).bounds;
  }
  MemoryRequest& memory(const std::string& name = "app") { return container(name).memory; }
  CpuRequest& cpu(const std::string& name = "app") { return container(name).cpu; }
  const CpuBounds& cpu_bounds(const std::string& name = "app") { return *cpu(name).bounds; }

  // Of the last step.
  const SendResize* patch() const;
  template <typename Action>
  const Action* action() const {
    for (const ResizeAction& each : last.actions) {
      if (const Action* found = std::get_if<Action>(&each)) return found;
    }
    return nullptr;
  }
  const CpuBounds* set_cpu_bounds() const;
  bool forgets_cpu_wish() const;
  // The answers of that kind, of all steps.
  std::vector<ResizeEvent> said(ResizeEvent::Kind kind) const;

 private:
  std::vector<EngineWord> words_;
  std::vector<ResizeOutcome> outcomes_;
  void apply(const ResizeStep& step);
};

std::optional<Bytes> asked(const SendResize* request, const std::string& container = "app");
std::optional<MilliCpu> asked_cpu(const SendResize* request, const std::string& container = "app");

// As the API server keeps managedFields: the limits of `pod` that are not as `before` are
// `manager`'s from now on, and nobody else's. Entries are in the order of their seconds, then of
// their names.
void own_limits(kube::Pod& pod, const kube::Pod& before, const std::string& manager,
                MonotonicTime at);

// What the API server says with `body`, a message of a Status.
kube::Refusal refusal_of(int status, const std::string& message);

// A scene whose container has been armed: the dry run for its ceiling was taken.
Scene armed(kube::Pod pod = burstable_pod());
// The same of CPU limits, which may go from kCpuFloor to kCpuMost.
constexpr MilliCpu cpus(std::uint64_t thousandths) { return {thousandths}; }
inline constexpr MilliCpu kCpuFloor = cpus(500);
inline constexpr MilliCpu kCpuMost = cpus(4000);
Scene armed_cpu(kube::Pod pod = burstable_pod());
// The PATCH under way is taken, carried out, and seen to be.
void carry_out(Scene& scene);
// What a quota says to 3500m more.
std::string cpu_quota(const std::string& used, const std::string& limited);
// Stores a resize of "app" by somebody.
void resizes(Scene& scene, const std::string& manager, Bytes to);
void vpa_resizes(Scene& scene, Bytes to);
// The limits before and after, of the last resize that came into force.
std::pair<Bytes, Bytes> applied(const Scene& scene);
// About the second generation of the spec.
kube::ResizeCondition condition(std::string reason, std::string message);

inline constexpr const char* kNotAllowed =
    "pods \"web\" is forbidden: User \"system:serviceaccount:demo:p\" cannot patch resource "
    "\"pods/resize\" in API group \"\" in the namespace \"demo\"";

}  // namespace plimsoll::agent::resize_test
