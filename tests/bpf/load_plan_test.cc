// SPDX-License-Identifier: Apache-2.0
// The tier by tables: what is missing, what it costs.
#include "bpf/load_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <set>

namespace plimsoll::bpf {
namespace {

Features all_there() {
  Features features;
  features.release = "6.1.0";
  for (const NamedAnswer& name : feature_names()) features.*name.answer = {.yes = true};
  return features;
}

Features without(std::initializer_list<Answer Features::*> missing) {
  Features features = all_there();
  for (const auto answer : missing) features.*answer = {.yes = false, .why = "load: no"};
  return features;
}

const Reason& reason_of(const LoadPlan& plan, std::string_view id) {
  const auto found = std::ranges::find(plan.reasons, id, &Reason::id);
  EXPECT_NE(found, plan.reasons.end()) << id;
  return *found;
}

TEST(LoadPlan, EverythingIsTierA) {
  const LoadPlan plan = plan_load(all_there(), std::nullopt);
  EXPECT_EQ(plan.tier, Tier::kA);
  EXPECT_EQ(plan.possible, Tier::kA);
  for (const Reason& reason : plan.reasons) {
    EXPECT_TRUE(reason.present) << reason.id;
    EXPECT_TRUE(reason.why.empty() && reason.cure.empty()) << reason.id;
  }
}

TEST(LoadPlan, TheTierThatEachMissingThingLeaves) {
  struct Row {
    Answer Features::*missing;
    Tier tier;
  };
  const Row rows[] = {
      {&Features::btf, Tier::kC},
      {&Features::permitted, Tier::kC},
      {&Features::kernel_reads, Tier::kC},
      {&Features::loop, Tier::kC},
      {&Features::ring_buffer, Tier::kC},
      {&Features::cgroup_iterator, Tier::kC},
      {&Features::function_entry, Tier::kB},
      {&Features::function_exit, Tier::kB},
      {&Features::hook_charge, Tier::kB},
      {&Features::hook_reclaim, Tier::kB},
      {&Features::hook_oom, Tier::kB},
      {&Features::tracepoint, Tier::kA},
      {&Features::hook_reclaim_tracepoint, Tier::kA},
  };
  EXPECT_EQ(std::size(rows), feature_names().size());
  for (const Row& row : rows) {
    const LoadPlan plan = plan_load(without({row.missing}), std::nullopt);
    EXPECT_EQ(plan.tier, row.tier);
    const auto& names = feature_names();
    const auto name = std::ranges::find(names, row.missing, &NamedAnswer::answer);
    ASSERT_NE(name, names.end());
    const Reason& reason = reason_of(plan, name->id);
    EXPECT_FALSE(reason.present);
    EXPECT_EQ(reason.why, "load: no");
    EXPECT_FALSE(reason.cure.empty()) << name->id;
    EXPECT_FALSE(reason.needed_by.empty()) << name->id;
  }
}

TEST(LoadPlan, WithoutFunctionsAndTracepointsItIsTierC) {
  const Features features =
      without({&Features::function_entry, &Features::hook_reclaim_tracepoint});
  EXPECT_EQ(plan_load(features, std::nullopt).tier, Tier::kC);
}

TEST(LoadPlan, AWantedTierIsNeverAboveThePossibleOne) {
  for (const Tier wanted : {Tier::kA, Tier::kB, Tier::kC}) {
    EXPECT_EQ(plan_load(all_there(), wanted).tier, wanted);
    EXPECT_EQ(plan_load(all_there(), wanted).possible, Tier::kA);
    EXPECT_EQ(plan_load(without({&Features::loop}), wanted).tier, Tier::kC);
  }
  EXPECT_EQ(plan_load(without({&Features::hook_oom}), Tier::kA).tier, Tier::kB);
}

TEST(LoadPlan, EveryFeatureHasAReasonAndAnIdOfItsOwn) {
  const LoadPlan plan = plan_load(Features{}, std::nullopt);
  EXPECT_EQ(plan.tier, Tier::kC);
  EXPECT_EQ(plan.reasons.size(), feature_names().size());
  std::set<std::string_view> ids;
  for (const Reason& reason : plan.reasons) ids.insert(reason.id);
  EXPECT_EQ(ids.size(), plan.reasons.size());
}

TEST(LoadPlan, CuresNameWhatToChange) {
  const LoadPlan denied = plan_load(without({&Features::permitted}), std::nullopt);
  EXPECT_NE(reason_of(denied, "permitted").cure.find("CAP_BPF and CAP_PERFMON"), std::string::npos);
  const LoadPlan locked = plan_load(without({&Features::kernel_reads}), std::nullopt);
  EXPECT_NE(reason_of(locked, "kernel_reads").cure.find("lockdown=confidentiality"),
            std::string::npos);
  // A newer kernel does not cure what was not tried.
  const LoadPlan untried =
      plan_load(without({&Features::permitted, &Features::loop}), std::nullopt);
  EXPECT_EQ(reason_of(untried, "loop").cure, reason_of(untried, "permitted").cure);
  // Where no function can be hooked, a newer kernel is no cure for one of them.
  const LoadPlan one = plan_load(without({&Features::hook_oom}), std::nullopt);
  const LoadPlan none =
      plan_load(without({&Features::hook_oom, &Features::function_entry}), std::nullopt);
  EXPECT_EQ(reason_of(one, "hook_oom").cure.find("ftrace_enabled"), std::string::npos);
  EXPECT_NE(reason_of(none, "hook_oom").cure.find("ftrace_enabled"), std::string::npos);
  // Refused although programs may be loaded: neither kernel option nor capability cures that.
  Features refused = all_there();
  refused.function_entry = {.yes = false, .why = "load: no", .error = EPERM};
  EXPECT_NE(reason_of(plan_load(refused, std::nullopt), "function_entry").cure.find("sandbox"),
            std::string::npos);
}

TEST(LoadPlan, EachTierPromisesSomethingElse) {
  EXPECT_NE(guarantee_of(Tier::kA), guarantee_of(Tier::kB));
  EXPECT_NE(guarantee_of(Tier::kB), guarantee_of(Tier::kC));
}

}  // namespace
}  // namespace plimsoll::bpf
