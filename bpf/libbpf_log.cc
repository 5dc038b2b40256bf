// SPDX-License-Identifier: Apache-2.0
#include "bpf/libbpf_log.h"

#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <deque>
#include <mutex>

namespace plimsoll::bpf {
namespace {

constexpr std::size_t kLines = 4;

std::mutex mutex;
std::deque<std::string> lines;

[[gnu::format(printf, 2, 0)]] int keep(libbpf_print_level level, const char* format,
                                       va_list arguments) {
  if (level == LIBBPF_DEBUG) return 0;
  std::array<char, 512> text{};
  const int size = std::vsnprintf(text.data(), text.size(), format, arguments);
  std::string line(text.data());
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
  // The verifier's own log has many.
  std::ranges::replace(line, '\n', ' ');
  const std::lock_guard lock(mutex);
  lines.push_back(std::move(line));
  if (lines.size() > kLines) lines.pop_front();
  return size;
}

}  // namespace

LibbpfLog::LibbpfLog() {
  const std::lock_guard lock(mutex);
  lines.clear();
  libbpf_set_print(keep);
}

LibbpfLog::~LibbpfLog() { libbpf_set_print(nullptr); }

std::string LibbpfLog::tail() const {
  const std::lock_guard lock(mutex);
  std::string text;
  for (const std::string& line : lines) text += (text.empty() ? " (" : "; ") + line;
  return text.empty() ? text : text + ")";
}

}  // namespace plimsoll::bpf
