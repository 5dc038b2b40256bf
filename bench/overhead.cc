// SPDX-License-Identifier: Apache-2.0
//
// What do the attached programs cost those whom they watch, and others? Loops in a tracked and in
// an untracked cgroup, with the programs and without, in turns within one boot: page faults and
// fork+exec for the memory programs, context switches and fork+exec for those of CPU and of
// announced commands. Needs cgroup v2 and fentry, so it runs in a guest. Prints one JSON object.
// README.md says how to read it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "bench/attached.h"
#include "bench/figures.h"
#include "bench/place.h"
#include "bench/program_runs.h"
#include "bench/worker.h"
#include "cgroup/writer.h"

namespace plimsoll::bench {
namespace {

struct Options {
  int rounds = 20;
  int blocks = 5;  // in a round
  std::uint32_t pages = 4096;
  std::uint32_t turns = 3;
  std::uint32_t forks = 20;
  std::uint32_t switches = 2000;
  std::uint32_t others = 109;
  std::string program = "/bin/true";
  std::string programs = "memory";
};

// One cell: a loop in a cgroup, with times of a round without and with the programs.
struct Cell {
  const char* name;
  Worker* worker;
  Task task;
  std::vector<double> off_ns;  // of one turn
  std::vector<double> on_ns;
};

class Run {
 public:
  explicit Run(Options options) : options_(std::move(options)) {}

  Result<void> prepare();
  Result<nlohmann::json> measure();

 private:
  // `batches`: the charges of a turn; 0: not counted.
  nlohmann::json report(double batches, std::uint64_t events) const;
  Result<cgroup::Group> add(const std::string& path);
  bool is_cpu() const { return options_.programs == "cpu"; }
  Result<Attached> attach() const {
    return is_cpu() ? Attached::cpu(tracked_) : Attached::memory(tracked_);
  }
  Result<void> time_cells(bool on);
  Result<double> batches_per_turn(Worker& worker);

  Options options_;
  std::optional<Place> place_;
  std::vector<cgroup::Group> tracked_;
  std::optional<Worker> tracked_worker_;
  std::optional<Worker> untracked_worker_;
  std::vector<Cell> cells_;
};

Result<cgroup::Group> Run::add(const std::string& path) {
  auto group = place_->add(path);
  if (!group) return group;
  const cgroup::Writer writer;
  // Far away: what is measured is the watching, not the events.
  if (auto set = writer.set_memory_max(*group, Limit{4 * kGiB}); !set) {
    return tl::unexpected(set.error());
  }
  if (!is_cpu()) return group;
  // Never reached by one process, but with the kernel's accounting of it.
  const auto max = cgroup::cpu_max_of(MilliCpu{1500}, cgroup::CpuMax{}.period);
  if (auto set = writer.set_cpu_max(*group, max); !set) return tl::unexpected(set.error());
  return group;
}

Result<void> Run::prepare() {
  auto place = Place::make();
  if (!place) return tl::unexpected(place.error());
  if (!place->real()) return fail(Code::kUnsupported, "no cgroup v2 memory controller here");
  place_.emplace(std::move(*place));
  // The place is at depth 1, these at depth 3, as a pod's containers are at least.
  auto tracked = add("pod-a/tracked");
  if (!tracked) return tl::unexpected(tracked.error());
  auto untracked = add("pod-b/untracked");
  if (!untracked) return tl::unexpected(untracked.error());
  auto tracked_worker = Worker::start(*tracked, options_.program);
  if (!tracked_worker) return tl::unexpected(tracked_worker.error());
  tracked_worker_.emplace(std::move(*tracked_worker));
  auto untracked_worker = Worker::start(*untracked, options_.program);
  if (!untracked_worker) return tl::unexpected(untracked_worker.error());
  untracked_worker_.emplace(std::move(*untracked_worker));
  tracked_.push_back(std::move(*tracked));
  for (std::uint32_t i = 0; i < options_.others; ++i) {
    auto other = add("others/" + std::to_string(i));
    if (!other) return tl::unexpected(other.error());
    tracked_.push_back(std::move(*other));
  }
  const Task faults{
      .kind = Task::Kind::kPageFaults, .pages = options_.pages, .turns = options_.turns};
  const Task forks{.kind = Task::Kind::kForkExec, .turns = options_.forks};
  const Task switches{.kind = Task::Kind::kSwitches, .turns = options_.switches};
  cells_ = {{.name = is_cpu() ? "switch_untracked" : "pagefault_untracked",
             .worker = &*untracked_worker_,
             .task = is_cpu() ? switches : faults},
            {.name = is_cpu() ? "switch_tracked" : "pagefault_tracked",
             .worker = &*tracked_worker_,
             .task = is_cpu() ? switches : faults},
            {.name = "fork_untracked", .worker = &*untracked_worker_, .task = forks},
            {.name = "fork_tracked", .worker = &*tracked_worker_, .task = forks}};
  return {};
}

// Each cell several times, and the lowest counts: what else the machine does only adds.
Result<void> Run::time_cells(bool on) {
  for (Cell& cell : cells_) {
    std::optional<double> lowest;
    for (int i = 0; i < options_.blocks; ++i) {
      const auto time = cell.worker->run(cell.task);
      if (!time) return tl::unexpected(time.error());
      const double turn = *time / cell.task.turns;
      lowest = lowest ? std::min(*lowest, turn) : turn;
    }
    (on ? cell.on_ns : cell.off_ns).push_back(lowest.value_or(0));
  }
  return {};
}

Result<double> Run::batches_per_turn(Worker& worker) {
  const auto runs = ProgramRuns::count("on_charge");
  if (!runs) return tl::unexpected(runs.error());
  constexpr std::uint32_t kTurns = 20;
  const auto before = runs->runs();
  // One turn more than asked for is run.
  const auto time =
      worker.run({.kind = Task::Kind::kPageFaults, .pages = options_.pages, .turns = kTurns - 1});
  const auto after = runs->runs();
  if (!before) return tl::unexpected(before.error());
  if (!time) return tl::unexpected(time.error());
  if (!after) return tl::unexpected(after.error());
  return static_cast<double>(*after - *before) / kTurns;
}

Result<nlohmann::json> Run::measure() {
  double batches = 0;
  if (!is_cpu()) {
    auto programs = attach();
    if (!programs) return tl::unexpected(programs.error());
    const auto counted = batches_per_turn(*untracked_worker_);
    if (!counted) return tl::unexpected(counted.error());
    batches = *counted;
  }
  std::uint64_t events = 0;
  for (int round = 0; round < options_.rounds; ++round) {
    for (const bool on : {round % 2 == 1, round % 2 == 0}) {
      std::optional<Attached> programs;
      if (on) {
        auto attached = attach();
        if (!attached) return tl::unexpected(attached.error());
        programs.emplace(std::move(*attached));
      }
      if (auto timed = time_cells(on); !timed) return tl::unexpected(timed.error());
      if (programs) events += programs->events();
    }
  }
  return report(batches, events);
}

nlohmann::json Run::report(double batches, std::uint64_t events) const {
  nlohmann::json result{{"rounds", options_.rounds},
                        {"programs", options_.programs},
                        {"cgroups_tracked", tracked_.size()},
                        {"events_sent", events}};
  if (!is_cpu()) {
    result["pages_per_turn"] = options_.pages;
    result["charges_per_turn"] = batches;
  }
  // The lowest turn is one without a charge that comes only now and then.
  const double charges = std::max(std::floor(batches), 1.0);
  for (const Cell& cell : cells_) {
    std::vector<double> ratios;
    std::vector<double> differences;
    for (std::size_t i = 0; i < cell.on_ns.size(); ++i) {
      ratios.push_back(cell.on_ns[i] / cell.off_ns[i]);
      differences.push_back(cell.on_ns[i] - cell.off_ns[i]);
    }
    const bool faults = cell.task.kind == Task::Kind::kPageFaults;
    result[cell.name] = {{"off_ns", std::round(median(cell.off_ns))},
                         {"on_ns", std::round(median(cell.on_ns))},
                         {"ratio", median(ratios)},
                         {"ratio_quartiles", {percentile(ratios, 0.25), percentile(ratios, 0.75)}}};
    if (faults) result[cell.name]["added_ns_per_charge"] = median(differences) / charges;
  }
  return result;
}

int bench_main(int argc, char** argv) {
  Options options;
  CLI::App app("Cost of the attached programs");
  app.add_option("--rounds", options.rounds, "pairs of without and with");
  app.add_option("--blocks", options.blocks, "repetitions in a round; the lowest counts");
  app.add_option("--pages", options.pages, "pages touched in a turn")->check(CLI::Range(1, 65536));
  app.add_option("--turns", options.turns, "page-fault turns in a repetition");
  app.add_option("--forks", options.forks, "fork+exec in a repetition");
  app.add_option("--switches", options.switches,
                 "round trips between two processes in a repetition");
  app.add_option("--programs", options.programs, "which are attached")
      ->check(CLI::IsMember({"memory", "cpu"}));
  app.add_option("--others", options.others, "further tracked cgroups, idle")
      ->check(CLI::Range(0, 2000));
  app.add_option("--program", options.program, "what is executed");
  CLI11_PARSE(app, argc, argv);
  Run run(options);
  const auto prepared = run.prepare();
  const auto result = prepared ? run.measure() : tl::unexpected(prepared.error());
  if (!result) {
    std::cerr << "bench-overhead: " << result.error().message << '\n';
    return 1;
  }
  std::cout << result->dump() << '\n';
  return 0;
}

}  // namespace
}  // namespace plimsoll::bench

int main(int argc, char** argv) { return plimsoll::bench::bench_main(argc, argv); }
