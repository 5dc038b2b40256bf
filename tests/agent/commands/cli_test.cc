// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/cli.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace plimsoll::agent::cli_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Parsed {
  CommandLine line;
  std::string out;
  std::string err;

  const RunOptions& run() const { return std::get<RunOptions>(line); }
  int status() const { return std::get<ExitNow>(line).status; }
};

Parsed parse(std::vector<std::string> words) {
  words.insert(words.begin(), "plimsoll");
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  CommandLine line = parse_command_line(static_cast<int>(words.size()), pointers.data());
  const std::string out = ::testing::internal::GetCapturedStdout();
  return {std::move(line), out, ::testing::internal::GetCapturedStderr()};
}

// A file with this text, for as long as the test runs.
class TextFile {
 public:
  explicit TextFile(const std::string& text) {
    const int fd = ::mkstemp(path_.data());
    if (fd >= 0) ::close(fd);
    std::ofstream(path_) << text;
  }
  ~TextFile() { ::unlink(path_.c_str()); }
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_ = ::testing::TempDir() + "/plimsoll-cli-XXXXXX";
};

TEST(Cli, RunTakesAnnouncedCommands) {
  const Parsed parsed = parse({"run", "--announce", "make=2Gi,ninja", "--", "make"});
  const std::vector<AnnouncedCommand> expected{{"make", Bytes{2 * kGiB}}, {"ninja", {}}};
  EXPECT_EQ(parsed.run().announce, expected);
  EXPECT_THAT(parsed.run().command, ElementsAre("make"));
  const Parsed bad = parse({"run", "--announce", "make,/bin/make", "--", "make"});
  EXPECT_EQ(bad.status(), kRunFailed);
  EXPECT_THAT(bad.err, HasSubstr("the last part of a path"));
}

TEST(Cli, DoctorIsAskedForOneRoleOrBoth) {
  EXPECT_EQ(std::get<DoctorOptions>(parse({"doctor"}).line).role, std::nullopt);
  EXPECT_EQ(std::get<DoctorOptions>(parse({"doctor", "--for", "run"}).line).role, Role::kRun);
  const auto agent =
      std::get<DoctorOptions>(parse({"doctor", "--for=agent", "--cgroup-root", "/host"}).line);
  EXPECT_EQ(agent.role, Role::kAgent);
  EXPECT_EQ(agent.cgroup_root, "/host");
  EXPECT_EQ(parse({"doctor", "--for", "cat"}).status(), kRunFailed);
}

TEST(Cli, RunHasDefaults) {
  const Parsed parsed = parse({"run", "--", "true"});
  const RunOptions& run = parsed.run();
  EXPECT_THAT(run.command, ElementsAre("true"));
  EXPECT_EQ(run.memory, limit_of({256 * kMiB}));
  EXPECT_FALSE(run.memory_ceiling);
  EXPECT_FALSE(run.parent_ceiling);
  EXPECT_TRUE(run.announce.empty());
  EXPECT_EQ(run.parent, "");
  EXPECT_EQ(run.name, "");
  EXPECT_EQ(run.report_file, "");
  EXPECT_FALSE(run.dry_run);
  EXPECT_FALSE(run.json);
  EXPECT_FALSE(run.quiet);
  EXPECT_EQ(run.config.policy, Policy{});
  EXPECT_FALSE(run.config.tier);
}

TEST(Cli, RunTakesEveryOption) {
  const Parsed parsed = parse({"run",      "--memory",
                               "64Mi",     "--memory-ceiling",
                               "4Gi",      "--shrink-after",
                               "1m",       "--parent",
                               "a/b",      "--parent-ceiling",
                               "8Gi",      "--name",
                               "build",    "--tier",
                               "C",        "--report",
                               "out.json", "--dry-run",
                               "--json",   "--quiet",
                               "--",       "make",
                               "-j8"});
  const RunOptions& run = parsed.run();
  EXPECT_EQ(run.memory, limit_of({64 * kMiB}));
  EXPECT_EQ(run.memory_ceiling, Bytes{4 * kGiB});
  EXPECT_EQ(run.config.policy.memory.shrink_after, std::chrono::minutes(1));
  EXPECT_EQ(run.parent, "a/b");
  EXPECT_EQ(run.parent_ceiling, Bytes{8 * kGiB});
  EXPECT_EQ(run.name, "build");
  EXPECT_EQ(run.config.tier, bpf::Tier::kC);
  EXPECT_EQ(run.report_file, "out.json");
  EXPECT_TRUE(run.dry_run);
  EXPECT_TRUE(run.json);
  EXPECT_TRUE(run.quiet);
  EXPECT_THAT(run.command, ElementsAre("make", "-j8"));
}

TEST(Cli, WhatFollowsTheDashesIsTheCommands) {
  const Parsed parsed = parse({"run", "--quiet", "--", "sh", "-c", "--", "--json", "--memory=1"});
  EXPECT_THAT(parsed.run().command, ElementsAre("sh", "-c", "--", "--json", "--memory=1"));
  EXPECT_FALSE(parsed.run().json);
}

// As with env(1) and nice(1): from the command on, nothing is ours.
TEST(Cli, WithoutDashesTheCommandKeepsItsOptions) {
  const Parsed parsed = parse({"run", "--quiet", "make", "-j8", "--json"});
  EXPECT_THAT(parsed.run().command, ElementsAre("make", "-j8", "--json"));
  EXPECT_FALSE(parsed.run().json);
}

TEST(Cli, RunTakesCpus) {
  const Parsed parsed = parse({"run", "--cpu", "500m", "--cpu-ceiling", "2.5", "--", "make"});
  EXPECT_EQ(parsed.run().cpu, MilliCpu{500});
  EXPECT_EQ(parsed.run().cpu_ceiling, MilliCpu{2500});
  EXPECT_FALSE(parse({"run", "--", "make"}).run().cpu);
}

TEST(Cli, MemoryMayBeMax) {
  EXPECT_TRUE(parse({"run", "--memory", "max", "--", "true"}).run().memory.is_max());
}

TEST(Cli, BadValuesEndWith125AndNameTheOption) {
  const std::vector<std::vector<std::string>> bad{{"--memory", "nonsense"},
                                                  {"--memory", "-1"},
                                                  {"--memory", ""},
                                                  {"--memory", "64Zi"},
                                                  {"--memory-ceiling", "max"},
                                                  {"--memory-ceiling", "1.5x"},
                                                  {"--cpu", "max"},
                                                  {"--cpu", "0"},
                                                  {"--cpu", "-1"},
                                                  {"--cpu-ceiling", "2x"},
                                                  {"--cpu-ceiling", "2"},
                                                  {"--shrink-after", "5"},
                                                  {"--shrink-after", "-5s"},
                                                  {"--parent-ceiling", "lots"},
                                                  {"--tier", "D"},
                                                  {"--tier", "B"},
                                                  {"--tier", "a"},
                                                  {"--name", "a/b"},
                                                  {"--name", std::string(65, 'x')}};
  for (const auto& words : bad) {
    std::vector<std::string> line{"run", words[0], words[1], "--", "true"};
    const Parsed parsed = parse(line);
    ASSERT_TRUE(std::holds_alternative<ExitNow>(parsed.line)) << words[0] << ' ' << words[1];
    EXPECT_EQ(parsed.status(), 125) << words[0] << ' ' << words[1];
    EXPECT_THAT(parsed.err, HasSubstr(words[0])) << words[1];
    EXPECT_EQ(parsed.out, "");
  }
}

TEST(Cli, UnknownOrMissingWordsEndWith125) {
  const std::vector<std::vector<std::string>> bad{{},
                                                  {"fly"},
                                                  {"run"},
                                                  {"run", "--"},
                                                  {"run", "--quiet"},
                                                  {"run", "--fast", "--", "true"},
                                                  {"run", "--memory"},
                                                  {"--quiet", "run", "--", "true"}};
  for (const auto& words : bad) {
    const Parsed parsed = parse(words);
    ASSERT_TRUE(std::holds_alternative<ExitNow>(parsed.line)) << ::testing::PrintToString(words);
    EXPECT_EQ(parsed.status(), 125) << ::testing::PrintToString(words);
    EXPECT_NE(parsed.err, "") << ::testing::PrintToString(words);
  }
}

TEST(Cli, HelpEndsWith0OnStandardOutput) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"--help"}, std::vector<std::string>{"run", "--help"}}) {
    const Parsed parsed = parse(words);
    EXPECT_EQ(parsed.status(), 0);
    EXPECT_EQ(parsed.err, "");
    EXPECT_THAT(parsed.out, HasSubstr("--help"));
  }
  EXPECT_THAT(parse({"run", "--help"}).out, HasSubstr("--memory-ceiling"));
}

TEST(Cli, ConfigurationIsReadAndTheCommandLineIsStronger) {
  const TextFile file("memory: {shrink_after: 10s, step: 32Mi}\ntier: C\n");
  const Parsed plain = parse({"run", "--config", file.path(), "--", "true"});
  EXPECT_EQ(plain.run().config.policy.memory.shrink_after, std::chrono::seconds(10));
  EXPECT_EQ(plain.run().config.policy.memory.step, Bytes{32 * kMiB});
  EXPECT_EQ(plain.run().config.tier, bpf::Tier::kC);
  const Parsed both =
      parse({"run", "--config", file.path(), "--shrink-after", "20s", "--tier", "A", "--", "true"});
  EXPECT_EQ(both.run().config.policy.memory.shrink_after, std::chrono::seconds(20));
  EXPECT_EQ(both.run().config.tier, bpf::Tier::kA);
}

TEST(Cli, BadConfigurationEndsWith125AndNamesItsLine) {
  const TextFile file("tick: 1s\nmemory:\n  watermark: high\n");
  const Parsed parsed = parse({"run", "--config", file.path(), "--", "true"});
  EXPECT_EQ(parsed.status(), 125);
  EXPECT_THAT(parsed.err, StartsWith("plimsoll: " + file.path() + ":3: memory.watermark: "));
  EXPECT_EQ(parse({"run", "--config", "/nowhere/file", "--", "true"}).status(), 125);
}

TEST(Cli, ConfigHasThreeActions) {
  using Action = ConfigOptions::Action;
  const auto config = [](std::vector<std::string> words) {
    return std::get<ConfigOptions>(parse(std::move(words)).line);
  };
  EXPECT_EQ(config({"config", "check", "a.yaml"}).action, Action::kCheck);
  EXPECT_EQ(config({"config", "check", "a.yaml"}).file, "a.yaml");
  EXPECT_EQ(config({"config", "explain"}).action, Action::kExplain);
  EXPECT_EQ(config({"config", "explain", "pods.ceiling"}).key, "pods.ceiling");
  EXPECT_EQ(config({"config", "defaults"}).action, Action::kDefaults);
  EXPECT_NE(parse({"config"}).status(), 0);
  EXPECT_NE(parse({"config", "check"}).status(), 0);
}

}  // namespace
}  // namespace plimsoll::agent::cli_test
