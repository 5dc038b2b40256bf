// SPDX-License-Identifier: Apache-2.0
#include "bench/attached.h"

#include <string>
#include <utility>

namespace plimsoll::bench {
namespace {

const std::vector<std::string>& announced() {
  static const std::vector<std::string> kNames{"make",  "ninja",  "cargo", "go",
                                               "javac", "gradle", "mvn",   "npm"};
  return kNames;
}

}  // namespace

Result<Attached> Attached::memory(const std::vector<cgroup::Group>& watched) {
  auto programs = bpf::MemoryPrograms::load({});
  if (!programs) return tl::unexpected(programs.error());
  for (std::uint32_t slot = 0; slot < watched.size(); ++slot) {
    auto id = programs->track(slot, 1, watched[slot].fd().get(), {});
    if (!id) return tl::unexpected(id.error());
    programs->arm(slot, Bytes{~std::uint64_t{0}});
  }
  if (auto swept = programs->sweep(); !swept) return tl::unexpected(swept.error());
  Attached attached;
  attached.memory_.emplace(std::move(*programs));
  return attached;
}

Result<Attached> Attached::cpu(const std::vector<cgroup::Group>& watched) {
  auto cpu = bpf::CpuPrograms::load();
  if (!cpu) return tl::unexpected(cpu.error());
  auto exec = bpf::ExecPrograms::load();
  if (!exec) return tl::unexpected(exec.error());
  for (std::uint32_t slot = 0; slot < watched.size(); ++slot) {
    const int group = watched[slot].fd().get();
    if (auto id = cpu->track(slot, 1, group, {}); !id) return tl::unexpected(id.error());
    cpu->arm(slot, true);
    if (auto id = exec->watch(slot, group, announced()); !id) return tl::unexpected(id.error());
  }
  if (auto swept = cpu->sweep(); !swept) return tl::unexpected(swept.error());
  Attached attached;
  attached.cpu_.emplace(std::move(*cpu));
  attached.exec_.emplace(std::move(*exec));
  return attached;
}

std::uint64_t Attached::events() const {
  std::uint64_t events = 0;
  if (memory_) events += memory_->counters().events_urgent;
  if (cpu_) events += cpu_->counters().events;
  if (exec_) events += exec_->counters().events;
  return events;
}

}  // namespace plimsoll::bench
