// SPDX-License-Identifier: Apache-2.0
#include "bench/program_runs.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <string>
#include <utility>

namespace plimsoll::bench {

Result<ProgramRuns> ProgramRuns::count(std::string_view name) {
  Fd newest;
  for (std::uint32_t id = 0; bpf_prog_get_next_id(id, &id) == 0;) {
    Fd program(bpf_prog_get_fd_by_id(id));
    bpf_prog_info info{};
    std::uint32_t size = sizeof(info);
    if (program && bpf_obj_get_info_by_fd(program.get(), &info, &size) == 0 &&
        std::string_view(info.name) == name) {
      newest = std::move(program);
    }
  }
  if (!newest) return fail(Code::kGone, "no BPF program " + std::string(name) + " is loaded");
  Fd counting(bpf_enable_stats(BPF_STATS_RUN_TIME));
  if (!counting) return errno_error(errno, "count the runs of BPF programs");
  return ProgramRuns(std::move(newest), std::move(counting));
}

ProgramRuns::ProgramRuns(Fd program, Fd counting)
    : program_(std::move(program)), counting_(std::move(counting)) {}

Result<std::uint64_t> ProgramRuns::runs() const {
  bpf_prog_info info{};
  std::uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(program_.get(), &info, &size) != 0) {
    return errno_error(errno, "read the runs of a BPF program");
  }
  return info.run_cnt;
}

}  // namespace plimsoll::bench
