// SPDX-License-Identifier: Apache-2.0
#include "agent/node/handover.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <string_view>

#include "agent/telemetry/unix_socket.h"

namespace plimsoll::agent {
namespace {

constexpr std::string_view kAsk = "take over\n";
constexpr std::string_view kFree = "free ";
constexpr int kBacklog = 4;

Result<void> say(const Fd& to, std::string_view line) {
  const ssize_t sent = ::send(to.get(), line.data(), line.size(), MSG_NOSIGNAL);
  if (sent == static_cast<ssize_t>(line.size())) return {};
  return errno_error(sent < 0 ? errno : EPIPE, "say something to another agent");
}

// A line with its end; shorter when no more comes.
std::string hear(const Fd& from) {
  std::string line;
  constexpr std::size_t kLongest = 64;
  while (line.size() < kLongest && !line.ends_with('\n')) {
    std::array<char, kLongest> piece{};
    const ssize_t got = ::recv(from.get(), piece.data(), piece.size(), 0);
    if (got <= 0) break;
    line.append(piece.data(), static_cast<std::size_t>(got));
  }
  return line;
}

}  // namespace

Result<Handover> Handover::open(std::string path) {
  auto listener = listen_at(path, kBacklog);
  if (!listener) return tl::unexpected(listener.error());
  return Handover(std::move(path), std::move(*listener));
}

Handover::~Handover() {
  if (listener_) ::unlink(path_.c_str());
}

std::optional<Fd> Handover::asked() {
  Fd asker(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!asker || !is_trusted_peer(asker.get())) return std::nullopt;
  constexpr timeval kPatience{.tv_sec = 0, .tv_usec = 200'000};
  ::setsockopt(asker.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
  if (hear(asker) != kAsk) return std::nullopt;
  return asker;
}

Result<void> say_free(const Fd& asker, MonotonicTime stopped) {
  return say(asker, std::string(kFree) + std::to_string(stopped.time_since_epoch().count()) + "\n");
}

bool wait_until_closed(const Fd& asker, Nanoseconds within) {
  pollfd closed{.fd = asker.get(), .events = POLLIN, .revents = 0};
  return ::poll(&closed, 1,
                static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(within).count())) > 0;
}

Result<Given> ask_for_node(const std::string& path, Nanoseconds within) {
  auto connection = connect_to(path, within);
  if (!connection) return tl::unexpected(connection.error());
  if (auto said = say(*connection, kAsk); !said) return tl::unexpected(said.error());
  const std::string answer = hear(*connection);
  std::int64_t stopped = 0;
  const char* const end = answer.data() + answer.size();
  if (answer.starts_with(kFree)) {
    const auto read = std::from_chars(answer.data() + kFree.size(), end, stopped);
    if (read.ec == std::errc() && read.ptr != end && *read.ptr == '\n') {
      return Given{.connection = std::move(*connection),
                   .stopped = MonotonicTime(Nanoseconds(stopped))};
    }
  }
  return fail(Code::kUnavailable, "the agent that has the node did not give it");
}

}  // namespace plimsoll::agent
