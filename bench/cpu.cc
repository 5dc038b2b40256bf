// SPDX-License-Identifier: Apache-2.0
//
// Does Plimsoll keep a load from being throttled, how soon, and what does it grant for that? The
// same loads under the same limits, kept in four ways, in turns within one boot. Runs in a guest,
// as root. Prints one JSON object. README.md says how to read it.
#include <sched.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <atomic>
#include <filesystem>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "bench/cpu_figures.h"
#include "bench/cpu_load.h"
#include "bench/cpu_subject.h"
#include "bench/figures.h"
#include "bench/http_client.h"

namespace plimsoll::bench {
namespace {

using nlohmann::json;

constexpr std::array kWays{CpuWay::kStatic, CpuWay::kLoop, CpuWay::kBurst, CpuWay::kPlimsoll};
constexpr useconds_t kLookUs = 10'000;
constexpr double kBackNs = 8e9;      // for how long a limit is waited for to come back
constexpr double kLongestNs = 60e9;  // of one run

struct Cell {
  std::string name;
  MilliCpu floor;
  std::vector<std::string> load;
  std::optional<HttpRate> http;
  std::map<CpuWay, std::vector<json>> runs;
  std::map<CpuWay, std::vector<double>> latencies_ms;  // of all runs
};

json figures_json(const CpuFigures& figures) {
  json object{{"periods", figures.periods},
              {"throttled", figures.throttled},
              {"granted_seconds", figures.granted_seconds},
              {"used_seconds", figures.used_seconds},
              {"settled_ms", nullptr},
              {"back_ms", nullptr}};
  if (figures.settled_ms) object["settled_ms"] = *figures.settled_ms;
  if (figures.back_ms) object["back_ms"] = *figures.back_ms;
  return object;
}

// Of each figure the median of its runs; one that a run does not have counts as the largest.
json medians(const std::vector<json>& runs) {
  json object{{"runs", runs.size()}};
  if (runs.empty()) return object;
  for (const auto& [key, value] : runs.front().items()) {
    std::vector<double> values;
    unsigned absent = 0;
    for (const json& run : runs) {
      if (run[key].is_null()) ++absent;
      values.push_back(run[key].is_null() ? 1e12 : run[key].get<double>());
    }
    const double middle = median(values);
    object[key] = middle >= 1e12 ? json() : json(middle);
    if (absent > 0) object[key + "_absent"] = absent;
  }
  return object;
}

// Ours first on each CPU, but behind the thread that is measured.
void go_first() {
  const sched_param parameter{.sched_priority = 1};
  ::sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &parameter);
}

Result<void> measure(Cell& cell, CpuWay way) {
  auto subject = CpuSubject::start(way, cell.floor, cell.load);
  if (!subject) return tl::unexpected(subject.error());
  std::atomic<bool> answered{false};
  HttpRun http;
  std::thread client;
  if (cell.http) {
    client = std::thread([&] {
      http = send_requests(*cell.http);
      answered = true;
    });
  }
  const double start = now_ns();
  double done_at = 0;
  Result<void> looked;
  while (looked && now_ns() - start < kLongestNs) {
    looked = subject->look();
    const bool done = cell.http ? answered.load() : subject->is_done();
    if (done && done_at == 0) done_at = now_ns();
    if (done && (subject->is_at_floor() || now_ns() - done_at > kBackNs)) break;
    ::usleep(kLookUs);
  }
  if (client.joinable()) client.join();
  if (!looked) return looked;
  const double floor = static_cast<double>(cell.floor.value) / 1000;
  const std::vector<Work>& work = subject->work();
  if (!cell.http && work.empty()) return fail(Code::kUnavailable, "the load did no work");
  const Work load = cell.http ? Work{http.begin_ns, http.end_ns}
                              : Work{work.front().begin_ns, work.back().end_ns};
  json figures = figures_json(figures_of(subject->samples(), load, floor));
  std::vector<double> latencies = http.latencies_ms;
  if (work.size() > 1) {
    for (const Work& each : work) latencies.push_back((each.end_ns - each.begin_ns) / 1e6);
  }
  if (!latencies.empty()) {
    figures["p50_ms"] = percentile(latencies, 0.5);
    figures["p99_ms"] = percentile(latencies, 0.99);
  }
  if (cell.http) figures["failed"] = http.failed;
  subject->stop();
  std::cerr << cell.name << ' ' << to_string(way) << ' ' << figures.dump() << '\n';
  cell.runs[way].push_back(figures);
  auto& all = cell.latencies_ms[way];
  all.insert(all.end(), latencies.begin(), latencies.end());
  return {};
}

json result_of(const Cell& cell) {
  json object{{"floor_millicpu", cell.floor.value}};
  for (const CpuWay way : kWays) {
    json one = medians(cell.runs.at(way));
    const std::vector<double>& all = cell.latencies_ms.at(way);
    if (!all.empty()) {
      one["all_p50_ms"] = percentile(all, 0.5);
      one["all_p99_ms"] = percentile(all, 0.99);
      one["requests"] = all.size();
    }
    one["each"] = cell.runs.at(way);
    object[to_string(way)] = std::move(one);
  }
  return object;
}

std::vector<Cell> make_cells(const std::string& self) {
  const std::string twice = std::to_string(2 * std::max(std::thread::hardware_concurrency(), 1u));
  return {{.name = "step", .floor = {400}, .load = {self, "step"}},
          {.name = "threads", .floor = {700}, .load = {self, "step", "--threads", twice}},
          {.name = "bursts", .floor = {300}, .load = {self, "bursts"}},
          {.name = "http", .floor = {300}, .load = {self, "serve"}, .http = HttpRate{}}};
}

Result<json> compare(int rounds, const std::string& only) {
  go_first();
  std::error_code error;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return fail(Code::kUnavailable, "its own path: " + error.message());
  std::vector<Cell> cells = make_cells(self);
  if (!only.empty()) {
    std::erase_if(cells, [&](const Cell& cell) {
      return ("," + only + ",").find("," + cell.name + ",") == std::string::npos;
    });
  }
  for (int round = 0; round < rounds; ++round) {
    for (Cell& cell : cells) {
      for (std::size_t i = 0; i < kWays.size(); ++i) {
        const CpuWay way = kWays[(i + static_cast<std::size_t>(round)) % kWays.size()];
        if (auto done = measure(cell, way); !done) {
          return fail(done.error().code,
                      cell.name + ", " + to_string(way) + ": " + done.error().message);
        }
      }
    }
  }
  json result{{"rounds", rounds}};
  for (const Cell& cell : cells) result[cell.name] = result_of(cell);
  return result;
}

int bench_main(int argc, char** argv) {
  CLI::App app("CPU limits, kept in four ways");
  app.require_subcommand(1);
  int rounds = 10;
  std::string cells;
  CLI::App* compared = app.add_subcommand("compare", "Measure, and print one JSON object");
  compared->add_option("--rounds", rounds, "of each way")->check(CLI::Range(1, 1000));
  compared->add_option("--cells", cells, "some of step,threads,bursts,http");
  StepLoad step;
  CLI::App* stepping = app.add_subcommand("step", "The load: from nothing to busy threads");
  stepping->add_option("--threads", step.threads);
  BurstLoad burst;
  const CLI::App* bursting = app.add_subcommand("bursts", "The load: work, again and again");
  ServeLoad serve;
  const CLI::App* serving = app.add_subcommand("serve", "The load: an HTTP server");
  CLI11_PARSE(app, argc, argv);
  if (stepping->parsed()) run_step(step);
  if (bursting->parsed()) run_bursts(burst);
  if (serving->parsed()) run_serve(serve);
  const auto result = compare(rounds, cells);
  if (!result) {
    std::cerr << "bench-cpu: " << result.error().message << '\n';
    return 1;
  }
  std::cout << result->dump() << '\n';
  return 0;
}

}  // namespace
}  // namespace plimsoll::bench

int main(int argc, char** argv) { return plimsoll::bench::bench_main(argc, argv); }
