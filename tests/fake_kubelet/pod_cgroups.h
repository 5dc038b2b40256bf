// SPDX-License-Identifier: Apache-2.0
//
// PodCgroups: a pod's cgroups and processes: made, limited in the kubelet's order of writes, set
// back as others set them back, removed.
#pragma once

#include <functional>
#include <string>

#include "tests/fake_kubelet/cgroup_files.h"
#include "tests/fake_kubelet/layout.h"
#include "tests/fake_kubelet/pod_state.h"

namespace plimsoll::test {

class PodCgroups {
 public:
  struct Options {
    Layout layout;
    std::string logs;          // directory of the containers' output; empty: the kubelet's own
    bool run_commands = true;  // false: containers without processes
    bool sandbox = true;       // the pause container's cgroup, which no status tells of
  };
  PodCgroups(CgroupFiles files, Options options);

  // The slice with its limits, and the sandbox.
  bool make(PodState& pod) const;
  // A new cgroup under a new id, with the limits of the accepted spec; false when it cannot.
  bool start(PodState& pod, ContainerState& container) const;
  void stop(ContainerState& container) const;
  // A turn of its readiness probe: true when the container is ready now and was not, or the
  // reverse.
  bool probe(const PodState& pod, ContainerState& container) const;
  void remove(PodState& pod) const;

  // What a lowering to the accepted spec would refuse: the message of the condition, else "".
  std::string too_low(const PodState& pod) const;
  // The accepted memory limits, in two halves: slice when it grows; then containers, decreases
  // first, and the slice when it shrinks. With them each changed container's CPU limit. A container
  // whose CPU changes gets its memory.max again as this kubelet last set it, whatever was there.
  void actuate_growth_of_slice(PodState& pod) const;
  void actuate(PodState& pod) const;

  // Section 3.5 of the contract. As after daemon-reload: both back to what was last set here.
  void reset(PodState& pod) const;
  void write_slice(PodState& pod, std::optional<std::int64_t> memory) const;

  const CgroupFiles& files() const { return files_; }
  const Layout& layout() const { return options_.layout; }

 private:
  std::string log_of(const PodState& pod, const ContainerState& container) const;
  void write_memory(const std::string& group, std::optional<std::int64_t> bytes) const;
  void write_cpu(const std::string& group, std::optional<std::int64_t> milli) const;

  CgroupFiles files_;
  Options options_;
};

// The spec of one container in a pod's spec; null when it is not there.
const Json& container_spec(const Json& spec, const ContainerState& container);

}  // namespace plimsoll::test
