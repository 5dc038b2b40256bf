// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/storm/storm_driver.h"
#include "tests/storm/storm_judge.h"
#include "tests/storm/storm_result.h"

namespace plimsoll::storm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kOutput = "/run/storm/output";
constexpr const char* kResult = "/run/storm/result";
constexpr const char* kReport = "/run/storm/report";
constexpr const char* kBudgetConfig = "/run/storm/budget.yaml";
constexpr const char* kLeakConfig = "/run/storm/leak.yaml";
constexpr const char* kLateConfig = "/run/storm/late.yaml";
constexpr const char* kOwn = "/sys/fs/cgroup/storm";
constexpr const char* kParent = "/sys/fs/cgroup/storm-parent";

// The configuration that the cells need, and the only place that knows its keys.
constexpr const char* kSpentBudget = "budget:\n  limit: 0\n";
constexpr const char* kLate = "memory:\n  predict: false\n";
constexpr const char* kEagerLeakRule = "memory:\n  leak:\n    grants: 3\n    window: 2s\n";

[[noreturn]] void become(const std::vector<std::string>& words, const std::string& cgroup) {
  setpgid(0, 0);
  if (!cgroup.empty() && !write_file(cgroup + "/cgroup.procs", "0")) _exit(126);
  const int output = open(kOutput, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const int nothing = open("/dev/null", O_RDONLY);
  dup2(nothing, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execvp(arguments[0], arguments.data());
  _exit(127);
}

std::string tail(const std::string& text) {
  constexpr size_t kLongest = 3000;  // a whole report, whose grants say how a fault came about
  return text.size() <= kLongest ? text : text.substr(text.size() - kLongest);
}

// The file exists, with its memory charged to the driver: writing it costs the storm nothing.
void reserve_result() { write_file(kResult, std::string(8192, ' ')); }

std::string unpadded(std::string text) {
  text.erase(text.find_last_not_of(" \n") + 1);
  return text;
}

std::vector<std::string> load_command(const DriverOptions& options, const Guest& guest,
                                      const Cell& cell, uint64_t seed) {
  std::vector<std::string> words = {options.load, cell.program, "--result",
                                    kResult,      "--seed",     std::to_string(seed)};
  if (cell.load_bytes > 0) {
    words.insert(words.end(), {"--bytes", std::to_string(cell.load_bytes)});
  }
  if (cell.rate_bytes_per_second > 0) {
    words.insert(words.end(), {"--rate", std::to_string(cell.rate_bytes_per_second)});
  }
  if (cell.program == "tmpfs") {
    words.insert(words.end(),
                 {"--file", cell.thp ? guest.tmpfs_huge_pages : guest.tmpfs_small_pages});
  }
  if (cell.program == "cache" || cell.program == "rewrite") {
    words.insert(words.end(), {"--file", guest.cache_file, "--seed", "1"});  // as it was filled
  }
  if (cell.supervised) words.emplace_back("--supervise");
  return words;
}

// Where the limit binds in a run without Plimsoll, and where the program is started.
struct Place {
  std::string cgroup;
  bool ready = false;
};

Place make_place(const Cell& cell, bool unlimited) {
  // Where a program is fed to its ceiling, the ceiling is what the kernel alone would enforce.
  const bool fed = cell.expect == Expect::kCeiling || cell.expect == Expect::kLeak;
  const auto limit =
      unlimited ? std::nullopt : std::optional(fed ? cell.ceiling_bytes : cell.limit_bytes);
  if (!cell.parent_binds) return {kOwn, make_cgroup(kOwn, limit)};
  const std::string below = std::string(kParent) + "/command";
  return {below, make_cgroup(kParent, limit) &&
                     write_file(std::string(kParent) + "/cgroup.subtree_control", "+memory") &&
                     make_cgroup(below, std::nullopt)};
}

void note_ended(RunRecord& run, const Ended& ended) {
  run.exit_code = ended.exit_code;
  run.signal = ended.signal;
  run.timed_out = ended.timed_out;
  run.wall_seconds = ended.seconds;
  run.output_tail = ended.output;
  const auto load = parse_load_result(unpadded(read_file(kResult).value_or("")));
  if (!load) return;
  run.result_written = true;
  run.errors = load->errors;
  run.first_error = load->first_error;
  run.seconds = load->seconds;
  run.max_gap_ms = load->max_gap_ms;
  run.stall_ms = load->stall_ms;
  run.shrink_seen = load->shrink_seen;
}

void run_without(const DriverOptions& options, const Guest& guest, const Cell& cell,
                 RunRecord& run) {
  const Place place = make_place(cell, run.mode == "unlimited");
  if (!place.ready) run.faults.emplace_back("no cgroup for the run");
  note_ended(run, run_command(load_command(options, guest, cell, run.repetition), place.cgroup,
                              options.timeout));
  if (!remove_cgroup(cell.parent_binds ? kParent : kOwn)) run.residue.push_back(place.cgroup);
}

void run_with(const DriverOptions& options, const Guest& guest, const Cell& cell, RunRecord& run) {
  std::string parent;
  if (cell.parent_binds) {
    parent = kParent;
    if (!make_cgroup(kParent, cell.limit_bytes) ||
        !write_file(parent + "/cgroup.subtree_control", "+memory")) {
      run.faults.emplace_back("no parent cgroup for the run");
    }
  }
  unlink(kReport);
  const std::set<std::string> before = all_cgroups();
  std::vector<std::string> words = plimsoll_command(options, cell, parent, kReport);
  words.emplace_back("--");
  for (std::string& word : load_command(options, guest, cell, run.repetition)) {
    words.push_back(std::move(word));
  }
  note_ended(run, run_command(words, "", options.timeout));
  run.report = parse_report(read_file(kReport).value_or(""));
  for (const std::string& path : all_cgroups()) {
    if (before.count(path) == 0) run.residue.push_back(path);
  }
  for (const std::string& path : run.residue) remove_cgroup(path);
  if (!cell.parent_binds) return;
  const auto limit = read_file(parent + "/memory.max");
  run.limit_after_bytes = limit ? parse_count(unpadded(*limit)).value_or(UINT64_MAX) : UINT64_MAX;
  remove_cgroup(kParent);
}

}  // namespace

Ended run_command(const std::vector<std::string>& words, const std::string& cgroup,
                  std::chrono::seconds timeout) {
  Ended ended;
  const auto start = Clock::now();
  const pid_t child = fork();
  if (child == 0) become(words, cgroup);
  if (child < 0) return ended;
  pollfd died{static_cast<int>(syscall(SYS_pidfd_open, child, 0)), POLLIN, 0};
  const auto limit = std::chrono::milliseconds(timeout);
  ended.timed_out = poll(&died, 1, static_cast<int>(limit.count())) == 0;
  if (ended.timed_out) kill(-child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (died.fd >= 0) close(died.fd);
  ended.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  if (WIFEXITED(status)) ended.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) ended.signal = WTERMSIG(status);
  ended.output = tail(read_file(kOutput).value_or(""));
  return ended;
}

std::vector<std::string> plimsoll_command(const DriverOptions& options, const Cell& cell,
                                          const std::string& parent, const std::string& report) {
  const std::string limit = std::to_string(cell.limit_bytes);
  const std::string ceiling = std::to_string(cell.ceiling_bytes);
  std::vector<std::string> words = {
      options.plimsoll, "run", "--json", "--report", report, "--shrink-after", cell.shrink_after};
  if (cell.parent_binds) {
    words.insert(words.end(), {"--parent", parent, "--parent-ceiling", ceiling, "--memory", "max"});
  } else {
    words.insert(words.end(), {"--memory", limit, "--memory-ceiling", ceiling});
  }
  if (cell.expect == Expect::kDeniedBudget) {
    write_file(kBudgetConfig, kSpentBudget);
    words.insert(words.end(), {"--config", kBudgetConfig});
  }
  if (cell.late) {
    write_file(kLateConfig, kLate);
    words.insert(words.end(), {"--config", kLateConfig});
  }
  if (cell.expect == Expect::kLeakRule) {
    write_file(kLeakConfig, kEagerLeakRule);
    words.insert(words.end(), {"--config", kLeakConfig});
  }
  return words;
}

RunRecord run_cell(const DriverOptions& options, const Guest& guest, const Cell& cell,
                   const std::string& mode, uint64_t repetition) {
  RunRecord run;
  run.cell = cell.name;
  run.program = cell.program;
  run.thp = cell.thp ? "always" : "never";
  run.mode = mode;
  run.expect = name_of(cell.expect);
  run.limit_bytes = cell.limit_bytes;
  run.ceiling_bytes = cell.ceiling_bytes;
  run.load_bytes = cell.load_bytes;
  run.repetition = repetition;
  if (!set_thp(cell.thp)) run.faults.emplace_back("huge pages could not be set");
  reserve_result();
  // The kernel's own count for the whole machine: it stays when the cgroup goes.
  const auto kills_before = read_counter("/proc/vmstat", "oom_kill");
  if (mode == "plimsoll") {
    run_with(options, guest, cell, run);
  } else {
    run_without(options, guest, cell, run);
  }
  const auto kills_after = read_counter("/proc/vmstat", "oom_kill");
  if (!kills_before || !kills_after) run.faults.emplace_back("the kernel's kills are not counted");
  run.oom_kills = kills_after.value_or(0) - kills_before.value_or(0);
  run.killed = run.oom_kills > 0;
  for (std::string& fault : judge(run)) run.faults.push_back(std::move(fault));
  if (run.faults.empty()) run.output_tail.clear();
  return run;
}

}  // namespace plimsoll::storm
