// SPDX-License-Identifier: Apache-2.0
#include "agent/config/parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <random>
#include <set>
#include <sstream>
#include <string>

#include "agent/config/docs.h"
#include "agent/config/keys.h"
#include "agent/config/yaml.h"
#include "base/printable.h"
#include "tests/support/source_path.h"

namespace plimsoll::agent::config_test::parse_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

std::string error_of(std::string_view text) {
  const Result<Config> config = parse_config(text, "plimsoll.yaml");
  return config ? "(accepted)" : config.error().message;
}

std::size_t lines_in(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
}

// A name in a file that is the key's.
std::string name_of(const ConfigKey& key) {
  std::string name(key.name);
  const std::size_t part = name.find(kNamespacePart);
  return part == std::string::npos ? name : name.replace(part, kNamespacePart.size(), "dev");
}

std::string in_yaml(const ConfigKey& key, std::string_view value) {
  return name_of(key) + ": \"" + std::string(value) + "\"\n";
}

TEST(Config, EmptyFilesAreAllDefaults) {
  for (const std::string_view text : {"", "\n", "# only a comment\n", "---\n", "memory:\n", "{}"}) {
    const Result<Config> config = parse_config(text, "plimsoll.yaml");
    ASSERT_TRUE(config) << text << config.error().message;
    EXPECT_EQ(config->policy, Policy{});
    EXPECT_EQ(config->tick, seconds(1));
    EXPECT_FALSE(config->tier);
  }
}

TEST(Config, EveryKeyReachesItsMember) {
  const Result<Config> config = parse_config(R"(
memory:
  predict: false
  watermark: 0.8
  horizon: 150ms
  look_ahead: 2s
  step: 32Mi
  step_ratio: 0.25
  step_ratio_max: 2
  round_to: 2Mi
  shrink_after: 1m
  shrink_below: 0.7
  shrink_margin: 0.1
  shrink_backoff_max: 8
  leak: {grants: 9, window: 5m, dip: 0.02}
  thrash_stall: 0.3
cpu:
  throttle_target: 0.2
  window: 40
  burst: 0.5
  margin: 0.2
  step_ratio: 0.3
  hold: 1s
  lower_below: 0.7
  hold_backoff_max: 4
  remember: 10s
  lower_after: 1m
  reserve: 0.1
  node_pressure: 0.6
hold:
  door: 100ms
  slice: 1.5ms
  budget: 300ms
budget.reserve: 128Mi
"budget.limit": '2Gi'
budget.take_back: true
tick: 500ms
tier: C
)",
                                             "plimsoll.yaml");
  ASSERT_TRUE(config) << config.error().message;
  const MemoryPolicy expected{.predict = false,
                              .watermark = 0.8,
                              .horizon = milliseconds(150),
                              .look_ahead = seconds(2),
                              .step = {32 * kMiB},
                              .step_ratio = 0.25,
                              .step_ratio_max = 2,
                              .round_to = {2 * kMiB},
                              .shrink_after = minutes(1),
                              .shrink_below = 0.7,
                              .shrink_margin = 0.1,
                              .shrink_backoff_max = 8,
                              .leak_grants = 9,
                              .leak_window = minutes(5),
                              .leak_dip = 0.02,
                              .thrash_stall = 0.3};
  EXPECT_EQ(config->policy.memory, expected);
  const CpuPolicy cpu{.throttle_target = 0.2,
                      .window = 40,
                      .burst = 0.5,
                      .margin = 0.2,
                      .step_ratio = 0.3,
                      .hold = seconds(1),
                      .lower_below = 0.7,
                      .hold_backoff_max = 4,
                      .remember = seconds(10),
                      .lower_after = minutes(1),
                      .reserve = 0.1,
                      .node_pressure = 0.6};
  EXPECT_EQ(config->policy.cpu, cpu);
  EXPECT_EQ(config->hold.door, milliseconds(100));
  EXPECT_EQ(config->hold.slice, std::chrono::microseconds(1500));
  EXPECT_EQ(config->hold.budget_per_second, milliseconds(300));
  EXPECT_EQ(config->policy.budget.reserve, Bytes{128 * kMiB});
  EXPECT_EQ(config->policy.budget.limit, Bytes{2 * kGiB});
  EXPECT_TRUE(config->policy.budget.take_back);
  EXPECT_EQ(config->tick, milliseconds(500));
  EXPECT_EQ(config->tier, bpf::Tier::kC);
}

TEST(Config, ATierThatIsGoneIsAnErrorThatSaysSo) {
  const Result<Config> config = parse_config("tier: B\n", "f");
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().message, testing::HasSubstr("no tier B any more"));
}

TEST(Config, EveryKeyOfTheNodeAgentReachesItsMember) {
  const Result<Config> config = parse_config(R"(
pods:
  selector: app=web,env in (dev,ci)
  namespaces: "!dev-secret,dev-*"
  opt_in: false
  ceiling: 2.5
  ceiling_max: 8Gi
  look_ahead_max: 20s
  actuation: cgroup
  dry_run: true
  cpu: false
  cpu_ceiling: 2.25
  cpu_ceiling_max: 2500m
  cpu_ask_after: 20s
startup: {boost: 5, boost_max: 6, time: 90s, settle_after: 4s}
fallback: {lease: 3m, on_refusal: true, unasked: true}
api:
  deadline: 8s
  rescue_deadline: 1500ms
  requests_per_second: 2.5
  burst: 7
  latency: 400ms
  latency_factor: 3
  verify_after: 3s
  withdraw_after: 20s
  refused_backoff: 10s
  refused_backoff_max: 5m
preflight: {enabled: false, requests_per_second: 1}
announce: {enabled: false, default: "make=2Gi, ninja"}
budget:
  node_share: 0.5
  namespace_default: 4Gi
  namespaces: {dev: 8Gi, "ci-1": 0}
coexist: {mode: share, yield_for: 10m}
events.per_minute: 5
metrics.address: "127.0.0.1:9000"
explain.history: 16
log.level: debug
)",
                                             "plimsoll.yaml");
  ASSERT_TRUE(config) << config.error().message;
  NodeConfig expected{
      .pods = {.opt_in = false,
               .ceiling = 2.5,
               .ceiling_max = Bytes{8 * kGiB},
               .look_ahead_max = seconds(20),
               .actuation = Actuation::kCgroup,
               .dry_run = true},
      .cpu = {.enabled = false,
              .ceiling = 2.25,
              .ceiling_max = MilliCpu{2500},
              .ask_after = seconds(20)},
      .startup = {.boost = 5,
                  .boost_max = MilliCpu{6000},
                  .time = seconds(90),
                  .settle_after = seconds(4)},
      .fallback = {.lease = minutes(3), .on_refusal = true, .unasked = true},
      .api = {.deadline = seconds(8),
              .rescue_deadline = milliseconds(1500),
              .requests_per_second = 2.5,
              .burst = 7,
              .latency = milliseconds(400),
              .latency_factor = 3,
              .verify_after = seconds(3),
              .withdraw_after = seconds(20),
              .refused_backoff = seconds(10),
              .refused_backoff_max = minutes(5)},
      .preflight = {.enabled = false, .requests_per_second = 1},
      .announce = {.enabled = false, .commands = {{"make", Bytes{2 * kGiB}}, {"ninja", {}}}},
      .budget = {.node_share = 0.5,
                 .namespace_default = Bytes{4 * kGiB},
                 .namespaces = {{"ci-1", Bytes{}}, {"dev", Bytes{8 * kGiB}}}},
      .coexist = Coexist::kShare,
      .yield_for = minutes(10),
      .events_per_minute = 5,
      .metrics_address = {.host = "127.0.0.1", .port = 9000},
      .explain_history = 16,
      .log_level = LogLevel::kDebug};
  expected.pods.selector = *Selector::parse("app=web,env in (ci,dev)");
  expected.pods.namespaces = *NamespaceList::parse("dev-*,!dev-secret");
  EXPECT_EQ(config->node, expected);
}

// The two tests above set every key that there is, each to something else than its default.
TEST(Config, NoKeyIsLeftOutOfTheTestsAbove) { EXPECT_EQ(config_keys().size(), 78U); }

TEST(Config, ErrorsOfTheNodeAgentsKeysSayWhatIsAllowed) {
  EXPECT_EQ(error_of("pods:\n"
                     "  selector: app==\n"
                     "  namespaces: Dev\n"
                     "  opt_in: yes\n"
                     "  actuation: both\n"
                     "  ceiling: 0.5\n"
                     "  selektor: a\n"
                     "budget:\n"
                     "  namespaces: {Dev: 1Gi, dev: lots}\n"
                     "  namespace: {dev: 1Gi}\n"
                     "metrics: {address: 9464}\n"
                     "log.level: 3\n"
                     "pods.selector: a in b\n"),
            "plimsoll.yaml:3: pods.namespaces: \"Dev\" is no name of a namespace; expected a list "
            "such as \"dev-*,ci,!dev-secret\"\n"
            "plimsoll.yaml:4: pods.opt_in: \"yes\" is none of false, true\n"
            "plimsoll.yaml:5: pods.actuation: \"both\" is none of resize, resize-then-cgroup, "
            "cgroup\n"
            "plimsoll.yaml:6: pods.ceiling: \"0.5\" is out of range; allowed: 1 to 1000\n"
            "plimsoll.yaml:7: pods.selektor: unknown key; did you mean pods.selector?\n"
            "plimsoll.yaml:9: budget.namespaces.Dev: \"Dev\" is no name of a namespace\n"
            "plimsoll.yaml:9: budget.namespaces.dev: \"lots\" is not a number that is 0 or more; "
            "expected a size such as 512Mi or 4Gi; allowed: 0 to 16Ti\n"
            "plimsoll.yaml:10: budget.namespace.dev: unknown key; did you mean "
            "budget.namespaces.dev?\n"
            "plimsoll.yaml:11: metrics.address: \"9464\" is not an address such as \":9464\", "
            "\"127.0.0.1:9464\" or \"off\"\n"
            "plimsoll.yaml:12: log.level: \"3\" is none of debug, info, warn, error\n"
            "plimsoll.yaml:13: pods.selector: set twice, first in line 2");
}

TEST(Config, NumbersOfCpusAreReadAsKubernetesWritesThem) {
  const auto read = [](std::string_view text) {
    const auto config = parse_config("pods.cpu_ceiling_max: " + std::string(text), "f");
    if (!config) return config.error().message;
    return value_text(*find_key("pods.cpu_ceiling_max"), *config).value_or("(none)");
  };
  EXPECT_EQ(read("2"), "2");
  EXPECT_EQ(read("0.5"), "500m");
  EXPECT_EQ(read("1500m"), "1500m");
  EXPECT_EQ(read("0"), "f:1: pods.cpu_ceiling_max: \"0\" is out of range; allowed: 10m to 10000");
  EXPECT_EQ(read("4Gi"),
            "f:1: pods.cpu_ceiling_max: \"4Gi\" has a unit that is not known; expected a number of "
            "CPUs such as 250m, 0.5 or 2; allowed: 10m to 10000");
  EXPECT_EQ(kind_text(*find_key("startup.boost_max")), "number of CPUs");
}

TEST(Config, ValuesThatYamlReadsOtherwiseSayThatTheyNeedQuotes) {
  EXPECT_THAT(error_of("pods.namespaces: !dev\n"), HasSubstr("begins with ! needs quotes"));
  EXPECT_THAT(error_of("pods.namespaces: *,!dev\n"), HasSubstr("begins with * needs quotes"));
  EXPECT_EQ(error_of("pods.namespaces: '*,!dev'\nmetrics.address: :9464\n"), "(accepted)");
}

TEST(Config, AddressesAreReadAndWritten) {
  const auto address = [](std::string_view text) {
    const auto config = parse_config("metrics.address: \"" + std::string(text) + "\"", "f");
    if (!config) return std::string("(refused)");
    const ListenAddress& read = config->node.metrics_address;
    return read.host + " " + std::to_string(read.port) + " " +
           value_text(*find_key("metrics.address"), *config).value_or("(none)");
  };
  EXPECT_EQ(address(":1"), " 1 :1");
  EXPECT_EQ(address("localhost:9464"), "localhost 9464 localhost:9464");
  EXPECT_EQ(address("[::1]:9464"), "::1 9464 [::1]:9464");
  EXPECT_EQ(address("off"), " 0 off");
  for (const std::string_view bad :
       {"", ":", ":0", ":65536", "9464", "::1:9464", "a b:1", "[]:1", "[::1]", "host:", ":-1"}) {
    EXPECT_EQ(address(bad), "(refused)") << bad;
  }
}

TEST(Config, KeysOfTheNextStartAreNamedWhenTheyChange) {
  const auto changed = [](std::string_view text) {
    return keys_for_next_start(Config{}, *parse_config(text, "f"));
  };
  EXPECT_THAT(changed("log.level: debug\npods.ceiling: 2\n"), testing::IsEmpty());
  EXPECT_THAT(changed("tier: auto\n"), testing::IsEmpty());
  EXPECT_THAT(changed("tier: C\nhold.door: 100ms\nlog.level: debug\n"),
              testing::ElementsAre("hold.door", "tier"));
}

// Two rows with the same member would leave one key without effect.
TEST(Config, NoTwoKeysShareAMember) {
  std::set<const void*> members;
  std::set<std::string_view> names;
  Config config;
  for (const ConfigKey& key : config_keys()) {
    const void* address = std::visit(
        [&](auto member) { return static_cast<const void*>(&member(config)); }, key.member);
    EXPECT_TRUE(members.insert(address).second) << key.name;
    EXPECT_TRUE(names.insert(key.name).second) << key.name;
  }
}

TEST(Config, DefaultsAreInRangeAndReadBackAsTheyArePrinted) {
  for (const ConfigKey& key : config_keys()) {
    const std::optional<std::string> text = value_text(key, Config{});
    if (!text) {
      EXPECT_FALSE(key.otherwise.empty()) << key.name;
      continue;
    }
    Config changed;
    const Result<void> set = set_key(key, name_of(key), *text, changed);
    ASSERT_TRUE(set) << key.name << ": " << set.error().message;
    EXPECT_EQ(value_text(key, changed), text);
    EXPECT_EQ(changed.policy, Policy{}) << key.name;
    EXPECT_EQ(changed.node, NodeConfig{}) << key.name;
  }
}

TEST(Config, BothEndsOfEveryRangeAreAllowedAndBeyondIsNot) {
  for (const ConfigKey& key : config_keys()) {
    if (key.least.empty()) continue;
    for (const std::string_view end : {key.least, key.most}) {
      Config config;
      ASSERT_TRUE(set_key(key, name_of(key), end, config)) << key.name << " " << end;
      EXPECT_TRUE(validate(config.policy.memory)) << key.name << " " << end;
    }
    const std::string beyond = "9" + std::string(key.most);
    EXPECT_THAT(error_of(in_yaml(key, beyond)),
                AllOf(StartsWith("plimsoll.yaml:1: " + name_of(key) + ": "),
                      HasSubstr("allowed: " + std::string(key.least) + " to ")));
  }
}

TEST(Config, EveryErrorIsNamedWithItsLine) {
  const std::string error = error_of(
      "memory:\n"
      "  watermark: high\n"
      "  horizon: 200\n"
      "  step: 64Mb\n"
      "  step_ratio: -1\n"
      "  watermrk: 0.8\n"
      "  leak:\n"
      "    grants: 2.5\n"
      "    grants: 3\n"
      "hold: 200ms\n"
      "tier: D\n"
      "tick: [1s]\n"
      "shrink_after: 30s\n"
      "zzzzzzzzzzzzzzzzzzzz: 1\n"
      "budget:\n"
      "  reserve:\n");
  EXPECT_EQ(
      error,
      "plimsoll.yaml:2: memory.watermark: \"high\" is not a decimal number such as 0.85; allowed: "
      "0.5 to 0.98\n"
      "plimsoll.yaml:3: memory.horizon: \"200\" has a unit that is not known; expected a duration "
      "such as 500ms, 30s or 5m; allowed: 1ms to 60s\n"
      "plimsoll.yaml:4: memory.step: \"64Mb\" has a unit that is not known; expected a size such "
      "as 512Mi or 4Gi; allowed: 1Mi to 1Ti\n"
      "plimsoll.yaml:5: memory.step_ratio: \"-1\" is out of range; allowed: 0 to 4\n"
      "plimsoll.yaml:6: memory.watermrk: unknown key; did you mean memory.watermark?\n"
      "plimsoll.yaml:8: memory.leak.grants: \"2.5\" is not a whole number; allowed: 1 to 1000\n"
      "plimsoll.yaml:9: memory.leak.grants: set twice, first in line 8\n"
      "plimsoll.yaml:10: hold: \"200ms\", where a section is expected\n"
      "plimsoll.yaml:11: tier: \"D\" is none of auto, A, C\n"
      "plimsoll.yaml:12: tick: a list, where one value is expected\n"
      "plimsoll.yaml:13: shrink_after: unknown key; did you mean memory.shrink_after?\n"
      "plimsoll.yaml:14: zzzzzzzzzzzzzzzzzzzz: unknown key\n"
      "plimsoll.yaml:16: budget.reserve: \"\" is not a number that is 0 or more; expected a size "
      "such as 512Mi or 4Gi; allowed: 0 to 1Ti");
}

TEST(Config, ADottedNameAndItsSectionAreTheSameKey) {
  EXPECT_EQ(error_of("memory.step: 64Mi\nmemory:\n  step: 32Mi\n"),
            "plimsoll.yaml:3: memory.step: set twice, first in line 1");
}

TEST(Config, KeysThatDoNotFitTogetherAreRefused) {
  EXPECT_EQ(error_of("memory.step: 2Mi\nmemory.round_to: 4Mi\n"),
            "plimsoll.yaml:2: memory.round_to: larger than memory.step");
  EXPECT_EQ(error_of("hold.door: 0s\n"), "plimsoll.yaml:1: hold.slice: longer than hold.door");
  EXPECT_EQ(error_of("hold: {door: 0s, slice: 0s}\n"), "(accepted)");
  EXPECT_EQ(error_of("api.deadline: 1s\n"),
            "plimsoll.yaml:1: api.rescue_deadline: longer than api.deadline");
  EXPECT_EQ(error_of("tick: 1s\napi:\n  verify_after: 60s\n"),
            "plimsoll.yaml:3: api.verify_after: longer than api.withdraw_after");
  EXPECT_EQ(error_of("api.refused_backoff: 30m\n"),
            "plimsoll.yaml:1: api.refused_backoff: longer than api.refused_backoff_max");
}

TEST(Config, WhatIsNotAMapOfSettingsIsRefused) {
  struct Candidate {
    std::string_view text;
    std::string_view error;
  };
  for (const Candidate& each : {
           Candidate{"just words\n", "plimsoll.yaml:1: \"just words\", where sections"},
           Candidate{"- tick: 1s\n", "plimsoll.yaml:1: a list, where sections"},
           Candidate{
               "memory:\n\tstep: 64Mi\n",
               "plimsoll.yaml:2: not valid YAML: illegal map value (the line is indented with a "
               "tab; YAML wants spaces)"},
           Candidate{"tick: 1s\nmemory: {step: 64Mi\n",
                     "plimsoll.yaml:3: not valid YAML: end of map"},
           Candidate{"tick: \"1s\n", "plimsoll.yaml:1: tick: \"1s \" has a unit"},
           Candidate{"tick: &a 1s\n", "plimsoll.yaml:1: anchors and tags are not allowed"},
           Candidate{"tick: !!str 1s\n",
                     "plimsoll.yaml:1: anchors and tags are not allowed; a value"},
           Candidate{"a: &a {b: *a}\n", "plimsoll.yaml:1: anchors and tags are not allowed"},
           Candidate{"? {a: 1}\n: 2\n", "plimsoll.yaml:1: a section, where a key is expected"},
           Candidate{"tick:\n", "plimsoll.yaml:1: tick: \"\" is not a number"},
           Candidate{"tick: {every: 1s}\n", "plimsoll.yaml:1: tick.every: unknown key"},
           Candidate{"tick: 1s\n---\ntick: 2s\n", "plimsoll.yaml: more than one YAML document"},
       }) {
    EXPECT_THAT(error_of(each.text), StartsWith(std::string(each.error))) << each.text;
  }
}

TEST(Config, HostileFilesEndInAnError) {
  for (const std::string_view piece : {"[", "{", "{a: ", "a: [", "- ", "? ", "[[[&a ", "a:\n "}) {
    std::string text;
    while (text.size() < kLargestConfig - 16) text += piece;
    EXPECT_THAT(error_of(text), StartsWith("plimsoll.yaml")) << piece;
  }
  EXPECT_THAT(error_of("a: {b: {c: {d: {e: {f: {g: {h: {i: 1}}}}}}}}\n"),
              HasSubstr("a.b.c.d.e.f.g.h: sections are nested too deep"));
  EXPECT_EQ(error_of(std::string(kLargestConfig + 1, '#')),
            "plimsoll.yaml: larger than 256 KiB, which no configuration is");

  std::string many;
  for (int i = 0; i < 1000; ++i) many += "key" + std::to_string(i) + ": 1\n";
  EXPECT_EQ(lines_in(error_of(many)), 51U);
  EXPECT_THAT(error_of(many), HasSubstr("and 950 more errors"));
  EXPECT_THAT(error_of("tick: \"\\e[31m" + std::string(5000, 'x') + "\"\n"),
              AllOf(Not(HasSubstr("\x1b")), HasSubstr("tick")));
}

TEST(Config, MessagesHoldNothingThatATerminalActsOn) {
  EXPECT_EQ(in_quotes("a\x1b[31m\n\x7f b"), "\"a?[31m?? b\"");
  EXPECT_EQ(in_quotes("\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xa2"),
            "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xa2\"");
  EXPECT_EQ(in_quotes("\xff\xc3x\xe2\x82"), "\"??x??\"");
  EXPECT_EQ(in_quotes("\xc2\x9b"), "\"??\"");  // CSI in one character
  // Cut between characters, not inside one.
  EXPECT_EQ(in_quotes(std::string(39, 'a') + "\xc3\xa9"), "\"" + std::string(39, 'a') + "...\"");
  EXPECT_EQ(in_quotes(std::string(40, 'a')), "\"" + std::string(40, 'a') + "\"");
  EXPECT_EQ(shown("tick"), "tick");
  EXPECT_EQ(shown("a\nb"), "\"a?b\"");
  EXPECT_THAT(error_of("\"a\\e\": [1]\n"), HasSubstr("\"a?\": a list"));
  EXPECT_THAT(error_of("\"budget.namespace.a\\e\": 1\n"), Not(HasSubstr("\x1b")));
}

// Whatever the bytes are, the answer is a configuration within the ranges or an error.
TEST(Config, RandomFilesNeverThrowAndNeverGiveAValueOutOfRange) {
  std::mt19937_64 random(20261122);
  const std::string pieces[] = {"memory",  "step",     ":",   " ",      "\n",  "  ",  "watermark",
                                "0.9",     "64Mi",     "{",   "}",      "[",   "]",   ",",
                                "tick",    "1s",       "-",   "\"",     "'",   "&a",  "*a",
                                "#",       "\t",       "|",   ">",      "?",   "!!x", "\xff",
                                "leak",    "grants",   "999", "nan",    "inf", "1e9", "tier",
                                "hold",    "door",     ".",   "budget", "---", "...", "~",
                                "reserve", "round_to", "%",   "\r",     "<<"};
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    const std::size_t length = random() % 24;
    for (std::size_t i = 0; i < length; ++i) text += pieces[random() % std::size(pieces)];
    const Result<Config> config = parse_config(text, "f");
    if (!config) {
      ASSERT_FALSE(config.error().message.empty());
      continue;
    }
    ++accepted;
    ASSERT_TRUE(validate(config->policy.memory)) << text;
  }
  EXPECT_GT(accepted, 100);
}

TEST(Config, AMissingFileIsGone) {
  const Result<Config> config = load_config("/nonexistent/plimsoll.yaml");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, Code::kGone);
}

TEST(Config, AFileIsReadAndItsErrorsCarryItsName) {
  const std::string path = testing::TempDir() + "plimsoll-config-test.yaml";
  std::ofstream(path) << "tick: 2s\n";
  const Result<Config> config = load_config(path);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->tick, seconds(2));
  std::ofstream(path) << "tick: 2\n";
  EXPECT_THAT(load_config(path).error().message, StartsWith(path + ":1: tick: "));
}

TEST(Config, TheDocumentedTableIsTheTable) {
  std::ifstream file(source_path("docs/config.md"));
  std::stringstream text;
  text << file.rdbuf();
  if (text.str() == render_config_docs()) return;
  const std::string path = testing::TempDir() + "config.md";
  std::ofstream(path) << render_config_docs();
  FAIL() << "docs/config.md is not what the table says; the new one is " << path;
}

TEST(MemoryPolicyRanges, WhatTheFunctionsRelyOnIsChecked) {
  EXPECT_TRUE(validate(MemoryPolicy{}));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto refused = [](auto change, std::string_view member) {
    MemoryPolicy policy;
    change(policy);
    const Result<void> valid = validate(policy);
    ASSERT_FALSE(valid) << member;
    EXPECT_THAT(valid.error().message, StartsWith(std::string(member) + " must be "));
  };
  refused([&](MemoryPolicy& p) { p.watermark = nan; }, "watermark");
  refused([&](MemoryPolicy& p) { p.watermark = 1; }, "watermark");
  refused([&](MemoryPolicy& p) { p.horizon = {}; }, "horizon");
  refused([&](MemoryPolicy& p) { p.look_ahead = {}; }, "look_ahead");
  refused([&](MemoryPolicy& p) { p.step = {}; }, "step");
  refused([&](MemoryPolicy& p) { p.step_ratio = nan; }, "step_ratio");
  refused([&](MemoryPolicy& p) { p.step_ratio_max = -1; }, "step_ratio_max");
  refused([&](MemoryPolicy& p) { p.round_to = {}; }, "round_to");
  refused([&](MemoryPolicy& p) { p.shrink_after = -seconds(1); }, "shrink_after");
  refused([&](MemoryPolicy& p) { p.shrink_below = 0; }, "shrink_below");
  refused([&](MemoryPolicy& p) { p.shrink_margin = -0.1; }, "shrink_margin");
  refused([&](MemoryPolicy& p) { p.shrink_backoff_max = 0.5; }, "shrink_backoff_max");
  refused([&](MemoryPolicy& p) { p.leak_grants = 0; }, "leak_grants");
  refused([&](MemoryPolicy& p) { p.leak_window = {}; }, "leak_window");
  refused([&](MemoryPolicy& p) { p.leak_dip = 1.5; }, "leak_dip");
  refused([&](MemoryPolicy& p) { p.thrash_stall = 0; }, "thrash_stall");
}

}  // namespace
}  // namespace plimsoll::agent::config_test::parse_test
