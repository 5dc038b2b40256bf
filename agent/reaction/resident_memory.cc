// SPDX-License-Identifier: Apache-2.0
#include "agent/reaction/resident_memory.h"

#include <malloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

namespace plimsoll::agent {
namespace {

// One entry of /proc/self/smaps, as far as it is used here.
struct Mapping {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  bool writable = true;
  std::string path;
  Bytes resident;
  Bytes anonymous;  // copies of the process's own: relocated pages, above all
};

// "7f00-7f10 r-xp 00000000 08:01 1234   /usr/lib/libx.so"
std::optional<Mapping> begun_by(std::string_view line) {
  Mapping mapping;
  const char* const last = line.data() + line.size();
  const auto begin = std::from_chars(line.data(), last, mapping.begin, 16);
  if (begin.ec != std::errc{} || begin.ptr == last || *begin.ptr != '-') return std::nullopt;
  const auto end = std::from_chars(begin.ptr + 1, last, mapping.end, 16);
  const auto rest = static_cast<std::size_t>(end.ptr - line.data());
  if (end.ec != std::errc{} || line.size() < rest + 5 || line[rest] != ' ') return std::nullopt;
  mapping.writable = line[rest + 2] == 'w';
  const std::size_t path = line.find('/');
  if (path != std::string_view::npos) mapping.path = line.substr(path);
  return mapping;
}

// "Rss:                  12 kB"
std::optional<Bytes> size_of(std::string_view line, std::string_view key) {
  if (!line.starts_with(key)) return std::nullopt;
  line.remove_prefix(std::min(line.find_first_of("0123456789"), line.size()));
  std::uint64_t kib = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), kib);
  if (error != std::errc{}) return std::nullopt;
  return Bytes{kib * kKiB};
}

// Line by line, for it is longer than what base/file reads.
Result<std::vector<Mapping>> mappings() {
  std::ifstream file("/proc/self/smaps");
  if (!file) return fail(Code::kUnavailable, "open /proc/self/smaps");
  std::vector<Mapping> all;
  for (std::string line; std::getline(file, line);) {
    if (auto mapping = begun_by(line)) {
      all.push_back(std::move(*mapping));
    } else if (!all.empty()) {
      if (const auto rss = size_of(line, "Rss:")) all.back().resident = *rss;
      if (const auto own = size_of(line, "Anonymous:")) all.back().anonymous = *own;
    }
  }
  return all;
}

bool is_unchanged_file(const Mapping& mapping) {
  return !mapping.writable && !mapping.path.empty() && mapping.anonymous == Bytes{};
}

}  // namespace

void keep_heap_small() {
  constexpr int kHeaps = 2;
  // Set by hand, or it follows the largest block that was ever freed.
  constexpr int kLargeBlock = 128 * 1024;
  ::mallopt(M_ARENA_MAX, kHeaps);
  ::mallopt(M_MMAP_THRESHOLD, kLargeBlock);
  ::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
}

Result<Bytes> drop_unneeded_pages(std::span<const std::string_view> kept) {
  ::malloc_trim(0);
  std::error_code error;
  const std::string program = std::filesystem::read_symlink("/proc/self/exe", error).string();
  const auto all = mappings();
  if (!all) return tl::unexpected(all.error());
  Bytes dropped;
  for (const Mapping& mapping : *all) {
    const std::string name = std::filesystem::path(mapping.path).filename().string();
    const bool is_kept = mapping.path == program ||
                         std::any_of(kept.begin(), kept.end(),
                                     [&](std::string_view each) { return name.starts_with(each); });
    if (is_kept || !is_unchanged_file(mapping)) continue;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address is what the kernel wrote there
    void* const begin = reinterpret_cast<void*>(mapping.begin);
    const std::size_t length = mapping.end - mapping.begin;
    if (::madvise(begin, length, MADV_DONTNEED_LOCKED) == 0 ||
        ::madvise(begin, length, MADV_DONTNEED) == 0) {
      dropped += mapping.resident;
    }
  }
  return dropped;
}

}  // namespace plimsoll::agent
