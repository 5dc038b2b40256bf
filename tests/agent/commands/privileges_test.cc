// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/privileges.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

namespace plimsoll::agent::privileges_test {
namespace {

TEST(Privileges, CapabilitiesAreTheEffectiveOnes) {
  const auto parsed = parse_capabilities(
      "Name:\tx\nCapPrm:\t000001ffffffffff\nCapEff:\t000000c000000000\nCapBnd:\t0\n");
  ASSERT_TRUE(parsed.has_value());
  const Privileges privileges{.capabilities = *parsed};
  EXPECT_TRUE(privileges.has(Capability::kBpf));
  EXPECT_TRUE(privileges.has(Capability::kPerfmon));
  EXPECT_FALSE(privileges.has(Capability::kSysAdmin));
  EXPECT_FALSE(privileges.has(Capability::kDacOverride));
}

TEST(Privileges, TextWithoutCapabilitiesIsMalformed) {
  for (const char* text : {"", "CapEff:", "CapEff:\t", "CapEff:\txyz\n", "CapEff:\t1 2\n",
                           "CapEff:\t1ffffffffffffffff\n", "NotCapEff:\t1\n"}) {
    const auto parsed = parse_capabilities(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().code, Code::kMalformed);
  }
}

TEST(Privileges, SysAdminStandsForWhatWasSplitOffIt) {
  const Privileges privileges{.capabilities = 1ULL << 21};
  EXPECT_EQ(missing_capabilities(privileges, {Capability::kBpf, Capability::kPerfmon}), "");
  EXPECT_EQ(missing_capabilities(privileges, {Capability::kSysNice}), "CAP_SYS_NICE");
}

TEST(Privileges, MissingOnesAreListed) {
  EXPECT_EQ(missing_capabilities({}, {Capability::kBpf, Capability::kPerfmon}),
            "CAP_BPF and CAP_PERFMON");
  EXPECT_EQ(
      missing_capabilities({}, {Capability::kBpf, Capability::kPerfmon, Capability::kIpcLock}),
      "CAP_BPF, CAP_PERFMON and CAP_IPC_LOCK");
}

TEST(Privileges, OnlyTheIdentityMapIsTheInitialNamespace) {
  EXPECT_TRUE(is_initial_user_namespace("         0          0 4294967295\n"));
  EXPECT_FALSE(is_initial_user_namespace("         0     100000      65536\n"));
  EXPECT_FALSE(is_initial_user_namespace("0 0 65536\n1 1 2\n"));
  EXPECT_FALSE(is_initial_user_namespace(""));
}

TEST(Privileges, TryingChangesNothing) {
  const int policy = ::sched_getscheduler(0);
  const auto first = read_privileges();
  ASSERT_TRUE(first.has_value()) << first.error().message;
  EXPECT_EQ(::sched_getscheduler(0), policy);
  EXPECT_EQ(read_privileges(), first);
  EXPECT_EQ(first->uid, ::geteuid());
  EXPECT_EQ(first->real_time, first->real_time_why.empty());
  EXPECT_EQ(first->memory_lock, first->memory_lock_why.empty());
}

}  // namespace
}  // namespace plimsoll::agent::privileges_test
