// SPDX-License-Identifier: Apache-2.0
#include "agent/state/node_state.h"
#include "agent/state/node_state_json.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <array>
#include <cstdio>
#include <random>
#include <string>

#include "tests/support/floors.h"

namespace plimsoll::agent::node_state_test {
namespace {

using test::find_cpu_floor;
using test::find_floor;

constexpr Limit kFloor{256 * kMiB};
constexpr Limit kCeiling{2 * kGiB};

LimitState limit(std::uint64_t id, const std::string& path) {
  return {.id = CgroupId{id},
          .path = path,
          .first_seen = kFloor,
          .confirmed = std::nullopt,
          .direct_ceiling = kCeiling,
          .written = std::nullopt};
}

constexpr CpuLimitState kCpu{.first_seen = {500},
                             .confirmed = MilliCpu{750},
                             .direct_ceiling = {2000},
                             .written = MilliCpu{1999},
                             .burst = std::chrono::microseconds(50'000)};

NodeState full() {
  NodeState state{.boot_id = "a boot", .generation = 7, .pods = {}};
  PodState pod{.uid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
               .name_space = "team-a",
               .name = "web-0",
               .slice = limit(11, "kubepods/podX"),
               .containers = {}};
  ContainerState app{.container_id = std::string(64, 'a'),
                     .name = "app",
                     .limit = limit(0xFFFFFFFF12345678, "kubepods/podX/a b\"c\\d\n\u00e9"),
                     .backing = Backing::kLease,
                     .lease_end = MonotonicTime(Nanoseconds(123456789012345)),
                     .who = "lease: API away"};
  app.limit.first_seen = kNoLimit;
  app.limit.confirmed = Limit{1};
  app.limit.written = Limit{kNoLimit.bytes - 1};
  app.limit.cpu = kCpu;
  pod.containers = {app, app};
  pod.slice->cpu =
      CpuLimitState{.first_seen = {1}, .confirmed = {}, .direct_ceiling = {}, .written = {}};
  pod.containers[1].backing = Backing::kBridge;
  pod.containers[1].lease_end = std::nullopt;
  state.learned.learn("team-a/Deployment/web/app", "make", {kGiB}, 20000);
  state.pods = {pod, {.uid = "x", .name_space = "", .name = "", .slice = {}, .containers = {}}};
  return state;
}

Code code_of(const std::string& text) {
  const auto state = parse_state(text);
  return state ? Code::kConflict : state.error().code;
}

TEST(NodeState, ComesBackAsItWas) {
  const auto back = parse_state(format_state(full()));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, full());
  EXPECT_EQ(parse_state(format_state({})), NodeState{});
}

// What agents of before wrote has none, and what later ones write may look otherwise: what the
// limits were is not lost for that.
TEST(NodeState, WithoutLearnedSizesItIsWhole) {
  NodeState state = full();
  const auto with = [](std::string body) {
    const auto sum =
        ::crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
    std::array<char, 64> line{};
    std::snprintf(line.data(), line.size(), "plimsoll-state 1 %zu %08lx\n", body.size(), sum);
    return parse_state(line.data() + body);
  };
  std::string body = format_state(state);
  body.erase(0, body.find('\n') + 1);
  ASSERT_EQ(with(body), state);
  const std::size_t from = body.find(",\"learned\":");
  ASSERT_NE(from, std::string::npos);
  state.learned = {};
  EXPECT_EQ(with(body.substr(0, from) + "}\n"), state);
  EXPECT_EQ(with(body.substr(0, from) + ",\"learned\":{\"v\":2}}\n"), state);
}

// Agents of before knew of no CPU limits: theirs are not ours to change.
TEST(NodeState, WithoutCpuLimitsItIsWhole) {
  NodeState state = full();
  state.pods[0].slice->cpu.reset();
  for (ContainerState& container : state.pods[0].containers) container.limit.cpu.reset();
  const std::string text = format_state(state);
  EXPECT_EQ(text.find("cpu"), std::string::npos);
  EXPECT_EQ(parse_state(text), state);
}

// A cgroup may have any name; the others must not suffer from it.
TEST(NodeState, BytesThatAreNoTextAreReplaced) {
  NodeState odd = full();
  odd.pods[0].slice->path = "a\xff";
  const auto back = parse_state(format_state(odd));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->pods[0].slice->path, "a\xef\xbf\xbd");
  EXPECT_EQ(back->pods[0].containers, odd.pods[0].containers);
}

TEST(NodeState, EveryCutAndEveryFlippedBitIsSeen) {
  const std::string text = format_state(full());
  for (std::size_t length = 0; length < text.size(); ++length) {
    EXPECT_FALSE(parse_state(text.substr(0, length))) << length;
  }
  EXPECT_FALSE(parse_state(text + "x"));
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = text;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      const auto state = parse_state(damaged);
      // Upper case in the checksum is the same number.
      EXPECT_TRUE(!state || *state == full()) << at << " " << bit;
    }
  }
}

TEST(NodeState, WhatItIsNot) {
  EXPECT_EQ(code_of(""), Code::kMalformed);
  EXPECT_EQ(code_of("{\"pods\":[]}"), Code::kMalformed);
  std::string text = format_state(full());
  text.replace(0, std::string("plimsoll-state 1").size(), "plimsoll-state 2");
  const auto newer = parse_state(text);
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code, Code::kUnsupported);
  EXPECT_NE(newer.error().message.find("version 2"), std::string::npos);
}

// The header that belongs to a body, by another implementation of the checksum.
std::string sealed(const std::string& body) {
  const auto* const bytes = reinterpret_cast<const unsigned char*>(body.data());
  std::array<char, 64> line{};
  std::snprintf(line.data(), line.size(), "plimsoll-state 1 %zu %08lx\n", body.size(),
                ::crc32(0, bytes, static_cast<unsigned>(body.size())));
  return line.data() + body;
}

TEST(NodeState, AForeignBodyIsRefused) {
  const std::string good = format_state(full());
  const std::string body = good.substr(good.find('\n') + 1);
  EXPECT_EQ(sealed(body), good);
  struct Row {
    std::string from;
    std::string to;
    std::string says;
  };
  for (const Row& row :
       {Row{"\"generation\":7", "\"generasion\":7", "generation is missing"},
        Row{"\"generation\":7", "\"generation\":-7", "generation is not a whole number"},
        Row{"\"generation\":7", "\"generation\":7.5", "generation is not a whole number"},
        Row{"\"a boot\"", "5", "boot_id is not a text"},
        Row{"\"lease\"", "\"rent\"", "backing is not known"},
        Row{"\"floor_bytes\":\"max\"", "\"floor_bytes\":\"min\"", "floor_bytes is not a limit"},
        Row{"\"limit\"", "\"limits\"", "limit is missing"},
        Row{"\"slice\":{", "\"slice\":5,\"spare\":{", "an entry is not an object"},
        Row{"\"cpu\":{", "\"cpu\":500,\"spare\":{", "an entry is not an object"},
        Row{"\"floor_millicpu\"", "\"floor_cpus\"", "floor_millicpu is missing"},
        Row{"\"confirmed_millicpu\":750", "\"confirmed_millicpu\":\"750m\"",
            "confirmed_millicpu is not a whole number"},
        Row{"\"direct_ceiling_millicpu\":2000", "\"direct_ceiling_millicpu\":2.5",
            "direct_ceiling_millicpu is not a whole number"},
        Row{"\"containers\":[]", "\"containers\":{}", "containers is not a list"},
        Row{"{", "[", "not JSON"}}) {
    std::string other = body;
    const std::size_t at = other.find(row.from);
    ASSERT_NE(at, std::string::npos) << row.from;
    other.replace(at, row.from.size(), row.to);
    const auto state = parse_state(sealed(other));
    ASSERT_FALSE(state) << row.to;
    EXPECT_EQ(state.error().code, Code::kMalformed);
    EXPECT_NE(state.error().message.find(row.says), std::string::npos) << state.error().message;
  }
  EXPECT_EQ(code_of(sealed("[]")), Code::kMalformed);
  EXPECT_EQ(code_of(sealed("")), Code::kMalformed);
  EXPECT_EQ(code_of(sealed(std::string(100'000, '['))), Code::kMalformed);
}

TEST(NodeState, ATimeBeforeTheBootIsTheBoot) {
  NodeState odd = full();
  odd.pods[0].containers[0].lease_end = MonotonicTime(Nanoseconds(-5));
  const auto back = parse_state(format_state(odd));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->pods[0].containers[0].lease_end, MonotonicTime(Nanoseconds(0)));
}

TEST(NodeState, WhereALimitBelongs) {
  LimitState one = limit(1, "a");
  EXPECT_EQ(restore_target(one), kFloor);
  one.confirmed = Limit{kGiB};
  EXPECT_EQ(restore_target(one), Limit{kGiB});
  CpuLimitState cpu = kCpu;
  EXPECT_EQ(restore_target(cpu), MilliCpu{750});
  cpu.confirmed.reset();
  EXPECT_EQ(restore_target(cpu), MilliCpu{500});
}

TEST(NodeState, WhatMustBeOnDiskBeforeAWrite) {
  const NodeState saved = full();
  NodeState next = saved;
  EXPECT_TRUE(explains(saved, next));
  next.pods[0].containers[0].limit.written = kFloor;
  next.pods[0].containers[0].backing = Backing::kSpec;
  next.pods[0].containers[0].limit.direct_ceiling = Limit{kGiB};
  EXPECT_TRUE(explains(saved, next)) << "less than what is on disk needs no hurry";

  const auto change = [&saved](auto edit) {
    NodeState other = saved;
    edit(other.pods[0].containers[0].limit);
    return explains(saved, other);
  };
  EXPECT_FALSE(change([](LimitState& one) { one.direct_ceiling = Limit{kCeiling.bytes + 1}; }));
  EXPECT_FALSE(change([](LimitState& one) { one.id = CgroupId{99}; }));
  EXPECT_FALSE(change([](LimitState& one) { one.first_seen = Limit{1}; }));
  EXPECT_FALSE(change([](LimitState& one) { one.confirmed = kFloor; }));
  EXPECT_FALSE(change([](LimitState& one) { one.path = "b"; }));
  next = saved;
  next.pods[0].slice->direct_ceiling = kNoLimit;
  EXPECT_FALSE(explains(saved, next)) << "the pod's own limit counts too";
  next = saved;
  next.boot_id = "another boot";
  EXPECT_FALSE(explains(saved, next));
  // Nobody writes to it, so nothing needs to be known of it.
  EXPECT_TRUE(change([](LimitState& one) {
    one.id = CgroupId{99};
    one.direct_ceiling = Limit{0};
    one.cpu.reset();
  }));
}

TEST(NodeState, WhatMustBeOnDiskBeforeAWriteOfACpuLimit) {
  const auto change = [](auto edit) {
    NodeState other = full();
    edit(other.pods[0].containers[0].limit);
    return explains(full(), other);
  };
  EXPECT_FALSE(change([](LimitState& one) { one.cpu->direct_ceiling = MilliCpu{2001}; }));
  EXPECT_FALSE(change([](LimitState& one) { one.cpu->first_seen = MilliCpu{501}; }));
  EXPECT_FALSE(change([](LimitState& one) { one.cpu->confirmed = MilliCpu{751}; }));
  EXPECT_TRUE(change([](LimitState& one) { one.cpu->direct_ceiling = MilliCpu{1000}; }));
  EXPECT_TRUE(change([](LimitState& one) { one.cpu->written = MilliCpu{1}; }));
  EXPECT_TRUE(change([](LimitState& one) { one.cpu.reset(); }));
  // The memory of the same cgroup is another matter.
  EXPECT_FALSE(change([](LimitState& one) {
    one.direct_ceiling = Limit{0};
    one.id = CgroupId{99};
  }));
  EXPECT_TRUE(change([](LimitState& one) {
    one.direct_ceiling = Limit{0};
    one.cpu->direct_ceiling = MilliCpu{};
    one.id = CgroupId{99};
  })) << "nobody writes to it";

  NodeState next = full();
  next.pods[0].slice->cpu->direct_ceiling = MilliCpu{1};
  EXPECT_FALSE(explains(full(), next)) << "the pod's own limit counts too";
  NodeState without = full();
  without.pods[0].containers[0].limit.cpu.reset();
  without.pods[0].containers.pop_back();
  EXPECT_FALSE(explains(without, full())) << "nothing is known of its CPU limit";
}

// Records about specs, which have no cgroup.
TEST(NodeState, FloorsOfSpecsAreExplainedOneByOne) {
  NodeState saved{.boot_id = "", .generation = 1, .pods = {{.uid = "u"}}};
  ContainerState& app = saved.pods[0].containers.emplace_back();
  app.name = "app";
  constexpr CpuLimitState kHidden{
      .first_seen = {500}, .confirmed = MilliCpu{750}, .direct_ceiling = {}, .written = {}};
  app.limit.cpu = kHidden;
  EXPECT_EQ(find_cpu_floor(saved, "u", "app"), MilliCpu{500});
  EXPECT_EQ(find_floor(saved, "u", "app"), std::nullopt) << "its memory is not hidden";
  EXPECT_EQ(find_cpu_floor(saved, "u", "side"), std::nullopt);
  EXPECT_EQ(find_cpu_floor(saved, "v", "app"), std::nullopt);

  const auto change = [&saved](auto edit) {
    NodeState next = saved;
    edit(next.pods[0].containers[0]);
    return explains(saved, next);
  };
  EXPECT_TRUE(change([](ContainerState& one) { one.limit.cpu->confirmed = MilliCpu{900}; }));
  EXPECT_TRUE(change([](ContainerState& one) { one.limit.cpu.reset(); }));
  EXPECT_FALSE(change([](ContainerState& one) { one.limit.cpu->first_seen = MilliCpu{499}; }));
  EXPECT_FALSE(change([](ContainerState& one) { one.limit.first_seen = kFloor; }));
  EXPECT_FALSE(change([](ContainerState& one) { one.name = "side"; }));

  app.limit.first_seen = kFloor;
  EXPECT_EQ(find_floor(saved, "u", "app"), kFloor);
  EXPECT_TRUE(change([](ContainerState& one) { one.limit.first_seen = kNoLimit; }));
  app.limit.cpu.reset();
  EXPECT_EQ(find_cpu_floor(saved, "u", "app"), std::nullopt);
  EXPECT_FALSE(change([&](ContainerState& one) { one.limit.cpu = kHidden; }));
}

TEST(NodeState, AnyBytesAreAccepted) {
  std::mt19937 random(11);
  const std::string text = format_state(full());
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = text.substr(0, random() % (text.size() + 1));
    for (int edits = static_cast<int>(random() % 4); edits > 0 && !damaged.empty(); --edits) {
      damaged[random() % damaged.size()] = static_cast<char>(random());
    }
    const auto state = parse_state(damaged);
    EXPECT_TRUE(!state || *state == full());
  }
}

TEST(NodeState, TheBootHasAnId) {
  const auto id = read_boot_id();
  ASSERT_TRUE(id) << id.error().message;
  EXPECT_EQ(id->size(), 36U);
}

}  // namespace
}  // namespace plimsoll::agent::node_state_test
