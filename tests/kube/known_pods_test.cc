// SPDX-License-Identifier: Apache-2.0
#include "kube/known_pods.h"

#include <gtest/gtest.h>

namespace plimsoll::kube::known_pods_test {
namespace {

const PodIdentity kA{"u1", "ns", "a"};
const PodIdentity kOtherA{"u2", "ns", "a"};
const PodIdentity kB{"u3", "ns", "b"};
const PodIdentity kElsewhere{"u4", "other", "a"};

TEST(KnownPods, ANameHasOnePod) {
  KnownPods known;
  EXPECT_EQ(known.saw(kA), std::nullopt);
  EXPECT_EQ(known.saw(kA), std::nullopt);
  EXPECT_EQ(known.saw(kElsewhere), std::nullopt);
  EXPECT_EQ(known.saw(kOtherA), kA);
  EXPECT_EQ(known.size(), 2U);
  EXPECT_FALSE(known.forget(kA));
  EXPECT_TRUE(known.forget(kOtherA));
  EXPECT_FALSE(known.forget(kOtherA));
  EXPECT_TRUE(known.has_name(kElsewhere));
  EXPECT_FALSE(known.has_name(kA));
}

TEST(KnownPods, AListLosesWhatItDoesNotHave) {
  KnownPods known;
  known.saw(kA);
  known.saw(kB);
  known.begin_list();
  known.saw(kA);
  known.begin_list();  // the first was cut
  known.saw(kB);
  known.saw(kElsewhere);
  EXPECT_EQ(known.end_list(), std::vector{kA});
  EXPECT_EQ(known.size(), 2U);
  known.begin_list();
  EXPECT_EQ(known.end_list(), (std::vector{kB, kElsewhere}));
}

TEST(KnownPods, WhatCouldNotBeReadIsNotLost) {
  KnownPods known;
  known.saw(kA);
  known.saw(kB);
  known.saw(kElsewhere);
  known.begin_list();
  EXPECT_EQ(known.saw_unread(kA), std::nullopt);
  EXPECT_EQ(known.saw_unread({"", "ns", "b"}), std::nullopt);
  EXPECT_EQ(known.saw_unread({"u9", "other", "a"}), kElsewhere);
  EXPECT_EQ(known.saw_unread({"u8", "ns", "new"}), std::nullopt);
  EXPECT_TRUE(known.end_list().empty());
  EXPECT_EQ(known.size(), 2U);
}

}  // namespace
}  // namespace plimsoll::kube::known_pods_test
