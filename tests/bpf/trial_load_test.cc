// SPDX-License-Identifier: Apache-2.0
// The trial on the kernel that runs the tests, whatever it is: what it says can be compared with
// something else, and it leaves no trace. What each kernel must say is in
// tests/vm/doctor_vmtest.cc.
#include "bpf/trial_load.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

namespace plimsoll::bpf::trial_load_test {
namespace {

bool each_is_taken(const ObjectTrial& object) {
  return std::ranges::all_of(object.programs,
                             [](const ProgramTrial& program) { return program.error == 0; });
}

// Refused programs are tried one by one, which takes a second or two: once for all tests.
const TrialLoad& trial() {
  static const TrialLoad kTrial = trial_load();
  return kTrial;
}

TEST(TrialLoad, AgreesWithWhatTheSystemSays) {
  EXPECT_EQ(trial().btf_error == 0, ::access("/sys/kernel/btf/vmlinux", R_OK) == 0);
}

TEST(TrialLoad, TryingTwiceSaysTheSame) { EXPECT_EQ(trial_load(), trial()); }

// Only then can the cure of one be that of all.
TEST(TrialLoad, AllAreTakenWhereEachIs) {
  const bool tried = trial().btf_error == 0 && trial().permission_error == 0;
  for (const ObjectTrial* object : {&trial().memory, &trial().exec}) {
    EXPECT_EQ(object->tried, tried && (trial().function_tracing || object == &trial().exec));
    EXPECT_EQ(object->refused.empty(), each_is_taken(*object)) << object->refused;
    EXPECT_EQ(object->refused.find('\n'), std::string::npos);
  }
}

TEST(TrialLoad, NamesEveryProgramWithItsHook) {
  if (!trial().memory.tried || !trial().exec.tried)
    GTEST_SKIP() << "this kernel does not let us load programs";
  const auto named = [](const ObjectTrial& object, const std::string& name) {
    const auto found = std::ranges::find(object.programs, name, &ProgramTrial::name);
    return found == object.programs.end() ? "" : found->hook;
  };
  EXPECT_EQ(named(trial().memory, "on_charge"), "fentry/page_counter_try_charge");
  EXPECT_EQ(named(trial().memory, "on_sweep"), "syscall");
  EXPECT_EQ(named(trial().cpu, "on_period"), "fentry/sched_cfs_period_timer");
  EXPECT_EQ(named(trial().exec, "on_exec"), "tp_btf/sched_process_exec");
}

}  // namespace
}  // namespace plimsoll::bpf::trial_load_test
