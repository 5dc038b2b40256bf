// SPDX-License-Identifier: Apache-2.0
//
// ProgramRuns: how often the kernel ran a loaded BPF program, counted by the kernel. Counting costs
// each run two clock reads, so it is never on while something is timed.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace plimsoll::bench {

class ProgramRuns {
 public:
  // Counts from now on, until this goes. `name` of the newest loaded program that has it.
  static Result<ProgramRuns> count(std::string_view name);

  Result<std::uint64_t> runs() const;

 private:
  ProgramRuns(Fd program, Fd counting);

  Fd program_;
  Fd counting_;
};

}  // namespace plimsoll::bench
