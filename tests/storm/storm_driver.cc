// SPDX-License-Identifier: Apache-2.0
// storm-driver: runs the matrix in the guest, as root, and writes one JSON object per run to
// standard output; people read standard error. With --summarize it reads such lines on the host.
// Exit status: 0 all as expected, 1 something was not, 2 wrong command line, 3 the guest is unfit.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string_view>

#include "tests/storm/storm_driver.h"
#include "tests/storm/storm_summary.h"

namespace plimsoll::storm {
namespace {

constexpr std::string_view kUsage =
    "usage: storm-driver [--cells kill|wrong|all] [--programs LIST] [--wrong LIST]\n"
    "                    [--thp always,never] [--wrong-thp always,never] [--limits MIB,MIB]\n"
    "                    [--repeat N] [--baseline-repeat N] [--wrong-repeat N] [--seed N] "
    "[--timeout SECONDS]\n"
    "                    [--plimsoll PATH|none] [--load PATH] [--disk DEVICE]\n"
    "       storm-driver --summarize [--json] [--kernel NAME] [--guest-status N] <LINES\n";

struct Arguments {
  DriverOptions options;
  bool summarize = false;
  bool json = false;
  std::string kernel = "unknown";
  uint64_t guest_status = 0;  // above 1: the machine, not a run, is at fault
};

[[noreturn]] void usage_error(const std::string& what) {
  fprintf(stderr, "storm-driver: %s\n%.*s", what.c_str(), static_cast<int>(kUsage.size()),
          kUsage.data());
  exit(2);
}

uint64_t count_in(std::string_view value, std::string_view flag) {
  const auto count = parse_count(value);
  if (!count) usage_error("not a count: " + std::string(flag) + " " + std::string(value));
  return *count;
}

std::vector<bool> parse_thp(std::string_view list) {
  std::vector<bool> modes;
  for (const std::string& word : split_list(list)) {
    if (word != "always" && word != "never") usage_error("--thp takes always and never");
    modes.push_back(word == "always");
  }
  return modes;
}

void set_cells(DriverOptions& options, std::string_view which) {
  if (which != "kill" && which != "wrong" && which != "all") {
    usage_error("--cells takes kill, wrong or all");
  }
  options.kill_cells = which != "wrong";
  options.wrong_cells = which != "kill";
}

Arguments parse_arguments(int count, char** words) {
  Arguments arguments;
  DriverOptions& options = arguments.options;
  for (int index = 1; index < count; ++index) {
    const std::string_view flag = words[index];
    if (flag == "--summarize") {
      arguments.summarize = true;
      continue;
    }
    if (flag == "--json") {
      arguments.json = true;
      continue;
    }
    if (index + 1 == count) usage_error("unknown, or without its value: " + std::string(flag));
    const std::string_view value = words[++index];
    if (flag == "--cells") {
      set_cells(options, value);
    } else if (flag == "--programs") {
      options.programs = split_list(value);
    } else if (flag == "--wrong") {
      options.wrong = split_list(value);
    } else if (flag == "--thp") {
      options.thp = parse_thp(value);
    } else if (flag == "--wrong-thp") {
      options.wrong_thp = parse_thp(value);
    } else if (flag == "--limits") {
      options.limits.clear();
      for (const std::string& mib : split_list(value)) {
        options.limits.push_back(count_in(mib, flag) * kMiB);
      }
    } else if (flag == "--repeat") {
      options.repeat = count_in(value, flag);
    } else if (flag == "--baseline-repeat") {
      options.baseline_repeat = count_in(value, flag);
    } else if (flag == "--wrong-repeat") {
      options.wrong_repeat = count_in(value, flag);
    } else if (flag == "--seed") {
      options.seed = count_in(value, flag);
    } else if (flag == "--timeout") {
      options.timeout = std::chrono::seconds(count_in(value, flag));
    } else if (flag == "--plimsoll") {
      options.plimsoll = value;
    } else if (flag == "--load") {
      options.load = value;
    } else if (flag == "--disk") {
      options.disk = value;
    } else if (flag == "--guest-status") {
      arguments.guest_status = count_in(value, flag);
    } else if (flag == "--kernel") {
      arguments.kernel = value;
    } else {
      usage_error("unknown option: " + std::string(flag));
    }
  }
  for (const std::string& program : options.programs) {
    const auto& known = killing_programs();
    if (std::find(known.begin(), known.end(), program) == known.end()) {
      usage_error("no such program: " + program);
    }
  }
  return arguments;
}

int summarize_lines(const Arguments& arguments) {
  std::vector<RunRecord> runs;
  bool complete = false;
  for (std::string line; std::getline(std::cin, line);) {
    if (line.rfind("{\"done\"", 0) == 0) complete = true;
    if (auto run = parse_record(line)) runs.push_back(std::move(*run));
  }
  Summary summary = summarize(runs, arguments.kernel, complete);
  if (arguments.guest_status > 1) {
    summary.faults.push_back("the guest ended with status " +
                             std::to_string(arguments.guest_status) + "; see its console");
    summary.ok = false;
  }
  std::cout << table_of(summary);
  if (arguments.json) std::cout << nlohmann::json(summary).dump() << "\n";
  return summary.ok ? 0 : 1;
}

struct Turn {
  Cell cell;
  std::string mode;
  uint64_t repetition;
};

using Rounds = std::vector<std::vector<Turn>>;

// One cell's modes follow each other directly, in an order of their own: they are compared.
void add_turns(Rounds& rounds, const DriverOptions& options, const Cell& cell, uint64_t repeat,
               uint64_t bare_repeat, std::mt19937_64& random) {
  for (uint64_t repetition = 0; repetition < std::max(repeat, bare_repeat); ++repetition) {
    std::vector<Turn> turns;
    if (repetition < repeat && options.plimsoll != "none") {
      turns.push_back({cell, "plimsoll", repetition});
    }
    if (repetition < bare_repeat) {
      if (cell.runs_baseline) turns.push_back({cell, "baseline", repetition});
      if (cell.runs_unlimited) turns.push_back({cell, "unlimited", repetition});
    }
    std::shuffle(turns.begin(), turns.end(), random);
    rounds.push_back(std::move(turns));
  }
}

void add_killing_rounds(Rounds& rounds, const DriverOptions& options, std::mt19937_64& random) {
  for (const bool thp : options.thp) {
    for (const std::string& program : options.programs) {
      for (const uint64_t limit : options.limits) {
        add_turns(rounds, options, killing_cell(program, thp, limit), options.repeat,
                  options.baseline_repeat, random);
      }
    }
  }
}

void add_wrong_rounds(Rounds& rounds, const DriverOptions& options, std::mt19937_64& random) {
  for (const bool thp : options.wrong_thp) {
    for (const Cell& cell : wrong_cells(thp)) {
      const std::string name = cell.name.substr(0, cell.name.find('/'));
      const auto& chosen = options.wrong;
      if (!chosen.empty() && std::find(chosen.begin(), chosen.end(), name) == chosen.end())
        continue;
      const uint64_t repeat = options.wrong_repeat * (times_the_kill(cell.expect) ? 3 : 1);
      add_turns(rounds, options, cell, repeat, repeat, random);
    }
  }
}

Rounds plan(const DriverOptions& options) {
  std::mt19937_64 random(options.seed);
  Rounds rounds;
  if (options.kill_cells) add_killing_rounds(rounds, options, random);
  if (options.wrong_cells) add_wrong_rounds(rounds, options, random);
  std::shuffle(rounds.begin(), rounds.end(), random);
  return rounds;
}

int run_matrix(const DriverOptions& options) {
  const Guest guest = prepare_guest(options, options.wrong_cells);
  if (!guest.problem.empty()) {
    fprintf(stderr, "storm-driver: %s\n", guest.problem.c_str());
    return 3;
  }
  const auto rounds = plan(options);
  size_t all = 0;
  for (const auto& turns : rounds) all += turns.size();
  uint64_t number = 0;
  uint64_t faulty = 0;
  for (const auto& turns : rounds) {
    for (const Turn& turn : turns) {
      RunRecord run = run_cell(options, guest, turn.cell, turn.mode, turn.repetition);
      run.run = ++number;
      if (!run.faults.empty()) ++faulty;
      printf("%s\n", nlohmann::json(run)
                         .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
                         .c_str());
      fflush(stdout);
      fprintf(stderr, "%llu/%zu %s %s: %s %.2f s%s%s\n", static_cast<unsigned long long>(number),
              all, run.cell.c_str(), run.mode.c_str(),
              run.killed      ? "killed"
              : survived(run) ? "survived"
                              : "failed",
              run.seconds.value_or(run.wall_seconds), run.faults.empty() ? "" : "  FAULT ",
              run.faults.empty() ? "" : run.faults.front().c_str());
    }
  }
  printf("{\"done\":%llu}\n", static_cast<unsigned long long>(number));
  return faulty == 0 ? 0 : 1;
}

}  // namespace
}  // namespace plimsoll::storm

int main(int count, char** words) {
  const plimsoll::storm::Arguments arguments = plimsoll::storm::parse_arguments(count, words);
  if (arguments.summarize) return plimsoll::storm::summarize_lines(arguments);
  return plimsoll::storm::run_matrix(arguments.options);
}
