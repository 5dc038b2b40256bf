// SPDX-License-Identifier: Apache-2.0
// storm-load: one program that fills memory in one particular way, checks what it wrote, and
// reports as JSON everything that a program can notice of running short. Exit status: 0 without
// errors, 1 with errors, 2 for a wrong command line, 137 when a process of its own was killed.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/storm/storm_load.h"
#include "tests/storm/storm_size.h"

namespace plimsoll::storm {
namespace {

constexpr std::string_view kUsage =
    "usage: storm-load PROGRAM --bytes SIZE [--threads N] [--rate SIZE-PER-SECOND] [--file PATH]\n"
    "                  [--result FILE] [--seed N] [--deadline SECONDS] [--supervise]\n"
    "programs: touch populate mlock read threads tmpfs forks child burst2 leak\n"
    "          cache rewrite (stream a file made by fill) hold-nothing\n";

[[noreturn]] void usage_error(std::string_view what) {
  fprintf(stderr, "storm-load: %.*s\n%.*s", static_cast<int>(what.size()), what.data(),
          static_cast<int>(kUsage.size()), kUsage.data());
  exit(2);
}

uint64_t required(std::optional<uint64_t> value, std::string_view flag) {
  if (!value) usage_error(std::string("not a number: ").append(flag));
  return *value;
}

Options parse_options(int count, char** words) {
  Options options;
  if (count < 2) usage_error("no program named");
  options.program = words[1];
  for (int index = 2; index < count; ++index) {
    const std::string_view flag = words[index];
    if (flag == "--supervise") {
      options.supervise = true;
      continue;
    }
    if (index + 1 == count) usage_error(std::string("no value: ").append(flag));
    const std::string_view value = words[++index];
    if (flag == "--bytes") {
      options.bytes = required(parse_size(value), flag);
    } else if (flag == "--rate") {
      options.rate_bytes_per_second = required(parse_size(value), flag);
    } else if (flag == "--threads") {
      options.threads = static_cast<unsigned>(required(parse_count(value), flag));
    } else if (flag == "--seed") {
      options.seed = required(parse_count(value), flag);
    } else if (flag == "--deadline") {
      options.deadline_seconds = static_cast<double>(required(parse_count(value), flag));
    } else if (flag == "--file") {
      options.file = value;
    } else if (flag == "--result") {
      options.result = value;
    } else if (flag == "--cgroup-root") {
      options.cgroup_root = value;
    } else {
      usage_error(std::string("unknown option: ").append(flag));
    }
  }
  options.bytes = options.bytes / kMiB * kMiB;
  if (options.bytes == 0 && options.program != "hold-nothing") usage_error("--bytes is missing");
  return options;
}

void run_program(const Options& options, Board& board) {
  if (run_memory_program(options, board) || run_file_program(options, board) ||
      run_process_program(options, board) || run_burst_program(options, board)) {
    return;
  }
  usage_error("no such program");
}

// Not truncated first: the file's memory may be charged to who made it, and stays so.
bool write_result(const Options& options, const LoadResult& result) {
  const std::string text = to_json_value(result).dump() + "\n";
  const int file = options.result.empty()
                       ? STDOUT_FILENO
                       : open(options.result.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) return false;
  return write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

// The program runs in a child, so that its death has a witness with a clock.
std::optional<double> run_supervised(const Options& options, Board& board) {
  const pid_t child = fork();
  if (child == 0) {
    run_program(options, board);
    _exit(0);
  }
  Slot& own = board.slot(Board::kSlots - 1);
  if (child < 0) {
    own.error("fork", errno);
    return std::nullopt;
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  const int64_t death = now_ns();
  if (!WIFSIGNALED(status)) return std::nullopt;
  ++own.killed_children;
  return static_cast<double>(death - board.last_progress_ns()) / 1e6;
}

}  // namespace
}  // namespace plimsoll::storm

int main(int count, char** words) {
  using namespace plimsoll::storm;
  const int64_t start = now_ns();
  const Options options = parse_options(count, words);
  Board board;
  std::optional<double> stall_ms;
  if (options.supervise) {
    stall_ms = run_supervised(options, board);
  } else {
    run_program(options, board);
  }
  LoadResult result = board.merged();
  result.program = options.program;
  result.bytes = options.bytes;
  result.stall_ms = stall_ms;
  result.seconds = static_cast<double>(now_ns() - start) / 1e9 - result.waited_seconds;
  if (!write_result(options, result)) {
    perror("storm-load: writing the result");
    return 1;
  }
  if (result.killed_children > 0) return 137;
  return result.errors == 0 ? 0 : 1;
}
