// SPDX-License-Identifier: Apache-2.0
//
// simulator [--histories N] [--seed S] [--replay FILE]; scripts/simulate starts one for each CPU.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "tests/sim/act.h"
#include "tests/sim/actors.h"
#include "tests/sim/clock.h"
#include "tests/sim/shrink.h"
#include "tests/sim/world.h"

namespace plimsoll::sim {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kProgressEvery = 500;

class Runs {
 public:
  explicit Runs(fs::path directory) : directory_(std::move(directory)) {}
  ~Runs() {
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
  }
  Runs(const Runs&) = delete;
  Runs& operator=(const Runs&) = delete;

  void trace() { traces_ = true; }
  std::optional<Violation> run(const History& history) const {
    fs::remove_all(directory_);
    fs::create_directories(directory_);
    agent::Config config;
    config.tier = bpf::Tier::kC;
    config.node.log_level = agent::LogLevel::kError;
    World world(directory_, config);
    if (traces_) world.trace();
    return world.run(history);
  }

 private:
  fs::path directory_;
  bool traces_ = false;
};

void tell(const Violation& violation, const History& history, const std::string& origin) {
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(violation.at - kBegin).count();
  std::cout << "# " << origin << "\n# broken: " << to_string(violation.rule) << "\n# at " << ms
            << " ms: " << violation.text << "\n"
            << to_text(history) << std::flush;
}

// Of the same rule, so that it is not another fault that is made shorter.
int explain(const Runs& runs, const History& history, Rule rule, const std::string& origin) {
  const History shortest = shrink(history, [&](const History& less) {
    const auto violation = runs.run(less);
    return violation && violation->rule == rule;
  });
  tell(*runs.run(shortest), shortest, origin + ", " + std::to_string(shortest.size()) + " acts");
  return 1;
}

int simulate(const Runs& runs, std::uint64_t first, std::uint64_t count, bool go_on) {
  int result = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (i % kProgressEvery == 0) std::cerr << "at " << i << '\n';
    const History history = make_history(first + i);
    const auto violation = runs.run(history);
    if (!violation) continue;
    result = explain(runs, history, violation->rule, "seed " + std::to_string(first + i));
    if (!go_on) return result;
  }
  std::cerr << "at " << count << '\n';
  return result;
}

int replay(const Runs& runs, const std::string& file) {
  std::ifstream stream(file);
  std::stringstream text;
  text << stream.rdbuf();
  const auto history = parse_history(text.str());
  if (!stream || !history) {
    std::cerr << file << " is no history\n";
    return 2;
  }
  const auto violation = runs.run(*history);
  if (!violation) {
    std::cout << "nothing is broken\n";
    return 0;
  }
  tell(*violation, *history, file);
  return 1;
}

int main(int argc, char** argv) {
  CLI::App app("Histories of a simulated cluster around the node agent's own code.");
  std::uint64_t histories = 1000;
  std::uint64_t seed = 1;
  std::string file;
  bool go_on = false;
  bool print = false;
  bool trace = false;
  app.add_option("--histories", histories, "how many, one for each seed from --seed on");
  app.add_option("--seed", seed, "of the first");
  app.add_option("--replay", file, "runs the history in this file instead");
  app.add_flag("--go-on", go_on, "after a violation, too");
  app.add_flag("--trace", trace, "shows what changes at each step");
  app.add_flag("--print", print, "shows the history of --seed and runs nothing");
  CLI11_PARSE(app, argc, argv);
  if (print) {
    std::cout << to_text(make_history(seed));
    return 0;
  }
  const fs::path memory = fs::is_directory("/dev/shm") ? "/dev/shm" : fs::temp_directory_path();
  Runs runs(memory / ("plimsoll-sim-" + std::to_string(::getpid())));
  if (trace) runs.trace();
  return file.empty() ? simulate(runs, seed, histories, go_on) : replay(runs, file);
}

}  // namespace
}  // namespace plimsoll::sim

int main(int argc, char** argv) { return plimsoll::sim::main(argc, argv); }
