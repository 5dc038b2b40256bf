// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/process_stats.h"

#include <sys/resource.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <system_error>

#include "base/file.h"

namespace plimsoll::agent {
namespace {

std::optional<std::uint64_t> number_at(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  return value;
}

// The `index`th word, counted from 0.
std::string_view word(std::string_view text, std::size_t index) {
  for (; index > 0; --index) {
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos) return {};
    text.remove_prefix(space + 1);
  }
  return text.substr(0, text.find_first_of(" \n"));
}

std::optional<std::uint64_t> line_of(std::string_view text, std::string_view key) {
  const std::size_t at = text.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  text.remove_prefix(at + key.size());
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  return number_at(text);
}

std::optional<double> start_time() {
  const Result<std::string> stat = read_file("/proc/self/stat");
  const Result<std::string> system = read_file("/proc/stat");
  if (!stat || !system) return std::nullopt;
  // The name in parentheses may hold anything, spaces included.
  const std::size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  const auto ticks = number_at(word(std::string_view(*stat).substr(name_end + 2), 19));
  const auto boot = line_of(*system, "\nbtime");
  const long per_second = ::sysconf(_SC_CLK_TCK);
  if (!ticks || !boot || per_second <= 0) return std::nullopt;
  return static_cast<double>(*boot) + static_cast<double>(*ticks) / static_cast<double>(per_second);
}

std::optional<double> cpu_time() {
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return std::nullopt;
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::optional<std::uint64_t> open_fds() {
  std::error_code error;
  std::uint64_t count = 0;
  std::filesystem::directory_iterator entry("/proc/self/fd", error);
  while (!error && entry != std::filesystem::directory_iterator()) {
    ++count;
    entry.increment(error);
  }
  if (error || count == 0) return std::nullopt;
  return count - 1;  // less the one that reads the directory
}

}  // namespace

ProcessStats read_own_process() {
  ProcessStats process{
      .cpu_seconds = cpu_time(), .start_unix_seconds = start_time(), .open_fds = open_fds()};
  if (const Result<std::string> memory = read_file("/proc/self/statm")) {
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    if (const auto pages = number_at(word(*memory, 0))) process.virtual_size = {*pages * page};
    if (const auto pages = number_at(word(*memory, 1))) process.resident = {*pages * page};
  }
  if (const Result<std::string> status = read_file("/proc/self/status")) {
    process.threads = line_of(*status, "\nThreads:");
  }
  return process;
}

}  // namespace plimsoll::agent
