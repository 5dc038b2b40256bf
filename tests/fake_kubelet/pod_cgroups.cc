// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_kubelet/pod_cgroups.h"

#include <algorithm>
#include <limits>
#include <thread>

#include "tests/fake_api/pod_resources.h"
#include "tests/fake_api/status.h"
#include "tests/fake_api/store.h"

namespace plimsoll::test {
namespace {

constexpr std::int64_t kPeriod = 100'000;

std::string random_id() {
  std::string id;
  while (id.size() < 64) {
    for (const char c : random_uid()) {
      if (c != '-' && id.size() < 64) id += c;
    }
  }
  return id;
}

std::string bytes_or_max(std::optional<std::int64_t> bytes) {
  return bytes ? std::to_string(*bytes) : "max";
}

std::vector<std::string> command_of(const Json& container) {
  std::vector<std::string> command = texts(member(container, "command"));
  const std::vector<std::string> rest = texts(member(container, "args"));
  command.insert(command.end(), rest.begin(), rest.end());
  return command;
}

std::vector<std::string> environment_of(const Json& container) {
  std::vector<std::string> variables;
  for (const Json& entry : member(container, "env")) {
    variables.push_back(text_at(entry, "name") + "=" + text_at(entry, "value"));
  }
  return variables;
}

std::int64_t or_endless(std::optional<std::int64_t> limit) {
  return limit.value_or(std::numeric_limits<std::int64_t>::max());
}

}  // namespace

const Json& container_spec(const Json& spec, const ContainerState& container) {
  static const Json kNone;
  const Json& list = member(spec, container.sidecar ? kInitContainers : kContainers);
  const auto found = std::find_if(list.begin(), list.end(), [&](const Json& entry) {
    return text_at(entry, "name") == container.name;
  });
  return found == list.end() ? kNone : *found;
}

PodCgroups::PodCgroups(CgroupFiles files, Options options)
    : files_(std::move(files)), options_(std::move(options)) {}

void PodCgroups::write_memory(const std::string& group, std::optional<std::int64_t> bytes) const {
  files_.write(group, "memory.max", bytes_or_max(bytes));
}

void PodCgroups::write_cpu(const std::string& group, std::optional<std::int64_t> milli) const {
  std::string quota = "max";
  if (milli) quota = std::to_string(std::max<std::int64_t>(1000, *milli * kPeriod / 1000));
  files_.write(group, "cpu.max", quota + " " + std::to_string(kPeriod));
}

bool PodCgroups::make(PodState& pod) const {
  if (!files_.make(pod.slice)) return false;
  pod.actuated_memory = pod_memory_limit(pod.allocated);
  pod.actuated_cpu = pod_cpu_limit(pod.allocated);
  write_memory(pod.slice, pod.actuated_memory);
  write_cpu(pod.slice, pod.actuated_cpu);
  if (!options_.sandbox) return true;
  return files_.make(options_.layout.container(pod.slice, random_id()));
}

bool PodCgroups::start(PodState& pod, ContainerState& container) const {
  stop(container);
  const Json& spec = container_spec(pod.allocated, container);
  const Json& resources = member(spec, "resources");
  container.id = random_id();
  container.group = options_.layout.container(pod.slice, container.id);
  if (!files_.make(container.group)) return false;
  container.actuated_memory = memory_limit(resources);
  if (!container.actuated_memory) {
    container.actuated_memory = memory_limit(member(pod.allocated, "resources"));
  }
  container.actuated_cpu = cpu_limit(resources);
  container.reported = resources;
  write_memory(container.group, container.actuated_memory);
  write_cpu(container.group, container.actuated_cpu);
  files_.write(container.group, "memory.oom.group", "1");
  const std::vector<std::string> command = command_of(spec);
  container.running_since = KubeletClock::now();
  if (options_.run_commands && !command.empty()) {
    container.process = ContainerProcess::start(
        command, environment_of(spec), files_.full(container.group), log_of(pod, container));
    if (!container.process) return false;
  }
  container.running = true;
  container.readiness = Readiness(spec, environment_of(spec), container.running_since);
  container.next_start.reset();
  container.state = {{"running", {{"startedAt", timestamp()}}}};
  return true;
}

std::string PodCgroups::log_of(const PodState& pod, const ContainerState& container) const {
  if (options_.logs.empty()) return "";
  return options_.logs + "/" + pod.space + "_" + pod.name + "_" + container.name + ".log";
}

bool PodCgroups::probe(const PodState& pod, ContainerState& container) const {
  return container.readiness.turn(KubeletClock::now(), files_.full(container.group),
                                  log_of(pod, container));
}

void PodCgroups::stop(ContainerState& container) const {
  if (container.group.empty()) return;
  container.readiness.stop();
  if (container.process) {
    container.process->kill();
    // It ends at once, and must not stay a zombie.
    while (!container.process->ended()) std::this_thread::yield();
    container.process.reset();
  }
  files_.remove(container.group);
  container.group.clear();
  container.running = false;
}

void PodCgroups::remove(PodState& pod) const {
  for (ContainerState& container : pod.containers) stop(container);
  files_.remove(pod.slice);
}

std::string PodCgroups::too_low(const PodState& pod) const {
  std::vector<std::string> problems;
  const auto slice = pod_memory_limit(pod.allocated);
  const auto live = files_.limit(pod.slice);
  const auto check = [&](const std::string& what, std::int64_t limit, const std::string& group) {
    const std::int64_t usage = files_.usage(group);
    if (usage < limit) return;
    problems.push_back("attempting to set " + what + " memory limit (" + std::to_string(limit) +
                       ") below current usage (" + std::to_string(usage) + ")");
  };
  if (slice && *slice < or_endless(live)) check("pod", *slice, pod.slice);
  for (const ContainerState& container : pod.containers) {
    const auto wanted = memory_limit(member(container_spec(pod.allocated, container), "resources"));
    if (!wanted || !container.running || *wanted >= or_endless(container.actuated_memory)) continue;
    check("container " + in_quotes(container.name), *wanted, container.group);
  }
  if (problems.empty()) return "";
  std::string text;
  for (const std::string& problem : problems) text += (text.empty() ? "" : ", ") + problem;
  if (problems.size() > 1) text = "[" + text + "]";
  return "cannot decrease memory limits: " + text;
}

void PodCgroups::write_slice(PodState& pod, std::optional<std::int64_t> memory) const {
  write_memory(pod.slice, memory);
  pod.actuated_memory = memory;
}

void PodCgroups::actuate_growth_of_slice(PodState& pod) const {
  const auto wanted = pod_memory_limit(pod.allocated);
  if (or_endless(wanted) > or_endless(files_.limit(pod.slice))) write_slice(pod, wanted);
  const auto cpu = pod_cpu_limit(pod.allocated);
  if (or_endless(cpu) > or_endless(pod.actuated_cpu)) {
    write_cpu(pod.slice, cpu);
    pod.actuated_cpu = cpu;
  }
}

void PodCgroups::actuate(PodState& pod) const {
  for (const bool decreases : {true, false}) {
    for (ContainerState& container : pod.containers) {
      if (!container.running) continue;
      const Json& resources = member(container_spec(pod.allocated, container), "resources");
      auto memory = memory_limit(resources);
      if (!memory) memory = memory_limit(member(pod.allocated, "resources"));
      const bool falls = or_endless(memory) < or_endless(container.actuated_memory);
      if (falls != decreases) continue;
      if (memory != container.actuated_memory) {
        container.actuated_memory = memory;
        write_memory(container.group, memory);
      }
      const auto cpu = cpu_limit(resources);
      if (cpu != container.actuated_cpu) {
        // The runtime is sent the whole of the resources, memory as last actuated.
        write_memory(container.group, container.actuated_memory);
        container.actuated_cpu = cpu;
        write_cpu(container.group, cpu);
      }
    }
  }
  // The slice is compared with what it has now, not with what was written here.
  const auto wanted = pod_memory_limit(pod.allocated);
  if (or_endless(wanted) < or_endless(files_.limit(pod.slice))) write_slice(pod, wanted);
  const auto cpu = pod_cpu_limit(pod.allocated);
  if (cpu != pod.actuated_cpu) {
    write_cpu(pod.slice, cpu);
    pod.actuated_cpu = cpu;
  }
}

void PodCgroups::reset(PodState& pod) const {
  write_memory(pod.slice, pod.actuated_memory);
  for (const ContainerState& container : pod.containers) {
    if (container.running) write_memory(container.group, container.actuated_memory);
  }
}

}  // namespace plimsoll::test
