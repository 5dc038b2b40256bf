// SPDX-License-Identifier: Apache-2.0
//
// A pod's annotations and labels, one "name=value" per line: whatever they say, nothing goes beyond
// what a pod without any is allowed, and what is wrong is said in words fit for an Event.
#include <algorithm>

#include "agent/config/values.h"
#include "agent/pods/pod_policy.h"
#include "agent/policy/announced_work.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzz_target.h"

using namespace plimsoll;  // NOLINT(google-build-using-namespace): a program of its own
using plimsoll::test::require;

namespace {

agent::PodFacts pod() {
  const auto container = [](std::string name) {
    return agent::ContainerFacts{.name = std::move(name),
                                 .memory_limit = Bytes{512 * kMiB},
                                 .memory_request = Bytes{128 * kMiB},
                                 .cpu_limit = MilliCpu{500},
                                 .cpu_request = MilliCpu{100}};
  };
  return {.namespace_name = "dev", .containers = {container("app"), container("proxy")}};
}

void check_cpu(const agent::ContainerCpuPolicy& narrow, const agent::ContainerCpuPolicy& wide) {
  require(narrow.floor == wide.floor, "CPU floor");
  require(narrow.ceiling >= MilliCpu{500} && narrow.ceiling <= wide.ceiling, "CPU ceiling");
  require(narrow.boost >= MilliCpu{500} && narrow.boost <= wide.boost, "boost");
  require(narrow.boost_for > Nanoseconds{} && narrow.boost_for <= wide.boost_for, "its time");
}

void check(const agent::ContainerPolicy& narrow, const agent::ContainerPolicy& wide) {
  if (narrow.managed != agent::Managed::kYes) return;
  require(narrow.ceiling >= Bytes{512 * kMiB} && narrow.ceiling <= wide.ceiling, "ceiling");
  require(narrow.floor >= Bytes{128 * kMiB} && narrow.floor <= Bytes{512 * kMiB}, "floor");
  require(narrow.look_ahead > Nanoseconds{} && narrow.look_ahead <= std::chrono::seconds(30),
          "look-ahead");
  require(narrow.actuation <= wide.actuation, "actuation");
  require(narrow.announce.size() <= agent::kMostAnnounced, "announced commands are bounded");
  for (const agent::AnnouncedCommand& command : narrow.announce) {
    require(!command.name.empty() && command.name.find('/') == std::string::npos, "a name");
    require(!command.size || *command.size > Bytes{}, "a size");
  }
  require(wide.cpu.has_value(), "a CPU policy");
  if (narrow.cpu) check_cpu(*narrow.cpu, *wide.cpu);
  const auto again = agent::parse_announced(agent::text_of(narrow.announce));
  require(again && *again == narrow.announce, "announced commands written and read");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  agent::Config config;
  config.node.pods.opt_in = false;
  const agent::PodPolicy plain = agent::policy_for(pod(), config);
  agent::PodFacts facts = pod();
  std::string_view rest = test::text_of(data, size);
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    const std::size_t equals = std::min(line.find('='), line.size());
    const std::string name(line.substr(0, equals));
    const std::string value(line.substr(std::min(equals + 1, line.size())));
    // A label if it says so.
    if (name.starts_with("l:")) {
      facts.labels[name.substr(2)] = value;
    } else {
      facts.annotations[name] = value;
    }
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  }
  const agent::PodPolicy policy = agent::policy_for(facts, config);
  require(policy.containers.size() == 2, "every container has a policy");
  for (std::size_t i = 0; i < 2; ++i) check(policy.containers[i], plain.containers[i]);
  require(policy.problems.size() <= agent::kMostProblems, "not more than tell something");
  for (const agent::PolicyProblem& problem : policy.problems) {
    require(problem.text.size() < 900, "fits into an Event");
    for (const char c : problem.text) {
      require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f, "printable");
    }
  }
  require(agent::policy_for(facts, config) == policy, "the same every time");
  // A line is a selector and a list of namespaces as well as anything.
  const std::string_view text = test::text_of(data, size);
  if (const auto selector = agent::Selector::parse(text)) {
    require(agent::Selector::parse(selector->text()) == *selector, "selector written and read");
  }
  if (const auto list = agent::NamespaceList::parse(text)) {
    require(agent::NamespaceList::parse(list->text()) == *list, "namespaces written and read");
  }
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  return {"plimsoll.dev/enabled=true\nplimsoll.dev/memory-ceiling=1Gi",
          "app.plimsoll.dev/memory-ceiling=16Ei\nproxy.plimsoll.dev/memory-floor=200Mi",
          "l:plimsoll.dev/enabled=false\nplimsoll.dev/enabled=true",
          "plimsoll.dev/look-ahead=5s\napp.plimsoll.dev/look-ahead=1h\nplimsoll.dev/dry-run=maybe",
          "plimsoll.dev/actuation=cgroup\nx.plimsoll.dev/actuation=resize\nplimsoll.dev/else=1",
          "app=web,env in (dev,ci),!legacy,x notin (,a),y!=z",
          "dev-*,!dev-secret,ci",
          "plimsoll.dev/announce=make=2Gi, ninja,cargo=300Mi\napp.plimsoll.dev/announce=a/b",
          "plimsoll.dev/cpu-ceiling=1500m\napp.plimsoll.dev/cpu-ceiling=1e9\nplimsoll.dev/"
          "startup-boost=2",
          "app.plimsoll.dev/startup-boost=0\nplimsoll.dev/startup-time=90s\nproxy.plimsoll.dev/"
          "startup-time=-1s",
          "app.plimsoll.dev/announce=npm=,\nproxy.plimsoll.dev/announce=go=8Gi"};
}
