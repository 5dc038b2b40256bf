// SPDX-License-Identifier: Apache-2.0
//
// The dry runs beforehand, and the bounds that follow from them.
#include <gtest/gtest.h>

#include <string>

#include "agent/resize/plan.h"
#include "tests/support/resize_scene.h"

namespace plimsoll::agent::dry_run_test {
namespace {

using resize_test::armed;
using resize_test::asked;
using resize_test::guaranteed_pod;
using resize_test::mib;
using resize_test::milliseconds;
using resize_test::Scene;
using resize_test::seconds;
using resize_test::vpa_resizes;
using Kind = ResizeEvent::Kind;
using Urgency = SendResize::Urgency;

TEST(ResizePlan, NothingIsWrittenBeforeTheFirstAnswerOfTheApi) {
  Scene scene;
  scene.step();
  ASSERT_EQ(scene.preflights.size(), 1u);
  EXPECT_EQ(asked(&scene.preflights[0]), mib(1024)) << "the ceiling";
  EXPECT_EQ(scene.preflights[0].urgency, Urgency::kPreflight);
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(128)) << "no further than the spec";
  EXPECT_EQ(scene.bounds().ceiling, mib(1024)) << "but wishes may go further";
  scene.accept();
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(1024));
  EXPECT_EQ(scene.bounds().direct_floor, mib(128)) << "below the spec only through the API";
  EXPECT_EQ(scene.bounds().bridge_within, seconds(2)) << "latency times factor";
  scene.after(std::chrono::hours(5));
  EXPECT_EQ(scene.preflights.size(), 1u) << "nothing happens: nothing is asked";
}

// Where nobody wants to grow, nobody else would ever find out.
TEST(ResizePlan, WhoWasNeverAnsweredAsksWhetherTheApiIsBack) {
  Scene scene;
  scene.api.away = true;
  scene.api.may_ask = false;
  scene.api.ask_at = scene.now + seconds(4);
  scene.step();
  EXPECT_TRUE(scene.preflights.empty());
  EXPECT_EQ(scene.last.wake, scene.now + seconds(5)) << "who needs memory comes first";
  scene.api.may_ask = true;
  scene.after(seconds(4));
  EXPECT_TRUE(scene.preflights.empty());
  scene.after(seconds(1));
  EXPECT_EQ(scene.preflights.size(), 1u);
}

TEST(ResizePlan, AnOldPreflightIsRenewedOnlyWhenTheContainerComesNearItsLimit) {
  Scene scene = armed();
  scene.after(std::chrono::minutes(11));
  EXPECT_EQ(scene.preflights.size(), 1u);
  scene.set_usage(mib(100));
  scene.step();
  ASSERT_EQ(scene.preflights.size(), 2u);
  scene.accept();
  scene.after(std::chrono::minutes(11));
  EXPECT_EQ(scene.preflights.size(), 2u) << "it only stays there";
}

TEST(ResizePlan, ANewCeilingIsAskedForAgain) {
  Scene scene = armed();
  scene.policies[0].ceiling = mib(2048);
  scene.step();
  ASSERT_EQ(scene.preflights.size(), 2u);
  EXPECT_EQ(asked(&scene.preflights[1]), mib(2048));
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(1024)) << "until it is answered";
}

TEST(ResizePlan, AnAnswerIsAboutTheCeilingThatWasAskedFor) {
  Scene scene;
  scene.step();
  ASSERT_EQ(asked(&scene.preflights.at(0)), mib(1024));
  scene.policies[0].ceiling = mib(2048);
  scene.after(milliseconds(10));
  EXPECT_EQ(scene.preflights.size(), 1u) << "one at a time";
  scene.accept();
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(1024));
  ASSERT_EQ(scene.preflights.size(), 2u);
  EXPECT_EQ(asked(&scene.preflights[1]), mib(2048));
  scene.policies[0].ceiling = mib(512);
  scene.refuse("admission webhook \"cap.example.com\" denied the request: too much");
  ASSERT_EQ(scene.preflights.size(), 3u);
  EXPECT_EQ(asked(&scene.preflights[2]), mib(512));
  scene.accept();
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(512));
  scene.after(seconds(60));
  EXPECT_EQ(scene.preflights.size(), 3u);
}

TEST(ResizePlan, NorIsTheAnswerOfALaterRequestOfTheRound) {
  Scene scene;
  scene.step();
  scene.refuse(
      "pods \"web\" is forbidden: maximum memory usage per Container is 640Mi, "
      "but limit is 1Gi");
  ASSERT_EQ(scene.preflights.size(), 2u);
  EXPECT_EQ(asked(&scene.preflights[1]), mib(640));
  scene.policies[0].ceiling = mib(512);
  scene.accept();
  ASSERT_EQ(scene.preflights.size(), 3u);
  EXPECT_EQ(asked(&scene.preflights[2]), mib(512));
}

TEST(ResizePlan, AnAnswerFromBeforeSomebodyElsesResizeIsNone) {
  Scene scene;
  scene.config.coexist = Coexist::kShare;
  scene.step();
  ASSERT_EQ(scene.preflights.size(), 1u);
  vpa_resizes(scene, mib(200));
  scene.after(milliseconds(10));
  scene.accept();
  ASSERT_EQ(scene.preflights.size(), 2u);
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(200));
}

TEST(ResizePlan, ARefusedPreflightIsRepeatedWithinTheRoomThatItNamed) {
  Scene scene;
  scene.step();
  scene.refuse(
      "pods \"web\" is forbidden: exceeded quota: rq, requested: "
      "limits.memory=896Mi, used: limits.memory=512Mi, limited: "
      "limits.memory=1Gi");
  ASSERT_EQ(scene.preflights.size(), 2u);
  EXPECT_EQ(asked(&scene.preflights[1]), mib(128 + 512));
  scene.accept();
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(640));
  EXPECT_EQ(scene.bounds().ceiling, mib(640));
  ASSERT_EQ(scene.said(Kind::kRefused).size(), 1u);
  EXPECT_NE(scene.said(Kind::kRefused)[0].message.find("quota: rq"), std::string::npos);
  EXPECT_EQ(scene.said(Kind::kRefused)[0].cause, "quota");
}

TEST(ResizePlan, APreflightRoundIsBounded) {
  Scene scene;
  scene.step();
  int most = 1024;
  while (scene.state.preflight && scene.preflights.size() < 20) {
    most -= 100;
    scene.refuse("pods \"web\" is forbidden: maximum memory usage per Container is " +
                 std::to_string(most) + "Mi, but limit is 1Gi");
  }
  EXPECT_EQ(scene.preflights.size(), 3u);
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(128));
}

TEST(ResizePlan, ARefusalWithoutANumberStopsBridgesButNotQuestions) {
  Scene scene;
  scene.step();
  scene.refuse("admission webhook \"cap.example.com\" denied the request: too much");
  EXPECT_EQ(scene.preflights.size(), 1u);
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(128));
  EXPECT_EQ(scene.bounds().ceiling, mib(1024)) << "less than the ceiling may well be allowed";
}

// Of a webhook that cuts down what it is asked for, and says nothing, the answer tells.
TEST(ResizePlan, ADryRunIsAnsweredByWhatWouldBeStored) {
  Scene scene;
  scene.allow_cpu(MilliCpu{4000});
  scene.step();
  kube::Pod reply = scene.pod;
  reply.containers[0].resources.limits.memory = mib(256);
  scene.store(reply);
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(256));
  EXPECT_EQ(scene.bounds().ceiling, mib(256));
  ASSERT_EQ(scene.said(Kind::kRefused).size(), 1u);
  EXPECT_EQ(scene.said(Kind::kRefused)[0].cause, "admission");
  scene.wish(mib(512));
  scene.step();
  EXPECT_EQ(asked(scene.patch()), mib(256)) << "no more is asked for";
  scene.accept();
  ASSERT_EQ(scene.preflights.size(), 2u);
  reply = scene.pod;
  reply.containers[0].resources.limits.cpu = MilliCpu{1000};
  scene.store(reply);
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, MilliCpu{1000});
}

TEST(ResizePlan, OfAGuaranteedPodTheRequestFollows) {
  Scene scene(guaranteed_pod());
  scene.step();
  const kube::ResizeChange& change = scene.preflights.at(0).resize.changes.at(0);
  EXPECT_EQ(change.requests.memory, change.limits.memory);
}

TEST(ResizePlan, BoundsByActuation) {
  Scene scene;
  scene.policies[0].actuation = Actuation::kResize;
  scene.step();
  EXPECT_EQ(scene.bounds().direct_ceiling, Bytes{}) << "never writes";
  EXPECT_TRUE(scene.preflights.empty());

  Scene files;
  files.policies[0].actuation = Actuation::kCgroup;
  files.step();
  EXPECT_EQ(files.bounds().direct_ceiling, mib(1024));
  EXPECT_EQ(files.bounds().bridge_within, std::nullopt);
  files.grant(mib(512));
  files.step();
  files.after(seconds(30));
  EXPECT_TRUE(files.sent.empty() && files.preflights.empty()) << "never asks";
  EXPECT_EQ(files.container().memory.lease->why, LeaseWhy::kPolicy);

  Scene dry;
  dry.policies[0].dry_run = true;
  dry.step();
  dry.wish(mib(512));
  dry.step();
  dry.run_until(dry.now + seconds(30));
  EXPECT_TRUE(dry.sent.empty() && dry.preflights.empty());
  EXPECT_EQ(dry.action<RaiseLimit>(), nullptr);
  EXPECT_EQ(dry.bounds().direct_ceiling, Bytes{});
}

}  // namespace
}  // namespace plimsoll::agent::dry_run_test
