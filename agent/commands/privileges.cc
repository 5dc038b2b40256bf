// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/privileges.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <optional>
#include <system_error>
#include <thread>

#include "base/file.h"

namespace plimsoll::agent {
namespace {

std::string errno_text(int error) {
  return std::error_code(error, std::generic_category()).message();
}

// 0, or the errno. The thread takes its policy with it when it ends.
int try_real_time() {
  int error = 0;
  std::thread([&error] {
    sched_param parameter{};
    parameter.sched_priority = ::sched_get_priority_min(SCHED_FIFO);
    if (::sched_setscheduler(0, SCHED_FIFO, &parameter) != 0) error = errno;
  }).join();
  return error;
}

int try_memory_lock() {
  const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* page = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return errno;
  const int error = ::mlock(page, size) == 0 ? 0 : errno;
  ::munmap(page, size);
  return error;
}

std::optional<std::uint64_t> soft_limit(__rlimit_resource resource) {
  rlimit limit{};
  if (::getrlimit(resource, &limit) != 0) return std::nullopt;
  return limit.rlim_cur;  // RLIM_INFINITY is the largest number
}

}  // namespace

std::string_view to_string(Capability capability) {
  switch (capability) {
    case Capability::kDacOverride:
      return "CAP_DAC_OVERRIDE";
    case Capability::kIpcLock:
      return "CAP_IPC_LOCK";
    case Capability::kSysAdmin:
      return "CAP_SYS_ADMIN";
    case Capability::kSysNice:
      return "CAP_SYS_NICE";
    case Capability::kSysResource:
      return "CAP_SYS_RESOURCE";
    case Capability::kPerfmon:
      return "CAP_PERFMON";
    case Capability::kBpf:
      return "CAP_BPF";
  }
  return "unknown";
}

bool Privileges::has(Capability capability) const {
  const auto bit = [this](Capability c) {
    return ((capabilities >> static_cast<unsigned>(c)) & 1U) != 0;
  };
  const bool split = capability == Capability::kBpf || capability == Capability::kPerfmon;
  return bit(capability) || (split && bit(Capability::kSysAdmin));
}

Result<std::uint64_t> parse_capabilities(std::string_view status) {
  constexpr std::string_view kKey = "CapEff:";
  std::size_t at = status.starts_with(kKey) ? 0 : status.find("\nCapEff:");
  if (at == std::string_view::npos) return fail(Code::kMalformed, "status: no line CapEff");
  at = status.find_first_not_of(" \t", status.find(':', at) + 1);
  if (at == std::string_view::npos) return fail(Code::kMalformed, "status: CapEff is empty");
  const std::string_view digits = status.substr(at, status.find('\n', at) - at);
  std::uint64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, 16);
  if (error != std::errc() || stop != end) {
    return fail(Code::kMalformed, "status: CapEff is no hexadecimal number");
  }
  return value;
}

bool is_initial_user_namespace(std::string_view uid_map) {
  std::string words;
  for (const char c : uid_map) {
    const bool blank = c == ' ' || c == '\t' || c == '\n';
    if (!blank) words += c;
    if (blank && !words.empty() && words.back() != ' ') words += ' ';
  }
  return words == "0 0 4294967295 " || words == "0 0 4294967295";
}

std::string missing_capabilities(const Privileges& privileges,
                                 const std::vector<Capability>& wanted) {
  std::vector<std::string_view> missing;
  for (const Capability capability : wanted) {
    if (!privileges.has(capability)) missing.push_back(to_string(capability));
  }
  std::string text;
  for (std::size_t i = 0; i < missing.size(); ++i) {
    if (i > 0) text += i + 1 == missing.size() ? " and " : ", ";
    text += missing[i];
  }
  return text;
}

Result<Privileges> read_privileges() {
  Privileges privileges;
  privileges.uid = ::geteuid();
  const auto capabilities = read_file("/proc/self/status").and_then(parse_capabilities);
  if (!capabilities) return tl::unexpected(capabilities.error());
  privileges.capabilities = *capabilities;
  if (const auto map = read_file("/proc/self/uid_map")) {
    privileges.initial_user_namespace = is_initial_user_namespace(*map);
  }
  if (const auto memlock = soft_limit(RLIMIT_MEMLOCK)) privileges.memlock = {*memlock};
  if (const auto rtprio = soft_limit(RLIMIT_RTPRIO)) privileges.rtprio = *rtprio;
  const int real_time = try_real_time();
  privileges.real_time = real_time == 0;
  if (real_time != 0) privileges.real_time_why = errno_text(real_time);
  const int memory_lock = try_memory_lock();
  privileges.memory_lock = memory_lock == 0;
  if (memory_lock != 0) privileges.memory_lock_why = errno_text(memory_lock);
  return privileges;
}

}  // namespace plimsoll::agent
