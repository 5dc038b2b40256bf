// SPDX-License-Identifier: Apache-2.0
// What a run must have done to count as right, by what its cell is for and by its mode. Pure.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "tests/storm/storm_record.h"

namespace plimsoll::storm {

inline uint64_t count_of(const Counts& counts, const std::string& name) {
  const auto found = counts.find(name);
  return found == counts.end() ? 0 : found->second;
}

inline std::string last_words(const RunRecord& run) {
  std::string words;
  if (run.timed_out) words += " timed out;";
  if (run.exit_code) words += " exit " + std::to_string(*run.exit_code) + ";";
  if (run.signal) words += " signal " + std::to_string(*run.signal) + ";";
  if (run.killed) words += " " + std::to_string(run.oom_kills) + " killed;";
  if (!run.first_error.empty()) words += " " + run.first_error + ";";
  if (!words.empty()) words.pop_back();
  return words;
}

namespace judging {

inline void must_survive(const RunRecord& run, std::vector<std::string>& faults) {
  if (!survived(run)) faults.push_back("did not survive:" + last_words(run));
}

inline void must_be_killed(const RunRecord& run, std::vector<std::string>& faults) {
  if (!run.killed) faults.push_back("was not killed:" + last_words(run));
}

// Where dirty pages alone fill the limit the kernel now and then calls the OOM killer without
// Plimsoll too: a grant at its door is a kill less, and not a wrong one.
inline uint64_t wrong_grants(const RunRecord& run) {
  const uint64_t right =
      run.expect == "door-only" ? count_of(run.report->layers, "at_the_door") : 0;
  return run.report->grants - std::min(run.report->grants, right);
}

inline void must_not_grow(const RunRecord& run, std::vector<std::string>& faults) {
  const uint64_t wrong = wrong_grants(run);
  if (wrong > 0) faults.push_back(std::to_string(wrong) + " wrong grants");
}

inline void must_not_hold(const Report& report, std::vector<std::string>& faults) {
  const uint64_t held = count_of(report.holds, "held");
  if (held > 0) faults.push_back(std::to_string(held) + " wrong holds");
}

// The rule is in the counted denials or in the sentence that a person reads. A program that is
// denied beforehand causes no event that could be counted.
inline void must_be_denied_by(const Report& report, const std::string& rule,
                              std::vector<std::string>& faults) {
  const char* word = rule == "budget" ? "node" : rule.c_str();
  const bool said = report.reason.find(word) != std::string::npos;
  if (count_of(report.denials, rule) == 0 && !said) {
    faults.push_back("not said to be denied by the " + rule + ": '" + report.reason + "'");
  }
}

// A parent's ceiling is its own; the command's cgroup has no limit then, reported as 0.
inline void must_respect_ceiling(const RunRecord& run, std::vector<std::string>& faults) {
  const Report& report = *run.report;
  if (std::max(report.highest_limit_bytes, report.final_limit_bytes) > run.ceiling_bytes) {
    faults.push_back("limit above the ceiling");
  }
}

inline void with_plimsoll(const RunRecord& run, std::vector<std::string>& faults) {
  if (!run.report) {
    faults.push_back("no report;" + last_words(run));
    return;
  }
  const Report& report = *run.report;
  must_respect_ceiling(run, faults);
  if (run.expect == "survive") {
    must_survive(run, faults);
    if (report.grants == 0) faults.push_back("no grant reported");
    if (run.cell.rfind("late-", 0) == 0 && count_of(report.layers, "predicted") > 0) {
      faults.push_back("predicted where nothing is to be");
    }
    if (run.shrink_seen == false) faults.push_back("no shrink within the deadline");
  } else if (run.expect == "no-grant" || run.expect == "door-only") {
    must_survive(run, faults);
    must_not_grow(run, faults);
  } else if (run.expect == "ceiling" || run.expect == "leak") {
    must_be_killed(run, faults);
    if (report.grants == 0) faults.push_back("never fed");
    must_be_denied_by(report, "ceiling", faults);
  } else if (run.expect == "leak-rule") {
    must_be_killed(run, faults);
    if (report.grants == 0) faults.push_back("never fed");
    if (report.highest_limit_bytes >= run.ceiling_bytes) faults.push_back("fed to the ceiling");
    must_be_denied_by(report, "leak", faults);
  } else {
    must_be_killed(run, faults);
    must_not_grow(run, faults);
    must_not_hold(report, faults);
    must_be_denied_by(report, run.expect == "denied-budget" ? "budget" : "ceiling", faults);
  }
}

}  // namespace judging

inline std::vector<std::string> judge(const RunRecord& run) {
  std::vector<std::string> faults;
  if (run.timed_out) faults.push_back("timed out");
  for (const std::string& left : run.residue) faults.push_back("left behind: " + left);
  if (run.limit_after_bytes && *run.limit_after_bytes != run.limit_bytes) {
    faults.push_back("the parent's limit was left at " + std::to_string(*run.limit_after_bytes));
  }
  if (run.mode == "plimsoll") {
    judging::with_plimsoll(run, faults);
  } else if (run.mode == "unlimited" || run.expect == "no-grant") {
    judging::must_survive(run, faults);
  } else if (run.expect != "door-only") {
    judging::must_be_killed(run, faults);
  }
  return faults;
}

}  // namespace plimsoll::storm
