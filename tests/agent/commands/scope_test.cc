// SPDX-License-Identifier: Apache-2.0
// Where `plimsoll run` goes, by tables. The real thing: tests/vm/scope_vmtest.cc.
#include "agent/commands/scope.h"

#include <gtest/gtest.h>

namespace plimsoll::agent::scope_test {
namespace {

const std::vector<std::string> kLine{"/usr/bin/plimsoll", "run", "--", "make"};

ScopeLevel top() {
  return {.path = "",
          .writable = true,
          .delegated = false,
          .has_memory = true,
          .gives_memory = false,
          .allows_processes = true,
          .has_us = false,
          .others = 60};
}

ScopeFacts root_alone() {
  ScopeFacts facts{.uid = 0, .v2 = "/sys/fs/cgroup"};
  facts.levels = {top()};
  facts.levels.back().has_us = true;
  return facts;
}

// The tree below `mine` belongs to uid 1000, who is in it.
ScopeFacts user_in_mine() {
  ScopeFacts facts{.uid = 1000, .v2 = "/sys/fs/cgroup"};
  facts.levels = {{.path = "mine", .writable = true, .has_memory = true, .has_us = true}, top()};
  facts.levels.back().writable = false;
  return facts;
}

ScopeFacts systemd(std::uint32_t uid) {
  ScopeFacts facts{.uid = uid,
                   .systemd = true,
                   .systemd_run = true,
                   .user_manager = uid != 0,
                   .v2 = "/sys/fs/cgroup"};
  facts.levels = {
      {.path = "user.slice/session-1.scope",
       .writable = uid == 0,
       .has_memory = true,
       .has_us = true,
       .others = 2},
      {.path = "user.slice", .writable = uid == 0, .has_memory = true, .gives_memory = true},
      top()};
  facts.levels.back().writable = uid == 0;
  facts.levels.back().gives_memory = true;
  return facts;
}

ScopeFacts in_scope(std::uint32_t uid) {
  ScopeFacts facts = systemd(uid);
  facts.entered = true;
  facts.levels.front() = {.path = "user.slice/run-1.scope",
                          .writable = true,
                          .delegated = true,
                          .has_memory = true,
                          .has_us = true};
  return facts;
}

ScopeDecision decided(const ScopeFacts& facts) {
  const auto decision = decide_scope(facts, kLine);
  EXPECT_TRUE(decision.has_value()) << decision.error().message;
  return decision.value_or(ScopeDecision{.parent = "no decision"});
}

Error refused(const ScopeFacts& facts) {
  const auto decision = decide_scope(facts, kLine);
  EXPECT_FALSE(decision.has_value()) << decision->parent;
  return decision ? Error{} : decision.error();
}

bool says(const Error& error, std::string_view words) {
  return error.message.find(words) != std::string::npos;
}

TEST(Scope, RootWithoutSystemdWorksBelowTheRoot) {
  EXPECT_EQ(decided(root_alone()), (ScopeDecision{.parent = "", .step_aside = false}));
}

TEST(Scope, RootWithoutSystemdIsNotBoundToItsOwnCgroup) {
  ScopeFacts facts = root_alone();
  facts.levels.insert(facts.levels.begin(),
                      {.path = "a", .writable = true, .has_memory = true, .has_us = true});
  EXPECT_EQ(decided(facts).parent, "");
}

TEST(Scope, RootOfAContainerStepsAside) {
  ScopeFacts facts = root_alone();
  facts.levels.back().allows_processes = false;
  facts.levels.back().others = 0;
  EXPECT_EQ(decided(facts), (ScopeDecision{.parent = "", .step_aside = true}));
  facts.levels.back().others = 1;
  const Error error = refused(facts);
  EXPECT_EQ(error.code, Code::kConflict);
  EXPECT_TRUE(says(error, "mkdir /sys/fs/cgroup//rest")) << error.message;
}

TEST(Scope, AUserWorksInWhatIsTheirs) {
  EXPECT_EQ(decided(user_in_mine()), (ScopeDecision{.parent = "mine", .step_aside = true}));
}

TEST(Scope, AUsersOtherProcessesAreInTheWay) {
  ScopeFacts facts = user_in_mine();
  facts.levels.front().others = 1;
  const Error error = refused(facts);
  EXPECT_EQ(error.code, Code::kConflict);
  EXPECT_TRUE(says(error, "/sys/fs/cgroup/mine/rest")) << error.message;
  // Unless one level up is theirs and hands memory on already.
  facts.levels.insert(facts.levels.begin() + 1,
                      {.path = "", .writable = true, .has_memory = true, .gives_memory = true});
  facts.levels.front().path = "mine/shell";
  facts.levels[1].path = "mine";
  EXPECT_EQ(decided(facts), (ScopeDecision{.parent = "mine", .step_aside = false}));
}

TEST(Scope, AUserWithoutTheControllerIsToldWhereToEnableIt) {
  ScopeFacts facts = user_in_mine();
  facts.levels.front().has_memory = false;
  EXPECT_TRUE(says(refused(facts), "echo +memory >cgroup.subtree_control"));
}

TEST(Scope, AUserWithNothingIsToldWhatToType) {
  ScopeFacts facts = user_in_mine();
  facts.levels.front().writable = false;
  const Error error = refused(facts);
  EXPECT_EQ(error.code, Code::kDenied);
  EXPECT_TRUE(says(error, "`sudo plimsoll run")) << error.message;
  EXPECT_TRUE(says(error, "chown -R $USER /sys/fs/cgroup/mine")) << error.message;
}

TEST(Scope, RootWithoutTheCapabilityIsToldSo) {
  ScopeFacts facts = root_alone();
  facts.levels.back().writable = false;
  EXPECT_TRUE(says(refused(facts), "CAP_DAC_OVERRIDE"));
}

TEST(Scope, SystemdIsAskedForAScope) {
  EXPECT_EQ(
      decided(systemd(0)).through,
      (std::vector<std::string>{"systemd-run", "--scope", "--quiet", "--collect", "-p",
                                "Delegate=yes", "--", "/usr/bin/plimsoll", "run", "--", "make"}));
  const auto user = decided(systemd(1000)).through;
  ASSERT_GT(user.size(), 2U);
  EXPECT_EQ(user[1], "--user");
}

TEST(Scope, WhatSystemdGaveIsUsedAndNotAskedForAgain) {
  for (const std::uint32_t uid : {0U, 1000U}) {
    const ScopeDecision decision = decided(in_scope(uid));
    EXPECT_EQ(
        decision,
        (ScopeDecision{.parent = "user.slice/run-1.scope", .step_aside = true, .through = {}}));
    // Also where the attribute cannot be read.
    ScopeFacts facts = in_scope(uid);
    facts.levels.front().delegated = false;
    EXPECT_EQ(decided(facts), decision);
  }
}

TEST(Scope, ADelegatedServiceIsUsedAsItIs) {
  ScopeFacts facts = in_scope(0);
  facts.entered = false;
  EXPECT_EQ(decided(facts).parent, "user.slice/run-1.scope");
  // With others in it a scope beside it is the way.
  facts.levels.front().others = 3;
  EXPECT_FALSE(decided(facts).through.empty());
}

TEST(Scope, WhatIsBelowADelegatedCgroupIsOursUnlessASystemdHasIt) {
  // A run in a run: its cgroup is in the scope of the outer one.
  ScopeFacts facts = in_scope(0);
  facts.entered = false;
  facts.levels.front().has_us = false;
  facts.levels.front().gives_memory = true;
  facts.levels.insert(facts.levels.begin(), {.path = "user.slice/run-1.scope/plimsoll-run-7",
                                             .writable = true,
                                             .has_memory = true,
                                             .has_us = true});
  EXPECT_EQ(decided(facts),
            (ScopeDecision{.parent = "user.slice/run-1.scope/plimsoll-run-7", .step_aside = true}));
  // A user's systemd was delegated its service, and the slices in it are its own.
  facts = systemd(1000);
  const std::string manager = "user.slice/user@1000.service";
  facts.levels = {
      {.path = manager + "/app.slice/term.scope",
       .writable = true,
       .has_memory = true,
       .has_us = true,
       .others = 1},
      {.path = manager + "/app.slice", .writable = true, .has_memory = true, .gives_memory = true},
      {.path = manager,
       .writable = true,
       .delegated = true,
       .has_memory = true,
       .gives_memory = true},
      top()};
  EXPECT_FALSE(decided(facts).through.empty());
}

TEST(Scope, AScopeWithoutMemoryEndsInAMessageNotInALoop) {
  ScopeFacts facts = in_scope(1000);
  facts.levels.front().has_memory = false;
  EXPECT_TRUE(says(refused(facts), "Delegate=cpu memory pids"));
  facts.uid = 0;
  EXPECT_EQ(refused(facts).code, Code::kDenied);
}

TEST(Scope, AUserWithoutAManagerOrWithoutSystemdRunIsToldSo) {
  ScopeFacts facts = systemd(1000);
  facts.user_manager = false;
  EXPECT_TRUE(says(refused(facts), "machinectl shell"));
  facts = systemd(0);
  facts.systemd_run = false;
  EXPECT_EQ(refused(facts).code, Code::kUnsupported);
}

TEST(Scope, WithoutV2OrWithMemoryOnV1NothingIsTried) {
  ScopeFacts facts = root_alone();
  facts.memory_on_v1 = true;
  EXPECT_TRUE(says(refused(facts), "cgroup_no_v1=all"));
  facts.v2.reset();
  facts.memory_on_v1 = false;
  EXPECT_TRUE(says(refused(facts), "no cgroup v2 is mounted"));
}

}  // namespace
}  // namespace plimsoll::agent::scope_test
