// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/pod_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

namespace plimsoll::agent::pod_policy_test {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr Bytes kLimit{512 * kMiB};

ContainerFacts container(std::string name) {
  return {.name = std::move(name), .memory_limit = kLimit, .memory_request = Bytes{128 * kMiB}};
}

PodFacts pod_with(Labels annotations) {
  return {.namespace_name = "dev",
          .labels = {{"app", "web"}},
          .annotations = std::move(annotations),
          .containers = {container("app")}};
}

// Opted in, with these on top.
PodFacts pod_in(Labels annotations) {
  annotations.emplace("plimsoll.dev/enabled", "true");
  return pod_with(std::move(annotations));
}

Managed managed(const PodFacts& pod, const Config& config = {}) {
  return policy_for(pod, config).managed;
}

ContainerPolicy first(const PodPolicy& policy) { return policy.containers.at(0); }

std::string only_problem(const PodPolicy& policy) {
  EXPECT_THAT(policy.problems, SizeIs(1));
  if (policy.problems.empty()) return "";
  return policy.problems[0].key + ": " + policy.problems[0].text;
}

TEST(PodPolicy, APodThatOptsInGetsWhatTheOperatorAllows) {
  const PodPolicy policy = policy_for(pod_in({}), {});
  EXPECT_EQ(policy.managed, Managed::kYes);
  EXPECT_THAT(policy.problems, IsEmpty());
  EXPECT_THAT(policy.containers,
              ElementsAre(ContainerPolicy{.name = "app",
                                          .managed = Managed::kYes,
                                          .floor = kLimit,
                                          .ceiling = {4 * kLimit.value},
                                          .look_ahead = seconds(1),
                                          .actuation = Actuation::kResizeThenCgroup,
                                          .dry_run = false}));
}

TEST(PodPolicy, OptingInAndOut) {
  Config by_choice;
  Config all;
  all.node.pods.opt_in = false;
  const std::string key = "plimsoll.dev/enabled";
  struct Candidate {
    Labels annotations;
    Labels labels;
    Managed when_by_choice;
    Managed when_all;
  };
  for (const Candidate& each : {
           Candidate{{}, {}, Managed::kNotOptedIn, Managed::kYes},
           Candidate{{{key, "true"}}, {}, Managed::kYes, Managed::kYes},
           Candidate{{}, {{key, "true"}}, Managed::kYes, Managed::kYes},
           Candidate{{{key, "false"}}, {}, Managed::kOptedOut, Managed::kOptedOut},
           Candidate{{}, {{key, "false"}}, Managed::kOptedOut, Managed::kOptedOut},
           Candidate{{{key, "true"}}, {{key, "false"}}, Managed::kOptedOut, Managed::kOptedOut},
           Candidate{{{key, "false"}}, {{key, "true"}}, Managed::kOptedOut, Managed::kOptedOut},
           Candidate{{{key, "yes"}}, {}, Managed::kBadAnnotation, Managed::kBadAnnotation},
           Candidate{
               {{key, "yes"}}, {{key, "true"}}, Managed::kBadAnnotation, Managed::kBadAnnotation},
           Candidate{
               {{key, "true"}}, {{key, ""}}, Managed::kBadAnnotation, Managed::kBadAnnotation},
           Candidate{{{key, "True"}}, {{key, "false"}}, Managed::kOptedOut, Managed::kOptedOut},
       }) {
    PodFacts pod = pod_with(each.annotations);
    pod.labels = each.labels;
    EXPECT_EQ(managed(pod, by_choice), each.when_by_choice) << testing::PrintToString(each.labels);
    EXPECT_EQ(managed(pod, all), each.when_all) << testing::PrintToString(each.labels);
  }
  EXPECT_EQ(only_problem(policy_for(pod_with({{key, "yes"}}), by_choice)),
            "plimsoll.dev/enabled: \"yes\" is neither \"true\" nor \"false\"; not managed");
}

TEST(PodPolicy, OneContainerCanOptInOrOut) {
  const auto two = [](Labels annotations) {
    PodFacts pod = pod_with(std::move(annotations));
    pod.containers.push_back(container("proxy"));
    return policy_for(pod, {});
  };
  PodPolicy policy =
      two({{"plimsoll.dev/enabled", "true"}, {"proxy.plimsoll.dev/enabled", "false"}});
  EXPECT_EQ(policy.managed, Managed::kYes);
  EXPECT_EQ(policy.containers[0].managed, Managed::kYes);
  EXPECT_EQ(policy.containers[1].managed, Managed::kOptedOut);

  policy = two({{"app.plimsoll.dev/enabled", "true"}});
  EXPECT_EQ(policy.containers[0].managed, Managed::kYes);
  EXPECT_EQ(policy.containers[1].managed, Managed::kNotOptedIn);

  policy = two({{"plimsoll.dev/enabled", "false"}, {"app.plimsoll.dev/enabled", "true"}});
  EXPECT_EQ(policy.managed, Managed::kOptedOut);

  policy = two({{"app.plimsoll.dev/enabled", "nope"}});
  EXPECT_EQ(policy.managed, Managed::kNoContainer);
  EXPECT_EQ(policy.containers[0].managed, Managed::kBadAnnotation);
}

// The API refuses a container's limit above the pod's.
TEST(PodPolicy, NoCeilingIsAboveThePodsOwnLimit) {
  PodFacts pod = pod_with({{"plimsoll.dev/enabled", "true"}});
  const Bytes limit = *pod.containers[0].memory_limit;
  pod.memory_limit = Bytes{limit.value * 2};
  EXPECT_EQ(first(policy_for(pod, {})).ceiling, *pod.memory_limit);
}

// Only with a bound for the namespace.
TEST(PodPolicy, WhatCannotBeAskedForIsOpenedByTheOperatorAlone) {
  const PodFacts pod = pod_with({{"plimsoll.dev/enabled", "true"}});
  Config config;
  config.node.budget.namespace_default = Bytes{kGiB};
  EXPECT_FALSE(first(policy_for(pod, config)).unasked);
  config.node.fallback.unasked = true;
  EXPECT_TRUE(first(policy_for(pod, config)).unasked);
  config.node.budget.namespace_default.reset();
  EXPECT_FALSE(first(policy_for(pod, config)).unasked);
  config.node.budget.namespaces[pod.namespace_name] = Bytes{kGiB};
  EXPECT_TRUE(first(policy_for(pod, config)).unasked);
}

TEST(PodPolicy, AContainerThatIsNotManagedIsAskedNoMore) {
  const PodPolicy policy = policy_for(
      pod_with({{"plimsoll.dev/enabled", "false"}, {"plimsoll.dev/memory-ceiling", "?"}}), {});
  EXPECT_EQ(first(policy), (ContainerPolicy{.name = "app", .managed = Managed::kOptedOut}));
  EXPECT_THAT(policy.problems, IsEmpty());
}

TEST(PodPolicy, WhatTheOperatorLeavesOutStaysOutWhateverThePodSays) {
  Config config;
  config.node.pods.namespaces = *NamespaceList::parse("*,!dev");
  EXPECT_EQ(managed(pod_in({}), config), Managed::kNamespace);
  config = {};
  config.node.pods.selector = *Selector::parse("app=db");
  const PodPolicy policy = policy_for(pod_in({{"plimsoll.dev/dry-run", "?"}}), config);
  EXPECT_EQ(policy.managed, Managed::kSelector);
  EXPECT_EQ(first(policy).managed, Managed::kSelector);
  EXPECT_THAT(policy.problems, IsEmpty());
}

TEST(PodPolicy, WhatCannotGrowSaysWhy) {
  PodFacts pod = pod_in({});
  pod.best_effort = true;
  EXPECT_EQ(managed(pod), Managed::kBestEffort);
  pod = pod_in({});
  pod.containers[0].memory_limit.reset();
  EXPECT_EQ(managed(pod), Managed::kNoLimit);
  pod.containers[0].memory_limit = Bytes{(std::uint64_t{1} << 63) - 1};
  EXPECT_EQ(managed(pod), Managed::kNoLimit);
  pod.containers[0].memory_limit = Bytes{};
  EXPECT_EQ(managed(pod), Managed::kNoLimit) << "which is what the kubelet takes 0 for";
  pod = pod_in({});
  pod.containers[0].init = true;
  EXPECT_EQ(managed(pod), Managed::kInit);
  pod.containers.clear();
  EXPECT_EQ(managed(pod), Managed::kNoContainer);
}

TEST(PodPolicy, WhoAsksForWhatNobodyGetsIsToldWhy) {
  PodFacts pod = pod_with({{"inject.plimsoll.dev/memory-ceiling", "512Mi"}});
  pod.labels["plimsoll.dev/enabled"] = "true";
  ContainerFacts inject = container("inject");
  inject.init = true;
  pod.containers.push_back(inject);
  EXPECT_EQ(
      only_problem(policy_for(pod, {})),
      "inject.plimsoll.dev/memory-ceiling: \"512Mi\" changes nothing: an init container is not "
      "grown");

  pod = pod_with({{"app.plimsoll.dev/memory-ceiling", "4Gi"}, {"plimsoll.dev/enabled", "true"}});
  pod.containers[0].memory_limit.reset();
  const PodPolicy no_limit = policy_for(pod, {});
  ASSERT_THAT(no_limit.problems, SizeIs(2));
  for (const PolicyProblem& each : no_limit.problems) {
    EXPECT_THAT(each.text, HasSubstr("changes nothing: there is no memory limit to grow"));
  }

  pod = pod_in({});
  pod.containers[0].only_cgroup = true;
  Config config;
  config.node.pods.actuation = Actuation::kResize;
  EXPECT_THAT(only_problem(policy_for(pod, config)), HasSubstr("(pods.actuation)"));

  Config all;
  all.node.pods.opt_in = false;
  pod = pod_with({});
  pod.containers[0].memory_limit.reset();
  EXPECT_THAT(policy_for(pod, all).problems, IsEmpty()) << "nobody has asked";
}

TEST(PodPolicy, ALimitOfThePodAloneIsNotGrownAndToldSo) {
  PodFacts pod = pod_with({});
  pod.labels["plimsoll.dev/enabled"] = "true";
  pod.containers[0].memory_limit.reset();
  pod.memory_limit = Bytes{kGiB};
  const PodPolicy policy = policy_for(pod, {});
  EXPECT_EQ(policy.managed, Managed::kNoLimit);
  ASSERT_THAT(policy.problems, SizeIs(2));
  EXPECT_EQ(policy.problems[0].key, "plimsoll.dev/enabled");
  EXPECT_THAT(policy.problems[1].text, HasSubstr("of the pod as a whole (1Gi) is not grown"));
}

TEST(PodPolicy, OfASandboxItIsSaidThatGrowthMayNotReachIt) {
  kube::Pod pod;
  pod.labels = {{"plimsoll.dev/enabled", "true"}};
  pod.qos = kube::QosClass::kBurstable;
  kube::Container app{.name = "app"};
  app.resources.limits.memory = kLimit;
  pod.containers = {app};
  const auto problems = [&] { return policy_for(pod_facts(pod), {}).problems; };
  pod.runtime_class = "nvidia";
  EXPECT_THAT(problems(), IsEmpty());
  pod.overhead.memory = Bytes{64 * kMiB};
  EXPECT_THAT(problems(), SizeIs(1));
  pod.overhead = {};
  pod.runtime_class = "kata-qemu";
  ASSERT_THAT(problems(), SizeIs(1));
  EXPECT_THAT(problems()[0].text, HasSubstr("\"kata-qemu\" runs the pod in a sandbox"));
  EXPECT_EQ(managed(pod_facts(pod)), Managed::kYes);
}

TEST(PodPolicy, WhatTheApiCannotResizeNeedsTheCgroup) {
  PodFacts pod = pod_in({});
  pod.containers[0].only_cgroup = true;
  EXPECT_EQ(managed(pod), Managed::kYes);
  Config config;
  config.node.pods.actuation = Actuation::kResize;
  EXPECT_EQ(managed(pod, config), Managed::kCannotResize);
  pod.annotations["plimsoll.dev/actuation"] = "resize";
  EXPECT_EQ(managed(pod), Managed::kCannotResize);
}

TEST(PodPolicy, CeilingsAreNarrowedOnly) {
  const auto ceiling = [](std::string_view text, const Config& config = {}) {
    return policy_for(pod_in({{"plimsoll.dev/memory-ceiling", std::string(text)}}), config);
  };
  EXPECT_EQ(first(ceiling("1Gi")).ceiling, Bytes{kGiB});
  EXPECT_EQ(first(ceiling("1e9")).ceiling, Bytes{1'000'000'000});
  EXPECT_EQ(first(ceiling("512Mi")).ceiling, kLimit);
  EXPECT_THAT(ceiling("2Gi").problems, IsEmpty());

  EXPECT_EQ(first(ceiling("16Gi")).ceiling, Bytes{2 * kGiB});
  EXPECT_EQ(only_problem(ceiling("16Gi")),
            "plimsoll.dev/memory-ceiling: \"16Gi\" is more than the operator allows; allowed for "
            "container app: 512Mi (its limit) to 2Gi, which is used");
  EXPECT_EQ(first(ceiling("256Mi")).ceiling, kLimit);
  EXPECT_EQ(only_problem(ceiling("256Mi")),
            "plimsoll.dev/memory-ceiling: \"256Mi\" is below the limit; allowed for container app: "
            "512Mi (its limit) to 2Gi; it is not grown");
  for (const std::string_view bad : {"", "4GB", "lots", "-1Gi", "4 Gi"}) {
    EXPECT_EQ(first(ceiling(bad)).ceiling, kLimit) << bad;
    EXPECT_THAT(only_problem(ceiling(bad)), HasSubstr("\" is not a quantity such as 4Gi; allowed"));
  }

  Config config;
  config.node.pods.ceiling_max = Bytes{kGiB};
  EXPECT_EQ(first(ceiling("2Gi", config)).ceiling, Bytes{kGiB});
  EXPECT_EQ(first(policy_for(pod_in({}), config)).ceiling, Bytes{kGiB});
  // Below what was declared: such a container is left as it is.
  config.node.pods.ceiling_max = Bytes{64 * kMiB};
  EXPECT_EQ(first(policy_for(pod_in({}), config)).ceiling, kLimit);
  config = {};
  config.node.pods.ceiling = 1;
  EXPECT_EQ(first(ceiling("1Gi", config)).ceiling, kLimit);
}

TEST(PodPolicy, FloorsLieBetweenRequestAndLimit) {
  const auto floor = [](std::string_view text) {
    return policy_for(pod_in({{"plimsoll.dev/memory-floor", std::string(text)}}), {});
  };
  EXPECT_EQ(first(floor("128Mi")).floor, Bytes{128 * kMiB});
  EXPECT_EQ(first(floor("512Mi")).floor, kLimit);
  EXPECT_EQ(first(floor("64Mi")).floor, kLimit);
  EXPECT_EQ(first(floor("1Gi")).floor, kLimit);
  EXPECT_EQ(only_problem(floor("64Mi")),
            "plimsoll.dev/memory-floor: \"64Mi\" is out of range; allowed for container app: 128Mi "
            "to 512Mi (its limit), which is used");
  EXPECT_THAT(only_problem(floor("small")), HasSubstr("is not a quantity such as 256Mi; allowed"));

  // Without a request, the least that a cgroup can live with.
  PodFacts pod = pod_in({{"plimsoll.dev/memory-floor", "1"}});
  pod.containers[0].memory_request.reset();
  EXPECT_THAT(only_problem(policy_for(pod, {})), HasSubstr("4Mi to 512Mi"));
  // Guaranteed: the request is the limit.
  pod.containers[0].memory_request = kLimit;
  EXPECT_THAT(only_problem(policy_for(pod, {})), HasSubstr("512Mi to 512Mi"));
}

TEST(PodPolicy, LookAheadDryRunAndActuation) {
  const auto with = [](std::string_view key, std::string_view value, const Config& config = {}) {
    return policy_for(pod_in({{"plimsoll.dev/" + std::string(key), std::string(value)}}), config);
  };
  EXPECT_EQ(first(with("look-ahead", "5s")).look_ahead, seconds(5));
  EXPECT_EQ(first(with("look-ahead", "2m")).look_ahead, seconds(30));
  EXPECT_EQ(
      only_problem(with("look-ahead", "2m")),
      "plimsoll.dev/look-ahead: \"2m\" is more than the operator allows; allowed: 1ms to 30s; "
      "30s is used");
  EXPECT_EQ(first(with("look-ahead", "0s")).look_ahead, seconds(1));
  EXPECT_THAT(only_problem(with("look-ahead", "0s")), HasSubstr("is too short; allowed: 1ms to"));
  EXPECT_EQ(first(with("look-ahead", "5")).look_ahead, seconds(1));
  EXPECT_THAT(only_problem(with("look-ahead", "5")),
              HasSubstr("is not a duration such as 5s; allowed: 1ms to 30s; 1s is used"));
  Config patient;
  patient.policy.memory.look_ahead = seconds(40);
  EXPECT_EQ(first(with("look-ahead", "35s", patient)).look_ahead, seconds(35));

  Config dry;
  dry.node.pods.dry_run = true;
  EXPECT_TRUE(first(with("dry-run", "true")).dry_run);
  EXPECT_FALSE(first(with("dry-run", "false")).dry_run);
  EXPECT_TRUE(first(with("dry-run", "false", dry)).dry_run);
  EXPECT_TRUE(first(with("dry-run", "no")).dry_run);
  EXPECT_EQ(only_problem(with("dry-run", "no")),
            "plimsoll.dev/dry-run: \"no\" is neither \"true\" nor \"false\"; nothing is changed");

  EXPECT_EQ(first(with("actuation", "resize")).actuation, Actuation::kResize);
  EXPECT_EQ(first(with("actuation", "cgroup")).actuation, Actuation::kResizeThenCgroup);
  EXPECT_EQ(only_problem(with("actuation", "cgroup")),
            "plimsoll.dev/actuation: \"cgroup\" is more than the operator allows; allowed: resize, "
            "resize-then-cgroup; resize-then-cgroup is used");
  EXPECT_EQ(first(with("actuation", "api")).actuation, Actuation::kResize);
  EXPECT_THAT(only_problem(with("actuation", "api")),
              HasSubstr("is no way to raise limits; allowed: resize, resize-then-cgroup; resize"));
  Config direct;
  direct.node.pods.actuation = Actuation::kCgroup;
  EXPECT_EQ(first(with("actuation", "cgroup", direct)).actuation, Actuation::kCgroup);
  EXPECT_EQ(first(with("actuation", "resize", direct)).actuation, Actuation::kResize);
}

constexpr MilliCpu kCpuLimit{500};

// Opted in, and with a CPU limit.
PodFacts cpu_pod(Labels annotations) {
  PodFacts pod = pod_in(std::move(annotations));
  pod.containers[0].cpu_limit = kCpuLimit;
  pod.containers[0].cpu_request = MilliCpu{100};
  return pod;
}

std::optional<ContainerCpuPolicy> cpu_of(const PodFacts& pod, const Config& config = {}) {
  return first(policy_for(pod, config)).cpu;
}

TEST(PodPolicy, CpuLimitsMayGoAsFarAsTheOperatorAllows) {
  ContainerCpuPolicy expected{.floor = kCpuLimit,
                              .ceiling = {2000},
                              .promised = {100},
                              .boost = {5000},
                              .boost_for = std::chrono::minutes(2)};
  EXPECT_EQ(cpu_of(cpu_pod({})), expected);
  PodFacts pod = cpu_pod({});
  pod.containers[0].cpu_request.reset();
  EXPECT_EQ(cpu_of(pod)->promised, MilliCpu{0});

  Config config;
  config.node.cpu.ceiling = 2.5;
  config.node.startup.boost = 3;
  config.node.startup.time = seconds(20);
  expected.ceiling = {1250};
  expected.boost = {1500};
  expected.boost_for = seconds(20);
  EXPECT_EQ(cpu_of(cpu_pod({}), config), expected);
  config.node.cpu.ceiling_max = MilliCpu{900};
  config.node.startup.boost_max = MilliCpu{1000};
  expected.ceiling = {900};
  expected.boost = {1000};
  EXPECT_EQ(cpu_of(cpu_pod({}), config), expected);
  // Below what was declared: nothing is taken away.
  config.node.cpu.ceiling_max = MilliCpu{100};
  expected.ceiling = kCpuLimit;
  EXPECT_EQ(cpu_of(cpu_pod({}), config), expected);
}

TEST(PodPolicy, ACpuLimitThatCannotGrowIsLeftAlone) {
  const PodFacts pod = cpu_pod({});
  PodFacts changed = pod;
  changed.containers[0].cpu_limit.reset();
  EXPECT_EQ(cpu_of(changed), std::nullopt);
  EXPECT_EQ(managed(changed), Managed::kYes);
  changed.containers[0].cpu_limit = MilliCpu{0};
  EXPECT_EQ(cpu_of(changed), std::nullopt) << "which is no limit";
  changed = pod;
  changed.guaranteed = true;
  EXPECT_EQ(cpu_of(changed), std::nullopt);
  changed = pod;
  changed.containers[0].memory_limit.reset();
  EXPECT_EQ(cpu_of(changed), std::nullopt) << "not managed";

  Config config;
  config.node.cpu.enabled = false;
  EXPECT_EQ(cpu_of(pod, config), std::nullopt);
  config = {};
  config.node.cpu.ceiling = 1;
  EXPECT_EQ(cpu_of(pod, config)->ceiling, kCpuLimit) << "boosted only";
  config.node.startup.boost = 1;
  EXPECT_EQ(cpu_of(pod, config), std::nullopt);
  config.node.cpu.ceiling = 2;
  EXPECT_EQ(cpu_of(pod, config)->boost, kCpuLimit) << "raised only";
  EXPECT_EQ(cpu_of(cpu_pod({{"plimsoll.dev/cpu-ceiling", "500m"}}), config), std::nullopt);
}

TEST(PodPolicy, WhereAResizeOfItsCpuRestartsAContainerOnlyItsCgroupIsWritten) {
  PodFacts pod = cpu_pod({});
  pod.containers[0].cpu_only_cgroup = true;
  EXPECT_TRUE(cpu_of(pod));
  Config config;
  config.node.pods.actuation = Actuation::kResize;
  EXPECT_EQ(managed(pod, config), Managed::kYes) << "its memory is";
  EXPECT_EQ(cpu_of(pod, config), std::nullopt);
  pod.annotations["plimsoll.dev/actuation"] = "resize";
  EXPECT_EQ(cpu_of(pod), std::nullopt);
  pod.containers[0].cpu_only_cgroup = false;
  EXPECT_TRUE(cpu_of(pod, config));
}

TEST(PodPolicy, CpuCeilingsAndBoostsAreNarrowedOnly) {
  const auto with = [](std::string_view key, std::string_view value) {
    return policy_for(cpu_pod({{"plimsoll.dev/" + std::string(key), std::string(value)}}), {});
  };
  EXPECT_EQ(first(with("cpu-ceiling", "1500m")).cpu->ceiling, MilliCpu{1500});
  EXPECT_EQ(first(with("cpu-ceiling", "1500m")).cpu->boost, MilliCpu{5000}) << "of its own";
  EXPECT_EQ(first(with("cpu-ceiling", "2")).cpu->ceiling, MilliCpu{2000});
  EXPECT_THAT(with("cpu-ceiling", "2").problems, IsEmpty());
  EXPECT_EQ(first(with("cpu-ceiling", "8")).cpu->ceiling, MilliCpu{2000});
  EXPECT_EQ(only_problem(with("cpu-ceiling", "8")),
            "plimsoll.dev/cpu-ceiling: \"8\" is more than the operator allows; allowed for "
            "container app: 500m (its limit) to 2, which is used");
  EXPECT_EQ(first(with("cpu-ceiling", "100m")).cpu->ceiling, kCpuLimit);
  EXPECT_EQ(only_problem(with("cpu-ceiling", "100m")),
            "plimsoll.dev/cpu-ceiling: \"100m\" is below the limit; allowed for container app: "
            "500m (its limit) to 2; it is not grown");
  EXPECT_EQ(first(with("startup-boost", "2500m")).cpu->boost, MilliCpu{2500});
  EXPECT_EQ(first(with("startup-boost", "2500m")).cpu->ceiling, MilliCpu{2000}) << "of its own";
  EXPECT_EQ(first(with("startup-boost", "500m")).cpu->boost, kCpuLimit);
  EXPECT_THAT(with("startup-boost", "500m").problems, IsEmpty());
  EXPECT_EQ(first(with("startup-boost", "16")).cpu->boost, MilliCpu{5000});
  EXPECT_EQ(only_problem(with("startup-boost", "16")),
            "plimsoll.dev/startup-boost: \"16\" is more than the operator allows; allowed for "
            "container app: 500m (its limit) to 5, which is used");
  for (const std::string_view bad : {"", "two", "-1", "2 CPUs"}) {
    EXPECT_EQ(first(with("cpu-ceiling", bad)).cpu->ceiling, kCpuLimit) << bad;
    EXPECT_THAT(only_problem(with("cpu-ceiling", bad)),
                HasSubstr("is not a quantity such as 1500m; allowed for container app: 500m (its "
                          "limit) to 2; it is not grown"));
    EXPECT_EQ(first(with("startup-boost", bad)).cpu->boost, kCpuLimit) << bad;
    EXPECT_THAT(only_problem(with("startup-boost", bad)), HasSubstr("; it is not boosted"));
  }
}

TEST(PodPolicy, ABoostLastsNoLongerThanBothSay) {
  const auto with = [](std::string_view value, const Config& config = {}) {
    return policy_for(cpu_pod({{"plimsoll.dev/startup-time", std::string(value)}}), config);
  };
  EXPECT_EQ(first(with("45s")).cpu->boost_for, seconds(45));
  EXPECT_EQ(first(with("2m")).cpu->boost_for, seconds(120));
  EXPECT_THAT(with("2m").problems, IsEmpty());
  EXPECT_EQ(first(with("3m")).cpu->boost_for, seconds(120));
  EXPECT_EQ(only_problem(with("3m")),
            "plimsoll.dev/startup-time: \"3m\" is more than the operator allows; allowed: 1s to "
            "2m; 2m is used");
  EXPECT_EQ(first(with("0s")).cpu->boost_for, seconds(1));
  EXPECT_EQ(only_problem(with("0s")),
            "plimsoll.dev/startup-time: \"0s\" is too short; allowed: 1s to 2m; 1s is used");
  EXPECT_EQ(first(with("45")).cpu->boost_for, seconds(120));
  EXPECT_EQ(only_problem(with("45")),
            "plimsoll.dev/startup-time: \"45\" is not a duration such as 45s; allowed: 1s to 2m; "
            "2m is used");
  Config config;
  config.node.startup.time = seconds(30);
  EXPECT_EQ(first(with("45s", config)).cpu->boost_for, seconds(30));
}

TEST(PodPolicy, WhoAsksForCpuThatNobodyGetsIsToldWhy) {
  PodFacts pod = cpu_pod({{"plimsoll.dev/cpu-ceiling", "2"}, {"plimsoll.dev/startup-time", "?"}});
  pod.containers.push_back(container("proxy"));
  EXPECT_THAT(policy_for(pod, {}).problems, SizeIs(1)) << "the proxy has no CPU limit: no problem";
  Config config;
  config.node.cpu.enabled = false;
  const std::vector<PolicyProblem> off{
      {"plimsoll.dev/cpu-ceiling", "\"2\" is ignored: the operator has turned that off"},
      {"plimsoll.dev/startup-time", "\"?\" is ignored: the operator has turned that off"}};
  EXPECT_EQ(policy_for(pod, config).problems, off);
  pod.guaranteed = true;
  EXPECT_EQ(policy_for(pod, {}).problems.at(0).text,
            "\"2\" is ignored: a Guaranteed pod's CPU limit is its request");
}

TEST(PodPolicy, CommandsAreAnnouncedByThePodOrTheOperator) {
  using Commands = std::vector<AnnouncedCommand>;
  const auto with = [](std::string_view value, const Config& config = {}) {
    return policy_for(pod_in({{"plimsoll.dev/announce", std::string(value)}}), config);
  };
  Config config;
  config.node.announce.commands = {{"cargo", Bytes{kGiB}}};
  EXPECT_THAT(first(policy_for(pod_in({}), {})).announce, IsEmpty());
  EXPECT_EQ(first(policy_for(pod_in({}), config)).announce, config.node.announce.commands);
  EXPECT_EQ(first(with("make=1Gi,ninja", config)).announce,
            (Commands{{"make", Bytes{kGiB}}, {"ninja", {}}}));
  EXPECT_THAT(first(with("", config)).announce, IsEmpty()) << "said to be none";
  EXPECT_THAT(with("", config).problems, IsEmpty());

  EXPECT_THAT(first(with("make=lots", config)).announce, IsEmpty()) << "and not the operator's";
  EXPECT_EQ(only_problem(with("make=lots")),
            "plimsoll.dev/announce: \"make=lots\" is no list of commands such as make=2Gi,ninja: "
            "the size of \"make\" is \"lots\"; expected is one such as 512Mi or 4Gi; nothing is "
            "announced");
  // The ceiling binds; the author is told.
  EXPECT_EQ(first(with("make=4Gi,cc=1Gi")).announce.size(), 2U);
  EXPECT_EQ(only_problem(with("make=4Gi,cc=1Gi")),
            "plimsoll.dev/announce: \"make=4Gi,cc=1Gi\" asks for 4Gi for \"make\"; allowed for "
            "container app: 2Gi in all, which is what it gets");

  config.node.announce.enabled = false;
  EXPECT_THAT(first(policy_for(pod_in({}), config)).announce, IsEmpty());
  EXPECT_THAT(first(with("make", config)).announce, IsEmpty());
  EXPECT_THAT(only_problem(with("make", config)), HasSubstr("the operator has turned that off"));
}

TEST(PodPolicy, EachContainerAnnouncesItsOwnCommands) {
  PodFacts pod = pod_in({{"plimsoll.dev/announce", "make"}, {"cc.plimsoll.dev/announce", "gcc"}});
  pod.containers.push_back(container("cc"));
  const PodPolicy policy = policy_for(pod, {});
  EXPECT_EQ(policy.containers[0].announce, (std::vector<AnnouncedCommand>{{"make", {}}}));
  EXPECT_EQ(policy.containers[1].announce, (std::vector<AnnouncedCommand>{{"gcc", {}}}));
}

TEST(PodPolicy, AContainersOwnAnnotationComesBeforeThePods) {
  const std::string longest(63, 'c');
  PodFacts pod = pod_in({{"plimsoll.dev/memory-ceiling", "1Gi"},
                         {longest + ".plimsoll.dev/memory-ceiling", "768Mi"},
                         {"bad.plimsoll.dev/memory-ceiling", "?"}});
  pod.containers.push_back(container(longest));
  pod.containers.push_back(container("bad"));
  const PodPolicy policy = policy_for(pod, {});
  EXPECT_EQ(policy.containers[0].ceiling, Bytes{kGiB});
  EXPECT_EQ(policy.containers[1].ceiling, Bytes{768 * kMiB});
  // Not the pod's: whoever wrote one for the container did not mean that.
  EXPECT_EQ(policy.containers[2].ceiling, kLimit);
  EXPECT_THAT(policy.problems, SizeIs(1));
}

TEST(PodPolicy, WhatIsWrongForAllContainersIsSaidOnce) {
  PodFacts pod = pod_in({{"plimsoll.dev/dry-run", "maybe"}});
  pod.containers.push_back(container("proxy"));
  EXPECT_THAT(only_problem(policy_for(pod, {})), HasSubstr("dry-run"));
}

TEST(PodPolicy, UnknownAnnotationsAreReportedAndIgnored) {
  const PodPolicy policy = policy_for(pod_in({{"plimsoll.dev/memory-celing", "1Gi"},
                                              {"sidecar.plimsoll.dev/enabled", "false"},
                                              {"notplimsoll.dev/enabled", "x"},
                                              {"plimsoll.dev.example/enabled", "x"},
                                              {".plimsoll.dev/enabled", "x"}}),
                                      {});
  EXPECT_EQ(policy.managed, Managed::kYes);
  EXPECT_EQ(first(policy).ceiling, Bytes{2 * kGiB});
  ASSERT_THAT(policy.problems, SizeIs(2));
  EXPECT_EQ(policy.problems[0].key, "plimsoll.dev/memory-celing");
  EXPECT_EQ(policy.problems[0].text,
            "no annotation of Plimsoll; there are enabled, memory-ceiling, memory-floor, "
            "look-ahead, cpu-ceiling, startup-boost, startup-time, dry-run, actuation, announce; "
            "ignored");
  EXPECT_EQ(policy.problems[1].key, "sidecar.plimsoll.dev/enabled");
  EXPECT_EQ(policy.problems[1].text, "the pod has no container \"sidecar\"; ignored");
}

TEST(PodPolicy, ProblemsFitIntoAnEvent) {
  Labels annotations;
  for (int i = 0; i < 100; ++i) annotations["plimsoll.dev/x" + std::to_string(i)] = "y";
  annotations["plimsoll.dev/memory-ceiling"] = std::string(100'000, '\n');
  const PodPolicy policy = policy_for(pod_in(annotations), {});
  EXPECT_EQ(policy.problems.size(), kMostProblems);
  for (const PolicyProblem& problem : policy.problems) {
    EXPECT_LT(problem.key.size() + problem.text.size(), 600U);
    EXPECT_EQ(problem.text.find('\n'), std::string::npos);
  }
}

// Whatever the annotations say, nothing goes beyond what the operator allows to a pod without any.
TEST(PodPolicy, RandomAnnotationsNeverWiden) {
  std::mt19937_64 random(20261124);
  const std::string keys[] = {"enabled",     "memory-ceiling", "memory-floor", "look-ahead",
                              "cpu-ceiling", "startup-boost",  "startup-time", "dry-run",
                              "actuation",   "announce",       "else"};
  const std::string values[] = {"true",   "false", "1Gi",  "100Gi",   "1",
                                "16Ei",   "-1",    "5s",   "10h",     "cgroup",
                                "resize", "",      "0.5x", "512Mi\n", "resize-then-cgroup",
                                "700m",   "3",     "0s"};
  const std::string prefixes[] = {"", "app.", "proxy.", "other."};
  const std::string_view actuations[] = {"resize", "resize-then-cgroup", "cgroup"};
  for (int round = 0; round < 20000; ++round) {
    Config config;
    config.node.pods.opt_in = false;
    config.node.pods.dry_run = random() % 4 == 0;
    config.node.pods.actuation = static_cast<Actuation>(random() % std::size(actuations));
    if (random() % 2 == 0) config.node.pods.ceiling_max = Bytes{random() % 4 * 700 * kMiB};
    if (random() % 2 == 0) config.node.cpu.ceiling_max = MilliCpu{random() % 4 * 700};
    if (random() % 2 == 0) config.node.startup.boost_max = MilliCpu{random() % 4 * 700};
    PodFacts pod = pod_with({});
    pod.containers.push_back(container("proxy"));
    for (ContainerFacts& each : pod.containers) each.cpu_limit = kCpuLimit;
    pod.containers[0].cpu_only_cgroup = random() % 4 == 0;
    const PodPolicy plain = policy_for(pod, config);
    for (std::size_t i = random() % 6; i > 0; --i) {
      pod.annotations[prefixes[random() % 4] + "plimsoll.dev/" + keys[random() % std::size(keys)]] =
          values[random() % std::size(values)];
    }
    const PodPolicy policy = policy_for(pod, config);
    ASSERT_EQ(policy.containers.size(), 2U);
    for (std::size_t i = 0; i < 2; ++i) {
      const ContainerPolicy& narrow = policy.containers[i];
      const ContainerPolicy& wide = plain.containers[i];
      if (narrow.managed != Managed::kYes) continue;
      ASSERT_LE(narrow.ceiling, wide.ceiling);
      ASSERT_GE(narrow.ceiling, kLimit);
      ASSERT_LE(narrow.floor, kLimit);
      ASSERT_GE(narrow.floor, Bytes{128 * kMiB});
      ASSERT_LE(narrow.look_ahead, config.node.pods.look_ahead_max);
      ASSERT_GT(narrow.look_ahead, Nanoseconds{});
      ASSERT_LE(narrow.actuation, wide.actuation);
      ASSERT_GE(narrow.dry_run, wide.dry_run);
      if (!narrow.cpu) continue;
      ASSERT_TRUE(wide.cpu);
      ASSERT_EQ(narrow.cpu->floor, kCpuLimit);
      ASSERT_LE(narrow.cpu->ceiling, wide.cpu->ceiling);
      ASSERT_GE(narrow.cpu->ceiling, kCpuLimit);
      ASSERT_LE(narrow.cpu->boost, wide.cpu->boost);
      ASSERT_GE(narrow.cpu->boost, kCpuLimit);
      ASSERT_GT(narrow.cpu->most(), kCpuLimit);
      ASSERT_LE(narrow.cpu->boost_for, wide.cpu->boost_for);
      ASSERT_GT(narrow.cpu->boost_for, Nanoseconds{});
    }
  }
}

TEST(PodPolicy, FactsOfAPod) {
  kube::Pod pod;
  pod.id.namespace_name = "dev";
  pod.labels = {{"app", "web"}};
  pod.annotations = {{"plimsoll.dev/enabled", "true"}};
  pod.qos = kube::QosClass::kBurstable;
  kube::Container app{.name = "app"};
  app.resources.limits.memory = kLimit;
  app.resources.requests.memory = Bytes{kMiB};
  app.resources.limits.cpu = kCpuLimit;
  app.resources.requests.cpu = MilliCpu{100};
  pod.containers = {app, app, app, app, app};
  pod.containers[1].resources.has_claims = true;
  pod.containers[2].memory_resize = kube::ResizePolicy::kRestartContainer;
  pod.containers[3].kind = kube::ContainerKind::kInit;
  pod.containers[4].cpu_resize = kube::ResizePolicy::kRestartContainer;
  const PodFacts facts = pod_facts(pod);
  const ContainerFacts plain{.name = "app",
                             .memory_limit = kLimit,
                             .memory_request = Bytes{kMiB},
                             .cpu_limit = kCpuLimit,
                             .cpu_request = MilliCpu{100}};
  ContainerFacts only_cgroup = plain;
  only_cgroup.only_cgroup = true;
  ContainerFacts neither = only_cgroup;
  neither.cpu_only_cgroup = true;
  ContainerFacts cpu_only_cgroup = plain;
  cpu_only_cgroup.cpu_only_cgroup = true;
  ContainerFacts init = plain;
  init.init = true;
  EXPECT_EQ(facts, (PodFacts{.namespace_name = "dev",
                             .labels = pod.labels,
                             .annotations = pod.annotations,
                             .best_effort = false,
                             .guaranteed = false,
                             .containers = {plain, neither, only_cgroup, init, cpu_only_cgroup}}));
  pod.annotations["kubernetes.io/config.mirror"] = "x";
  EXPECT_EQ(pod_facts(pod).containers[0], neither);
  pod.qos = kube::QosClass::kBestEffort;
  EXPECT_TRUE(pod_facts(pod).best_effort);
  pod.qos = kube::QosClass::kGuaranteed;
  EXPECT_TRUE(pod_facts(pod).guaranteed);
  // Before the kubelet's first status there is none: it is that of the spec.
  pod.qos.reset();
  EXPECT_FALSE(pod_facts(pod).guaranteed);
  for (kube::Container& each : pod.containers) each.resources.requests = each.resources.limits;
  EXPECT_TRUE(pod_facts(pod).guaranteed);
}

}  // namespace
}  // namespace plimsoll::agent::pod_policy_test
