// SPDX-License-Identifier: Apache-2.0
//
// How long from a kernel event to the written limit? The agent's own programs, ring buffer and
// reaction thread, beside a bare reader that does the least possible, in blocks that take turns.
// Prints one JSON object. README.md says how to read it.
#include <fcntl.h>
#include <sched.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

#include "agent/reaction/memory_reaction.h"
#include "base/file.h"
#include "bench/bare_reader.h"
#include "bench/figures.h"
#include "bench/place.h"
#include "bench/spinners.h"
#include "bench/trigger.h"
#include "bpf/memory_programs.h"
#include "cgroup/limit_file.h"

namespace plimsoll::bench {
namespace {

constexpr Bytes kStart{64 * kMiB};
constexpr Bytes kStep{1 * kMiB};
constexpr std::uint32_t kEpoch = 1;

struct Options {
  std::size_t events = 20000;
  std::size_t block = 250;
  long pause_us = 250;
  long delay_floor_us = 0;
};

void sleep_us(long micros) {
  const timespec time{.tv_sec = micros / 1'000'000, .tv_nsec = micros % 1'000'000 * 1000};
  ::nanosleep(&time, nullptr);
}

struct Series {
  std::vector<double> reaction_ns;
  std::vector<double> floor_ns;
};

class Run {
 public:
  explicit Run(const Options& options) : options_(options) {}

  Result<void> prepare();
  // One series: `options.events` of each, block by block in turns.
  Result<Series> measure();
  nlohmann::json about() const;
  const std::vector<unsigned>& cpus() const { return cpus_; }

 private:
  Result<void> load();  // the programs and the trigger
  Result<double> react_once();
  Result<double> bare_once();
  // Goes to the other CPU and pauses there, between a half and one and a half of the mean pause,
  // so that no timer keeps step. A wake-up on the same CPU costs less than one on another, and a
  // real-time thread stays where it is: without the change, chance would decide who is near.
  void move_and_pause();

  Options options_;
  std::optional<Place> place_;
  std::optional<bpf::MemoryPrograms> programs_;
  bool attached_ = false;  // to the kernel's hooks
  std::optional<Trigger> trigger_;
  std::optional<cgroup::LimitFile> limit_file_;
  std::unique_ptr<agent::MemoryReaction> reaction_;
  std::unique_ptr<BareReader> bare_;
  Bytes limit_ = kStart;
  std::vector<unsigned> cpus_;
  std::size_t next_cpu_ = 0;
  std::minstd_rand random_{12345};
};

Result<void> Run::load() {
  std::string why;
  // Where the kernel refuses the hooks, the trigger's events are as good without them.
  for (const bool attached : {true, false}) {
    auto programs = bpf::MemoryPrograms::load({}, attached);
    if (programs) {
      programs_.emplace(std::move(*programs));
      attached_ = attached;
      break;
    }
    why = programs.error().message;
  }
  if (!programs_) return fail(Code::kUnsupported, why);
  auto trigger = Trigger::load(programs_->urgent_fd());
  if (!trigger) return tl::unexpected(trigger.error());
  trigger_.emplace(std::move(*trigger));
  trigger_->aim(0, kEpoch);
  return {};
}

Result<void> Run::prepare() {
  cpus_ = allowed_cpus();
  auto place = Place::make();
  if (!place) return tl::unexpected(place.error());
  place_.emplace(std::move(*place));
  if (auto loaded = load(); !loaded) return loaded;
  const auto ours = place_->add("reaction");
  if (!ours) return tl::unexpected(ours.error());
  auto limit_file = cgroup::LimitFile::open_max(*ours);
  if (!limit_file) return tl::unexpected(limit_file.error());
  limit_file_.emplace(std::move(*limit_file));
  // The reaction starts from what the file says.
  if (const int error = limit_file_->write(kStart.value); error != 0) {
    return errno_error(error, "write the first limit");
  }
  const auto bare = place_->add("floor");
  if (!bare) return tl::unexpected(bare.error());
  auto bare_file = bare->open_file("memory.max", O_RDWR | O_NONBLOCK);
  if (!bare_file) return tl::unexpected(bare_file.error());

  // Small steps, so that tens of thousands of raises stay within what a limit can be.
  const agent::MemoryPolicy policy{.step = kStep, .step_ratio = 0, .round_to = kStep};
  auto reaction = agent::MemoryReaction::start(policy, &*programs_);
  if (!reaction) return tl::unexpected(reaction.error());
  reaction_ = std::move(*reaction);
  auto reader = BareReader::start(trigger_->bare_fd(), std::move(*bare_file), 2 * options_.events,
                                  std::chrono::microseconds(options_.delay_floor_us));
  if (!reader) return tl::unexpected(reader.error());
  bare_ = std::move(*reader);

  const Bytes ceiling{std::uint64_t{1} << 50};
  const agent::Armed armed{.bounds = {.floor = kStart, .ceiling = ceiling}};
  for (const agent::MemoryCommand& command : std::initializer_list<agent::MemoryCommand>{
           agent::memory_command::Track{
               .tenant = {0, kEpoch}, .limit_file = &*limit_file_, .armed = armed},
           agent::memory_command::Budget{.left = ceiling},
           agent::memory_command::Arm{.tenant = {0, kEpoch}, .armed = armed}}) {
    if (!reaction_->send(command)) return fail(Code::kUnavailable, "the command queue is full");
  }
  sleep_us(100'000);
  return {};
}

void Run::move_and_pause() {
  if (!cpus_.empty()) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpus_[next_cpu_++ % cpus_.size()], &one);
    ::sched_setaffinity(0, sizeof(one), &one);
  }
  const long half = options_.pause_us / 2;
  sleep_us(half + static_cast<long>(random_() % static_cast<unsigned long>(2 * half + 1)));
}

Result<double> Run::react_once() {
  trigger_->fire(Ring::kUrgent, limit_);
  for (int tries = 0; tries < 10000; ++tries) {
    sleep_us(100);
    if (const auto report = reaction_->receive()) {
      if (report->kind != agent::Report::Kind::kGrant || report->to <= limit_) {
        return fail(Code::kMalformed,
                    "an event was not granted: " + std::string(agent::to_string(report->reason)));
      }
      limit_ = report->to;
      return static_cast<double>((report->written_time - report->event_time).count());
    }
  }
  return fail(Code::kUnavailable, "an event was not answered within a second");
}

Result<double> Run::bare_once() {
  const std::size_t before = bare_->answered();
  trigger_->fire(Ring::kBare, limit_);
  for (int tries = 0; tries < 10000; ++tries) {
    sleep_us(100);
    if (bare_->answered() > before) return bare_->latency_ns(before);
  }
  return fail(Code::kUnavailable, "the bare reader did not answer within a second");
}

Result<Series> Run::measure() {
  Series series;
  const std::uint64_t sent = trigger_->sent();
  bool bare_first = false;
  while (series.reaction_ns.size() < options_.events || series.floor_ns.size() < options_.events) {
    bare_first = !bare_first;
    for (const bool bare : {bare_first, !bare_first}) {
      std::vector<double>& values = bare ? series.floor_ns : series.reaction_ns;
      const std::size_t end = std::min(values.size() + options_.block, options_.events);
      while (values.size() < end) {
        move_and_pause();
        const auto latency = bare ? bare_once() : react_once();
        if (!latency) return tl::unexpected(latency.error());
        values.push_back(*latency);
      }
    }
  }
  if (trigger_->sent() - sent != 2 * options_.events || trigger_->dropped() != 0) {
    return fail(Code::kMalformed, "events sent and answered differ in number");
  }
  // Every event really was a write: the file holds the last of them.
  const auto written = limit_file_->read();
  if (!written || written->bytes != limit_.value || bare_->failed()) {
    return fail(Code::kMalformed, "the file does not hold the limit that was reported");
  }
  return series;
}

nlohmann::json Run::about() const {
  return {{"target", place_->real() ? "cgroup v2" : "ordinary file in memory"},
          {"attached", attached_},
          {"reaction_realtime", reaction_->quality().realtime},
          {"memory_locked", reaction_->quality().memory_locked},
          {"floor_realtime", bare_->realtime()},
          {"pause_us", options_.pause_us}};
}

nlohmann::json to_json(const std::vector<double>& values_ns) {
  const Figures figures = figures_of(values_ns);
  const auto micros = [](double ns) { return std::round(ns / 10) / 100; };
  return {{"p50_us", micros(figures.p50)},
          {"p90_us", micros(figures.p90)},
          {"p99_us", micros(figures.p99)},
          {"max_us", micros(figures.max)},
          {"events", figures.count}};
}

int run_main(const Options& options) {
  Run run(options);
  const auto failed = [](const Error& error) {
    std::cerr << "bench-reaction: " << error.message << '\n';
    return 1;
  };
  if (auto prepared = run.prepare(); !prepared) return failed(prepared.error());
  nlohmann::json result = run.about();
  for (const bool busy : {true, false}) {
    std::optional<Spinners> spinners;
    if (busy) spinners.emplace(run.cpus());
    const auto series = run.measure();
    if (!series) return failed(series.error());
    result[busy ? "busy" : "idle"] = {
        {"reaction", to_json(series->reaction_ns)},
        {"floor", to_json(series->floor_ns)},
        {"ratio_p50", percentile(series->reaction_ns, 0.5) / percentile(series->floor_ns, 0.5)},
        {"ratio_p99", percentile(series->reaction_ns, 0.99) / percentile(series->floor_ns, 0.99)}};
  }
  std::cout << result.dump() << '\n';
  return 0;
}

}  // namespace
}  // namespace plimsoll::bench

int main(int argc, char** argv) {
  plimsoll::bench::Options options;
  CLI::App app("Kernel event to written limit, beside the floor");
  app.add_option("--events", options.events, "of each kind and load")->check(CLI::PositiveNumber);
  app.add_option("--block", options.block, "events of one kind in a row")
      ->check(CLI::PositiveNumber);
  app.add_option("--pause-us", options.pause_us, "mean pause between two events")
      ->check(CLI::Range(2, 1'000'000));
  app.add_option("--delay-floor-us", options.delay_floor_us,
                 "sleep before the floor's write, to see that it shows");
  CLI11_PARSE(app, argc, argv);
  return plimsoll::bench::run_main(options);
}
