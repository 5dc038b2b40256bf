// SPDX-License-Identifier: Apache-2.0
//
// What this process holds: its resident memory by kind, the kernel's memory behind its BPF maps,
// and the CPU time it used.
#pragma once

#include "base/result.h"
#include "base/units.h"

namespace plimsoll::bench {

struct ProcessMemory {
  Bytes rss;
  Bytes anon;
  Bytes file;
  Bytes shmem;
  Bytes mapped_maps;  // of rss: pages of BPF maps, which are the kernel's
  Bytes bpf_maps;     // the kernel's memory of all maps that we hold open

  // Nothing counted twice.
  Bytes total() const { return rss - mapped_maps + bpf_maps; }
};
Result<ProcessMemory> read_process_memory();

// User and system time of all threads so far.
double cpu_seconds();

}  // namespace plimsoll::bench
