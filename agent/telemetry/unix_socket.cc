// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/unix_socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace plimsoll::agent {
namespace {

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{.sun_family = AF_UNIX};
  // One byte stays 0.
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return fail(Code::kMalformed, "\"" + path + "\" is no path for a socket: 1 to " +
                                      std::to_string(sizeof(address.sun_path) - 1) + " characters");
  }
  path.copy(address.sun_path, path.size());
  return address;
}

// The socket API's own idiom.
const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

// What is at the path may be of a process that was killed.
Result<void> make_way(const std::string& path, const sockaddr_un& address) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) {
    if (errno == ENOENT) return {};
    return errno_error(errno, "look at " + path);
  }
  if (!S_ISSOCK(found.st_mode)) return fail(Code::kConflict, path + " is there and no socket");
  const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!probe) return errno_error(errno, "make a socket");
  // EAGAIN: its queue is full, so somebody has one.
  if (::connect(probe.get(), generic(address), sizeof(address)) == 0 || errno == EAGAIN) {
    return fail(Code::kConflict, "another agent listens on " + path);
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return errno_error(errno, "remove " + path);
  return {};
}

}  // namespace

Result<Fd> listen_at(const std::string& path, int backlog) {
  const auto address = address_of(path);
  if (!address) return tl::unexpected(address.error());
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code ignored;  // bind() says what is wrong with the directory
  if (!folder.empty() && std::filesystem::create_directory(folder, ignored)) {
    ::chmod(folder.c_str(), S_IRWXU);
  }
  if (auto free = make_way(path, *address); !free) return tl::unexpected(free.error());

  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return errno_error(errno, "make a socket");
  // Before bind(), which gives the file the socket's mode: at no moment is it open to others.
  if (::fchmod(fd.get(), S_IRUSR | S_IWUSR) != 0) return errno_error(errno, "protect a socket");
  if (::bind(fd.get(), generic(*address), sizeof(*address)) != 0 ||
      ::listen(fd.get(), backlog) != 0) {
    return errno_error(errno, "listen on " + path);
  }
  return fd;
}

Result<Fd> connect_to(const std::string& path, Nanoseconds within) {
  const auto address = address_of(path);
  if (!address) return tl::unexpected(address.error());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return errno_error(errno, "make a socket");
  const auto seconds = std::chrono::floor<std::chrono::seconds>(within);
  const timeval wait{
      .tv_sec = seconds.count(),
      .tv_usec = std::chrono::duration_cast<std::chrono::microseconds>(within - seconds).count()};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
  if (::connect(fd.get(), generic(*address), sizeof(*address)) != 0) {
    const int error = errno;
    if (error == ENOENT || error == ECONNREFUSED) {
      return fail(Code::kGone, "nobody listens on " + path);
    }
    return errno_error(error, "connect to " + path);
  }
  return fd;
}

bool is_trusted_peer(int fd) {
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return false;
  return peer.uid == 0 || peer.uid == ::geteuid();
}

}  // namespace plimsoll::agent
