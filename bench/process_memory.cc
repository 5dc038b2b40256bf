// SPDX-License-Identifier: Apache-2.0
#include "bench/process_memory.h"

#include <sys/resource.h>

#include <charconv>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>

#include "base/file.h"

namespace plimsoll::bench {
namespace {

// The number after `key` at the begin of a line of `text`; 0 when there is none.
std::uint64_t number_after(std::string_view text, std::string_view key) {
  for (std::size_t at = text.find(key); at != std::string_view::npos; at = text.find(key, at + 1)) {
    if (at != 0 && text[at - 1] != '\n') continue;
    const std::string_view rest = text.substr(at + key.size());
    const std::size_t digits = rest.find_first_of("0123456789");
    if (digits == std::string_view::npos) return 0;
    std::uint64_t value = 0;
    std::from_chars(rest.data() + digits, rest.data() + rest.size(), value);
    return value;
  }
  return 0;
}

// Resident pages of mappings of BPF maps, in KiB.
std::uint64_t mapped_map_kib(std::string_view smaps) {
  std::uint64_t sum = 0;
  bool inside = false;
  while (!smaps.empty()) {
    const std::string_view line = smaps.substr(0, smaps.find('\n'));
    smaps.remove_prefix(std::min(line.size() + 1, smaps.size()));
    // The first line of a mapping begins with its addresses, every other with a capital letter.
    if (!line.empty() && (line[0] < 'A' || line[0] > 'Z')) {
      inside = line.find("bpf-map") != std::string_view::npos ||
               line.find("bpf_ringbuf") != std::string_view::npos;
    }
    if (inside && line.starts_with("Rss:")) sum += number_after(line, "Rss:");
  }
  return sum;
}

}  // namespace

Result<ProcessMemory> read_process_memory() {
  const auto status = read_file("/proc/self/status");
  if (!status) return tl::unexpected(status.error());
  const auto smaps = read_file("/proc/self/smaps");
  if (!smaps) return tl::unexpected(smaps.error());
  ProcessMemory memory{.rss = {number_after(*status, "VmRSS:") * kKiB},
                       .anon = {number_after(*status, "RssAnon:") * kKiB},
                       .file = {number_after(*status, "RssFile:") * kKiB},
                       .shmem = {number_after(*status, "RssShmem:") * kKiB},
                       .mapped_maps = {mapped_map_kib(*smaps) * kKiB}};
  std::set<std::uint64_t> seen;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fdinfo")) {
    const auto info = read_file(entry.path());
    if (!info || info->find("map_type:") == std::string::npos) continue;
    if (!seen.insert(number_after(*info, "map_id:")).second) continue;
    memory.bpf_maps += Bytes{number_after(*info, "memlock:")};
  }
  return memory;
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace plimsoll::bench
