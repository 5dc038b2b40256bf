// SPDX-License-Identifier: Apache-2.0
//
// Attached: our kernel programs with cgroups that they watch, armed, as the agent has them. When it
// goes, they are detached.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "bpf/cpu_programs.h"
#include "bpf/exec_programs.h"
#include "bpf/memory_programs.h"
#include "cgroup/group.h"

namespace plimsoll::bench {

class Attached {
 public:
  // The memory programs.
  static Result<Attached> memory(const std::vector<cgroup::Group>& watched);
  // The CPU programs and those that see announced commands; eight are, in each cgroup.
  static Result<Attached> cpu(const std::vector<cgroup::Group>& watched);

  // Events that they have sent.
  std::uint64_t events() const;

 private:
  std::optional<bpf::MemoryPrograms> memory_;
  std::optional<bpf::CpuPrograms> cpu_;
  std::optional<bpf::ExecPrograms> exec_;
};

}  // namespace plimsoll::bench
