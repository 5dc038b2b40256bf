// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "agent/config/config.h"
#include "agent/config/keys.h"
#include "agent/config/parse.h"

namespace plimsoll::agent::config_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using Action = ConfigOptions::Action;

struct Said {
  int status = 0;
  std::string out;
  std::string errors;
};

Said run(const ConfigOptions& options) {
  std::ostringstream out;
  std::ostringstream errors;
  const int status = config_main(options, out, errors);
  return {status, out.str(), errors.str()};
}

Said explain(std::string key) { return run({.action = Action::kExplain, .key = std::move(key)}); }

TEST(ConfigCommand, CheckNamesEveryErrorWithFileAndLine) {
  const std::string file = testing::TempDir() + "plimsoll-config-command.yaml";
  std::ofstream(file) << "tick: 2s\n";
  Said said = run({.action = Action::kCheck, .file = file});
  EXPECT_EQ(said.status, 0);
  EXPECT_EQ(said.out, file + ": good\n");
  EXPECT_EQ(said.errors, "");
  std::ofstream(file) << "tick: 2\n\npods.opt_in: on\n";
  said = run({.action = Action::kCheck, .file = file});
  EXPECT_EQ(said.status, 1);
  EXPECT_EQ(said.out, "");
  EXPECT_EQ(said.errors,
            file +
                ":1: tick: \"2\" has a unit that is not known; expected a duration such as 500ms, "
                "30s or 5m; allowed: 100ms to 60s\n" +
                file + ":3: pods.opt_in: \"on\" is none of false, true\n");
  EXPECT_EQ(run({.action = Action::kCheck, .file = "/nonexistent"}).status, 1);
}

TEST(ConfigCommand, ExplainPrintsOneKey) {
  const Said said = explain("memory.round_to");
  EXPECT_EQ(said.status, 0);
  EXPECT_EQ(said.out,
            "memory.round_to\n"
            "  kind     size\n"
            "  default  1Mi\n"
            "  allowed  64Ki to 1Gi\n"
            "  New limits are multiples of this; at most `memory.step`.\n");
  EXPECT_THAT(explain("budget.namespaces.dev").out, StartsWith("budget.namespaces.<namespace>\n"));
  EXPECT_THAT(explain("tier").out, HasSubstr("\n  A change counts from the next start on.\n"));
  EXPECT_THAT(explain("tier").out, HasSubstr("\n  allowed  auto, A, C\n"));
}

TEST(ConfigCommand, ExplainPrintsASectionOrAll) {
  const Said section = explain("fallback");
  EXPECT_THAT(section.out,
              AllOf(StartsWith("fallback.lease\n"), HasSubstr("\n\nfallback.on_refusal\n"),
                    Not(HasSubstr("memory."))));
  const Said all = explain("");
  for (const ConfigKey& key : config_keys()) {
    EXPECT_THAT(all.out, HasSubstr(std::string(key.name) + "\n  kind ")) << key.name;
  }
}

TEST(ConfigCommand, ExplainKnowsWhatWasMeant) {
  const Said said = explain("pods.cieling");
  EXPECT_EQ(said.status, 1);
  EXPECT_EQ(said.out, "");
  EXPECT_EQ(said.errors, "plimsoll: no key \"pods.cieling\"; did you mean pods.ceiling?\n");
  EXPECT_EQ(explain("qqqqqqqqqq").errors, "plimsoll: no key \"qqqqqqqqqq\"\n");
}

TEST(ConfigCommand, TheDefaultsAreAFileThatChangesNothing) {
  const Said said = run({.action = Action::kDefaults});
  EXPECT_EQ(said.status, 0);
  const Result<Config> config = parse_config(said.out, "defaults");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->policy, Policy{});
  EXPECT_EQ(config->node, NodeConfig{});
  for (const ConfigKey& key : config_keys()) {
    EXPECT_EQ(value_text(key, *config), value_text(key, Config{})) << key.name;
    EXPECT_THAT(said.out, HasSubstr(std::string(key.name) + ":")) << key.name;
  }
  std::istringstream lines(said.out);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100U) << line;
}

}  // namespace
}  // namespace plimsoll::agent::config_test
