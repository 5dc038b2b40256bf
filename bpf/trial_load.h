// SPDX-License-Identifier: Apache-2.0
//
// trial_load: what this kernel lets us do, found out by loading and attaching our own programs for
// a moment, with nothing to watch. Facts for doctor, which has the cure for each errno. Nothing
// compares versions, and nothing stands in for the programs themselves.
#pragma once

#include <string>
#include <vector>

namespace plimsoll::bpf {

// One program of ours, loaded and attached without the others.
struct ProgramTrial {
  std::string name;  // "on_charge"
  std::string hook;  // "fentry/page_counter_try_charge"; "syscall": run by us, at no hook
  int error = 0;     // errno; 0: taken, ESRCH: the kernel has no such hook

  bool operator==(const ProgramTrial&) const = default;
};

// The programs of one object.
struct ObjectTrial {
  bool tried = false;
  std::string refused;  // what the load of all of them said; empty: they were loaded and attached
  // Each with its hook. They are tried alone only when the load of all was refused.
  std::vector<ProgramTrial> programs;

  bool operator==(const ObjectTrial&) const = default;
};

struct TrialLoad {
  int btf_error = 0;         // errno of reading the kernel's types
  int permission_error = 0;  // errno of loading the least program that may read kernel memory
  // sysctl kernel.ftrace_enabled. Without it the kernel attaches programs to functions, and never
  // calls them.
  bool function_tracing = true;
  bool holds_in_lock = true;  // see MemoryPrograms; true also where they are refused
  // Not tried without types or permission; memory and cpu not without function tracing.
  ObjectTrial memory;
  ObjectTrial cpu;
  ObjectTrial exec;

  bool operator==(const TrialLoad&) const = default;
};

// Takes some tenths of a second, and leaves nothing behind.
TrialLoad trial_load();

}  // namespace plimsoll::bpf
