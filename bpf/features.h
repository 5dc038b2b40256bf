// SPDX-License-Identifier: Apache-2.0
//
// Features: what the running kernel lets us do with BPF, found out by doing it: each program is
// loaded, attached and run, not looked up in a table of versions. Facts for plan_load() and doctor.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace plimsoll::bpf {

// One question to the kernel.
struct Answer {
  bool yes = false;
  std::string why;  // what it said when it said no
  int error = 0;    // the errno of that; 0 when there was none

  bool operator==(const Answer&) const = default;
};

struct Features {
  std::string release;  // as uname -r
  // What everything else needs.
  Answer btf;        // /sys/kernel/btf/vmlinux
  Answer permitted;  // programs of a kind that reads kernel memory may be loaded by us
  // What both BPF tiers need.
  Answer kernel_reads;     // bpf_probe_read_kernel
  Answer loop;             // bpf_loop, since 5.17
  Answer ring_buffer;      // since 5.8
  Answer cgroup_iterator;  // iter/cgroup, since 6.1
  // What tier A needs: a program at the entry and at the end of a kernel function was called, and
  // each function of ours can be hooked.
  Answer function_entry;
  Answer function_exit;
  Answer hook_charge;
  Answer hook_reclaim;
  Answer hook_oom;
  // What tier B needs.
  Answer tracepoint;
  Answer hook_reclaim_tracepoint;

  bool operator==(const Features&) const = default;
};

// A field of Features with its name: `id` for machines, `what` for people.
struct NamedAnswer {
  std::string_view id;
  std::string_view what;
  Answer Features::*answer = nullptr;
};
// All of them, in the order in which they depend on each other.
const std::vector<NamedAnswer>& feature_names();

// Asks the kernel. Takes tens of milliseconds to a second; attaches to each hook for a moment and
// leaves nothing behind. Where permission or BTF is missing, the rest is not asked and says so.
Features probe_features();

// "btf yes\nloop no (why)\n…"
std::string to_string(const Features& features);

}  // namespace plimsoll::bpf
