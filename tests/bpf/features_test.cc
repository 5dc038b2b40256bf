// SPDX-License-Identifier: Apache-2.0
// The probes on the kernel that runs the tests, whatever it is: answers that can be compared with
// something else, and no trace left. What each kernel must answer is in tests/vm/doctor_vmtest.cc.
#include "bpf/features.h"

#include <gtest/gtest.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bpf/load_plan.h"
#include "bpf/memory_programs.h"

namespace plimsoll::bpf {
namespace {

TEST(Features, EveryNoHasAReason) {
  const Features features = probe_features();
  for (const NamedAnswer& name : feature_names()) {
    const Answer& answer = features.*name.answer;
    EXPECT_EQ(answer.yes, answer.why.empty()) << name.id << ": " << answer.why;
    EXPECT_EQ(answer.why.find('\n'), std::string::npos);
  }
}

TEST(Features, AgreeWithWhatTheSystemSays) {
  const Features features = probe_features();
  utsname name{};
  ASSERT_EQ(::uname(&name), 0);
  EXPECT_EQ(features.release, std::string(std::data(name.release)));
  EXPECT_EQ(features.btf.yes, ::access("/sys/kernel/btf/vmlinux", R_OK) == 0);
}

TEST(Features, AskingTwiceGivesTheSameAnswers) { EXPECT_EQ(probe_features(), probe_features()); }

// The one that counts: what the plan says can be loaded is loaded, and what it says cannot is not.
TEST(Features, ThePlanIsWhatTheKernelLoads) {
  const LoadPlan plan = plan_load(probe_features(), std::nullopt);
  for (const Tier tier : {Tier::kA, Tier::kB}) {
    const auto programs = MemoryPrograms::load(tier, HoldBounds{});
    const bool expected = tier >= plan.possible;
    EXPECT_EQ(programs.has_value(), expected)
        << to_string(tier) << ": " << (programs ? "loaded" : programs.error().message);
  }
}

}  // namespace
}  // namespace plimsoll::bpf
