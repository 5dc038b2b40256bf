// SPDX-License-Identifier: Apache-2.0
//
// PodState: what the fake kubelet knows of one pod, and the status that it tells the API of it, in
// the words that a real 1.36 kubelet was recorded with.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/fake_api/json.h"
#include "tests/fake_kubelet/container_process.h"
#include "tests/fake_kubelet/layout.h"
#include "tests/fake_kubelet/readiness.h"

namespace plimsoll::test {

using KubeletClock = std::chrono::steady_clock;

struct ContainerState {
  std::string name;
  bool sidecar = false;
  std::string id;
  std::string group;
  std::optional<ContainerProcess> process;
  // Of the cgroup, as this kubelet last set them: what systemd would set them to again.
  std::optional<std::int64_t> actuated_memory;
  std::optional<std::int64_t> actuated_cpu;  // thousandths
  Json reported;                             // resources of the status
  Json state = Json::object();
  Json last_state = Json::object();
  bool running = false;
  KubeletClock::time_point running_since{};  // while it runs, as readiness
  Readiness readiness;
  int restarts = 0;
  std::chrono::milliseconds backoff{0};
  std::optional<KubeletClock::time_point> next_start;

  bool ready() const { return running && readiness.ready(); }
};

enum class ResizeMode { kApply, kNever, kDeferred, kInfeasible };

struct PodState {
  std::string space;
  std::string name;
  std::string uid;
  std::string qos;
  std::string slice;
  std::string started;
  Json spec;       // as the API has it
  Json allocated;  // the spec that was accepted
  std::int64_t generation = 0;
  std::int64_t observed = 0;
  std::optional<std::int64_t> actuated_memory;  // of the slice
  std::optional<std::int64_t> actuated_cpu;
  std::vector<ContainerState> containers;
  bool leaving = false;
  bool told_ready = false;  // in the status as it was told last
  std::string ready_changed;
  std::optional<KubeletClock::time_point> ready_since;

  // One resize at a time; the newest spec when it begins.
  enum class Phase { kNone, kSeen, kAccepted, kSliceDone, kActuated, kFailed };
  Phase phase = Phase::kNone;
  KubeletClock::time_point next{};
  std::chrono::milliseconds delay{0};
  std::string pending_reason;  // Deferred, Infeasible
  std::string pending_message;
  bool in_progress = false;
  std::string error;
  std::optional<KubeletClock::time_point> slice_due;  // after a restart with a new limit

  std::string key() const { return space + "/" + name; }
  bool ready() const;  // all of its containers are
};

// status for a strategic merge; conditions that do not hold are deleted. `minor` of the API.
Json status_of(const PodState& pod, const Layout& layout, int minor);

// What a limit is worth: of a container's resources; none without one.
std::optional<std::int64_t> memory_limit(const Json& resources);
std::optional<std::int64_t> cpu_limit(const Json& resources);  // thousandths

// The sum over what runs together, none when one of them has no limit and the pod has none itself.
std::optional<std::int64_t> pod_memory_limit(const Json& spec);
std::optional<std::int64_t> pod_cpu_limit(const Json& spec);

// {"containers":[…],"generation":2} of the Events about a resize.
std::string resize_details(const PodState& pod, const Json& spec);

}  // namespace plimsoll::test
