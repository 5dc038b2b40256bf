// SPDX-License-Identifier: Apache-2.0
//
// Recorded sequences of a real API server and kubelet (tests/contract/kube), walked through the
// plan: what was asked there is what the plan asks, and what followed makes it do the right thing.
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kube/pod_json.h"
#include "tests/support/resize_scene.h"
#include "tests/support/source_path.h"

namespace plimsoll::agent::recorded_test {
namespace {

using nlohmann::json;
using resize_test::asked;
using resize_test::mib;
using resize_test::milliseconds;
using resize_test::Scene;
using resize_test::seconds;
using Kind = ResizeEvent::Kind;

json recording(const std::string& name) {
  std::ifstream file(source_path("tests/contract/kube/" + name + ".json"));
  EXPECT_TRUE(file) << name;
  return json::parse(file);
}

kube::Pod pod_of(const json& object) { return kube::parse_pod(object.dump()).value(); }

// One change of the recorded world.
struct Happening {
  Nanoseconds at{};  // after the PATCH
  std::optional<kube::Pod> pod;
  std::optional<std::uint64_t> container;
  std::optional<std::uint64_t> slice;
};

std::uint64_t number_after(const std::string& text, const std::string& prefix) {
  std::uint64_t value = 0;
  const char* begin = text.c_str() + text.find(prefix) + prefix.size();
  const auto [end, error] = std::from_chars(begin, text.c_str() + text.size(), value);
  EXPECT_TRUE(error == std::errc{} && *end == '\0') << text;
  return value;
}

Nanoseconds after(double time, double unit_ms) {
  return Nanoseconds(static_cast<std::int64_t>(time * unit_ms * 1e6));
}

// The rest of a recording, in order; a cgroup that goes is left to the pod's container id.
std::vector<Happening> happenings(const json& from) {
  std::vector<Happening> all;
  const double unit = from.contains("timeline_s") ? 1000 : 1;
  for (const json& event : from["watch_events"]) {
    Happening one{.at = after(event[0].get<double>(), unit)};
    one.pod = pod_of(event[1].contains("object") ? event[1]["object"] : event[1]);
    all.push_back(std::move(one));
  }
  for (const json& entry : from.value("timeline_ms", json::array())) {
    if (!entry[1].is_string()) continue;
    const auto text = entry[1].get<std::string>();
    Happening one{.at = after(entry[0].get<double>(), 1)};
    if (text.starts_with("cgroup ctr memory.max = ") && !text.ends_with("GONE")) {
      one.container = number_after(text, " = ");
    } else if (text.starts_with("cgroup pod memory.max = ")) {
      one.slice = number_after(text, " = ");
    } else {
      continue;
    }
    all.push_back(std::move(one));
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.at < b.at; });
  return all;
}

// What memory.max was before the PATCH.
std::uint64_t before(const json& from, const std::string& which) {
  for (const json& entry : from["timeline_ms"]) {
    const std::string prefix = "cgroup " + which + " memory.max was ";
    if (entry[1].is_string() && entry[1].get<std::string>().starts_with(prefix)) {
      return number_after(entry[1].get<std::string>(), prefix);
    }
  }
  ADD_FAILURE() << "no " << which;
  return 0;
}

// A scene with the recorded pod as it was before its PATCH, armed.
Scene scene_before(const json& from, std::size_t exchange = 0) {
  kube::Pod pod = pod_of(from["exchanges"][exchange]["response"]["body"]);
  for (kube::Container& each : pod.containers) {
    EXPECT_TRUE(each.status && each.status->resources);
    each.resources = *each.status->resources;
  }
  pod.generation = *pod.generation - 1;
  pod.observed_generation = pod.generation;
  pod.resized_by.clear();
  pod.resize = {};
  Scene scene(pod);
  scene.config.field_manager = "kx";
  scene.config.preflight = false;  // the recordings have none
  if (from.contains("timeline_ms")) {
    scene.file().limit = {before(from, "ctr")};
    scene.files.slice->limit = {before(from, "pod")};
  }
  scene.set_usage(mib(20));
  scene.policies[0].ceiling = mib(4096);
  scene.step();
  return scene;
}

// The plan's PATCH has the spec of the recorded one, and gets the recorded answer.
void play(Scene& scene, const json& from, std::size_t index = 0) {
  ASSERT_NE(scene.patch(), nullptr);
  const json& recorded = from["exchanges"][index];
  const kube::Request request =
      kube::resize_request(scene.patch()->resize, kube::ResizePath::kSubresource, "kx");
  EXPECT_EQ(json::parse(request.body)["spec"], recorded["request"]["body"]["spec"]);
  scene.pod = pod_of(recorded["response"]["body"]);
  scene.pod.id = scene.state.id;
  scene.answer_with(kube::Response{.status = recorded["response"]["status"].get<int>(),
                                   .content_type = "application/json",
                                   .body = recorded["response"]["body"].dump()});
}

void play(Scene& scene, const json& from, MonotonicTime patched) {
  for (Happening& one : happenings(from)) {
    if (one.at < Nanoseconds{}) continue;
    scene.run_until(patched + one.at);
    if (one.pod) scene.pod = *std::move(one.pod);
    scene.pod.id = scene.state.id;  // recordings that follow each other have pods of their own
    if (one.container) scene.file().limit = {*one.container};
    if (one.slice) scene.files.slice->limit = {*one.slice};
    scene.step();
  }
}

TEST(RecordedResize, ARaise) {  // v1
  const json v1 = recording("v1-kubelet-raise");
  Scene scene = scene_before(v1);
  scene.wish(mib(70));
  scene.step();
  const MonotonicTime patched = scene.now;
  play(scene, v1);
  play(scene, v1, patched);
  scene.run_until(scene.now + seconds(10));
  ASSERT_EQ(scene.said(Kind::kApplied).size(), 1u);
  const Nanoseconds took = scene.said(Kind::kApplied)[0].patch_to_limit.value();
  EXPECT_GE(took, milliseconds(358)) << "when the container's file changed";
  EXPECT_LT(took, milliseconds(506)) << "not when the status said so";
  EXPECT_EQ(std::get<MemoryChange>(scene.said(Kind::kApplied)[0].change).from, mib(64));
  EXPECT_EQ(scene.sent.size(), 1u);
  EXPECT_TRUE(scene.said(Kind::kFallback).empty() && scene.said(Kind::kRepaired).empty());
  EXPECT_FALSE(scene.state.memory.unverified || scene.container().memory.lease);
}

TEST(RecordedResize, AShrinkBelowTheUsageThatTheKubeletRefuses) {  // v2
  const json v2 = recording("v2-kubelet-shrink-below-usage");
  Scene scene = scene_before(v2);
  scene.policies[0].floor = mib(40);
  scene.set_usage(mib(10));  // it grows in the moment of the PATCH
  scene.wish(mib(40));
  scene.step();
  const MonotonicTime patched = scene.now;
  play(scene, v2);
  scene.set_usage(Bytes{63836160});
  play(scene, v2, patched);
  ASSERT_EQ(scene.said(Kind::kFailed).size(), 1u);
  EXPECT_NE(scene.said(Kind::kFailed)[0].message.find("below current usage"), std::string::npos);
  EXPECT_EQ(scene.sent.size(), 1u);
  scene.run_until(patched + seconds(43));
  ASSERT_EQ(scene.sent.size(), 2u) << "thirty seconds after the error";
  EXPECT_EQ(asked(&scene.sent[1]), mib(256)) << "back to what is in force";
  EXPECT_EQ(scene.file().limit, limit_of(mib(256))) << "nothing was written";
}

TEST(RecordedResize, ARaiseAfterAShrinkThatFailed) {  // v2, v2b
  const json v2 = recording("v2-kubelet-shrink-below-usage");
  const json v2b = recording("v2b-kubelet-after-shrink-error");
  Scene scene = scene_before(v2);
  scene.policies[0].floor = mib(40);
  scene.set_usage(mib(10));
  scene.wish(mib(40));
  scene.step();
  const MonotonicTime patched = scene.now;
  play(scene, v2);
  scene.set_usage(Bytes{63836160});
  play(scene, v2, patched);
  scene.wish(mib(128));
  scene.step();
  const MonotonicTime again = scene.now;
  play(scene, v2b);
  play(scene, v2b, again);
  scene.run_until(scene.now + seconds(60));
  EXPECT_EQ(scene.sent.size(), 2u) << "the raise does not wait, and nothing is to be withdrawn";
  EXPECT_EQ(scene.said(Kind::kApplied).size(), 1u);
  EXPECT_EQ(scene.container().memory.spec, mib(128));
}

TEST(RecordedResize, DeferredAndWithdrawn) {  // v3
  const json v3 = recording("v3-kubelet-deferred");
  Scene scene = scene_before(v3);
  scene.pod.qos = kube::QosClass::kGuaranteed;  // so that the request follows, as it was asked for
  for (kube::Container& each : scene.pod.containers)
    each.resources.requests = each.resources.limits;
  scene.wish(mib(2048));
  scene.step();
  const MonotonicTime patched = scene.now;
  play(scene, v3);
  play(scene, v3, patched);
  ASSERT_EQ(scene.said(Kind::kDeferred).size(), 1u);
  EXPECT_NE(scene.said(Kind::kDeferred)[0].message.find("enough resource: memory"),
            std::string::npos);
  scene.run_until(patched + seconds(33));
  ASSERT_EQ(scene.sent.size(), 2u);
  const kube::ResizeChange& back = scene.sent[1].resize.changes.at(0);
  EXPECT_EQ(back.limits.memory, mib(64));
  EXPECT_EQ(back.requests.memory, mib(32)) << "what is allocated";
  EXPECT_EQ(scene.file().limit, limit_of(mib(64)));
  EXPECT_LE(scene.bounds().direct_ceiling, mib(64)) << "the node has no room: a decision";
}

TEST(RecordedResize, DeferredUntilThereWasRoom) {  // v3, v3b
  const json v3 = recording("v3-kubelet-deferred");
  const json v3b = recording("v3b-kubelet-deferred-then-room");
  Scene scene = scene_before(v3);
  scene.pod.qos = kube::QosClass::kGuaranteed;
  for (kube::Container& each : scene.pod.containers)
    each.resources.requests = each.resources.limits;
  scene.wish(mib(2048));
  scene.step();
  const MonotonicTime patched = scene.now;
  play(scene, v3);
  play(scene, v3, patched);
  for (Happening& one : happenings(v3b)) {
    scene.run_until(patched + seconds(5) + one.at);
    scene.pod = *std::move(one.pod);
    if (kube::resize_phase(scene.pod) == kube::ResizePhase::kNone) {
      scene.file().limit = limit_of(mib(2048));
      scene.files.slice->limit = limit_of(mib(2048));
    }
    scene.step();
  }
  scene.run_until(scene.now + seconds(60));
  EXPECT_EQ(scene.said(Kind::kApplied).size(), 1u);
  EXPECT_EQ(scene.sent.size(), 1u) << "not withdrawn";
}

TEST(RecordedResize, APolicyThatRestartsIsNeverAskedFor) {  // v5
  const json v5 = recording("v5-kubelet-restart-policy");
  Scene scene = scene_before(v5);
  scene.wish(mib(96));
  scene.step();
  scene.run_until(scene.now + seconds(60));
  EXPECT_TRUE(scene.sent.empty()) << "the recorded kubelet restarted the container for it";
  EXPECT_EQ(scene.file().limit, limit_of(mib(96))) << "written instead";
  ASSERT_TRUE(scene.container().memory.lease);
  EXPECT_EQ(scene.container().memory.lease->why, LeaseWhy::kNoApi);
}

TEST(RecordedResize, ASliceThatStaysBehindInACrashLoop) {  // v7
  const json v7 = recording("v7-kubelet-oomkill");
  const std::vector<Happening> all = happenings(v7);
  Scene scene(*all.front().pod);
  scene.config.field_manager = "kx";
  scene.config.preflight = false;
  scene.files.containers.clear();  // killed: the container's cgroup has gone
  scene.files.slice = CgroupReading{limit_of(mib(64)), mib(60)};
  scene.step();
  for (const Happening& one : all) {
    scene.run_until(resize_test::kStart + one.at);
    scene.pod = *one.pod;
    scene.step();
  }
  EXPECT_EQ(scene.files.slice->limit, limit_of(mib(160)))
      << "minutes later the kubelet had not raised it, and nothing could start";
  EXPECT_EQ(scene.said(Kind::kRepaired).size(), 1u);
}

TEST(RecordedResize, AKubeletThatIsDown) {  // v9
  const json v9 = recording("v9-kubelet-down");
  Scene scene = scene_before(v9);
  scene.wish(mib(80));
  scene.step();
  const MonotonicTime patched = scene.now;
  play(scene, v9);
  play(scene, v9, patched);
  scene.run_until(patched + seconds(36));
  EXPECT_EQ(scene.file().limit, limit_of(mib(80))) << "stored, so it may be written";
  EXPECT_EQ(scene.files.slice->limit, limit_of(mib(80)));
  EXPECT_EQ(scene.said(Kind::kFallback).size(), 1u);
  EXPECT_EQ(scene.sent.size(), 1u);
}

struct DirectRow {
  const char* name;
  std::uint64_t limit_mib;
};

TEST(RecordedResize, OverDirectWrites) {  // v11
  for (const DirectRow& row : {DirectRow{"v11-direct-write-then-api-90", 90},
                               DirectRow{"v11-direct-write-then-api-100", 100},
                               DirectRow{"v11-direct-write-then-api-120", 120}}) {
    SCOPED_TRACE(row.name);
    const json v11 = recording(row.name);
    Scene scene = scene_before(v11);
    EXPECT_EQ(scene.file().limit, limit_of(mib(100)));
    scene.say(EngineWord::Kind::kGrant, mib(100));
    scene.set_usage(Bytes{80'000'000});
    scene.step();
    if (row.limit_mib == 90) {  // the engine has taken some of it back
      scene.say(EngineWord::Kind::kShrink, mib(90));
      scene.file().limit = limit_of(mib(90));
      scene.after(milliseconds(1));
    } else if (row.limit_mib == 120) {
      scene.wish(mib(120));
    }
    scene.run_until(scene.now + seconds(6));
    ASSERT_EQ(scene.sent.size(), 1u);
    const MonotonicTime patched = scene.now;
    scene.last.actions = {ResizeAction(scene.sent[0])};
    play(scene, v11);
    play(scene, v11, patched);
    scene.run_until(scene.now + seconds(20));
    EXPECT_EQ(scene.file().limit, limit_of(mib(row.limit_mib)));
    EXPECT_EQ(scene.files.slice->limit, limit_of(mib(row.limit_mib)));
    EXPECT_FALSE(scene.container().memory.lease);
    EXPECT_TRUE(scene.said(Kind::kReasserted).empty());
    EXPECT_EQ(scene.said(Kind::kApplied).size(), 1u);
    EXPECT_EQ(scene.sent.size(), 1u);
  }
}

// A pod that is bound and whose containers have no status yet was resized by the recorded server,
// so that a dry run for its CPU limit can be asked in time for its start.
TEST(RecordedResize, ADryRunForCpuBeforeTheContainerRuns) {  // 39b
  const json exchange = recording("39b-bound-not-started")["exchanges"][0];
  EXPECT_EQ(exchange["response"]["status"], 200);
  kube::Pod pod = pod_of(exchange["response"]["body"]);
  ASSERT_FALSE(pod.containers.at(0).status);
  const MilliCpu floor = pod.containers[0].resources.limits.cpu.value();
  Scene scene(pod);
  scene.config.field_manager = "kx";
  scene.files.containers.clear();
  scene.files.slice.reset();
  scene.allow_cpu(floor).boost = floor + floor;
  scene.step();
  ASSERT_EQ(scene.preflights.size(), 1u);
  scene.answer_with(kube::Response{.status = 200,
                                   .content_type = "application/json",
                                   .body = exchange["response"]["body"].dump()});
  ASSERT_EQ(scene.preflights.size(), 2u);
  EXPECT_EQ(resize_test::asked_cpu(&scene.preflights[1]), floor + floor);
  scene.accept();
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, floor + floor);
}

// A refusal that the API server gave, for the value that it gave it for.
struct RefusalRow {
  const char* name;
  std::size_t exchange;
  std::uint64_t wish_mib;
  std::uint64_t allowed_mib;  // written or asked for after it: at most this
  const char* cause;
  const char* words;
};

TEST(RecordedResize, RefusalsAreRespected) {  // 25, 26, 27, 36, 90
  for (const RefusalRow& row : {
           RefusalRow{"25-limitrange-max", 0, 768, 512, "limit_range", "per Container is 512Mi"},
           RefusalRow{"25b-limitrange-ratio-and-max", 0, 600, 512, "limit_range", "ratio"},
           RefusalRow{"26-quota-exceeded", 1, 2048, 768, "quota", "exceeded quota: rq"},
           RefusalRow{"27b-rbac-reader-forbidden", 0, 300, 256, "rbac", "pods/resize"},
           RefusalRow{"27g-anonymous", 0, 310, 256, "rbac", "system:anonymous"},
           RefusalRow{"36-node-capacity", 0, 40 * 1024, 30 * 1024, "node_capacity", "allocatable"},
           RefusalRow{"90-vap-node-bound-resize", 3, 320, 256, "admission", "resize-own-node-only"},
       }) {
    SCOPED_TRACE(row.name);
    const json body = recording(row.name)["exchanges"][row.exchange];
    EXPECT_EQ(body["response"]["status"], 403);
    Scene scene;
    scene.config.preflight = false;
    scene.pod.containers[0] =
        resize_test::container_of("app", mib(128), mib(256));  // as all these pods were
    scene.file().limit = limit_of(mib(256));
    scene.files.slice->limit = limit_of(mib(256));
    scene.policies[0] = {.name = "app",
                         .floor = mib(256),
                         .ceiling = mib(64 * 1024),
                         .actuation = Actuation::kResizeThenCgroup};
    scene.step();
    scene.grant(mib(row.wish_mib), mib(1));
    scene.step();
    ASSERT_EQ(asked(scene.patch()), mib(row.wish_mib));
    scene.now += milliseconds(10);
    scene.answer_with(kube::Response{.status = 403,
                                     .content_type = "application/json",
                                     .body = body["response"]["body"].dump()});
    ASSERT_EQ(scene.said(Kind::kRefused).size(), 1u);
    EXPECT_EQ(scene.said(Kind::kRefused)[0].cause, row.cause);
    EXPECT_NE(scene.said(Kind::kRefused)[0].message.find(row.words), std::string::npos);
    EXPECT_LE(scene.bounds().direct_ceiling, mib(row.allowed_mib));
    for (int i = 0; i < 20; ++i) {
      scene.after(seconds(1));
      EXPECT_EQ(scene.action<RaiseLimit>(), nullptr);
      EXPECT_LE(asked(scene.patch()).value_or(Bytes{}), mib(row.allowed_mib));
      if (scene.state.in_flight) {
        scene.accept();
        scene.actuate();
      }
    }
    EXPECT_LE(scene.file().limit, limit_of(mib(row.allowed_mib))) << "the bridge is withdrawn";
    EXPECT_FALSE(scene.said(Kind::kBridgeWithdrawn).empty());
  }
}

}  // namespace
}  // namespace plimsoll::agent::recorded_test
