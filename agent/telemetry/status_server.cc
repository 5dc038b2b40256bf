// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/status_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <thread>
#include <utility>

#include "agent/telemetry/exposition.h"
#include "agent/telemetry/request_server.h"
#include "base/clock.h"
#include "base/wakeup.h"

namespace plimsoll::agent {
namespace {

constexpr int kBacklog = 64;

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;

  const sockaddr* get() const {
    return reinterpret_cast<const sockaddr*>(&storage);  // the socket API's own idiom
  }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Address address_of(const in_addr& host, std::uint16_t port) {
  Address address{.length = sizeof(sockaddr_in)};
  auto* const in = reinterpret_cast<sockaddr_in*>(&address.storage);
  *in = {.sin_family = AF_INET, .sin_port = ::htons(port), .sin_addr = host};
  return address;
}

Address address_of(const in6_addr& host, std::uint16_t port) {
  Address address{.length = sizeof(sockaddr_in6)};
  auto* const in = reinterpret_cast<sockaddr_in6*>(&address.storage);
  *in = {.sin6_family = AF_INET6, .sin6_port = ::htons(port), .sin6_addr = host};
  return address;
}

Result<Fd> listen_on(const Address& address) {
  Fd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return errno_error(errno, "make a socket for the metrics");
  const int on = 1;
  const int off = 0;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  // Every address is both families'.
  ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  if (::bind(fd.get(), address.get(), address.length) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    return errno_error(errno, "listen on the address for the metrics");
  }
  return fd;
}

Result<Fd> listen_on(const std::string& host, std::uint16_t port) {
  if (host.empty()) {
    // A node may have been booted without IPv6.
    if (auto both = listen_on(address_of(in6addr_any, port))) return both;
    return listen_on(address_of(in_addr{.s_addr = INADDR_ANY}, port));
  }
  in_addr v4{};
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return listen_on(address_of(v4, port));
  in6_addr v6{};
  if (::inet_pton(AF_INET6, host.c_str(), &v6) == 1) return listen_on(address_of(v6, port));
  return fail(Code::kMalformed, "\"" + host + "\" is no IP address to listen on");
}

std::uint16_t port_of(const Fd& fd) {
  Address address{.length = sizeof(sockaddr_storage)};
  if (::getsockname(fd.get(), address.get(), &address.length) != 0) return 0;
  // The port is at the same place in both families.
  return ::ntohs(reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port);
}

std::string reply(std::string_view status, std::string_view type, std::string_view body,
                  bool with_body) {
  std::string text = "HTTP/1.1 " + std::string(status) + "\r\nContent-Type: " + std::string(type) +
                     "\r\nContent-Length: " + std::to_string(body.size()) +
                     "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n";
  if (with_body) text += body;
  return text;
}

constexpr std::string_view kPlain = "text/plain; charset=utf-8";
constexpr std::string_view kExposition = "text/plain; version=0.0.4; charset=utf-8";

std::string reply(const HealthAnswer& answer, bool with_body) {
  return reply(answer.good ? "200 OK" : "503 Service Unavailable", kPlain, answer.body, with_body);
}

// The first line's method and path; everything behind it is of no interest here.
std::string answer_to(std::string_view request, bool whole, const StatusBoard& board,
                      const HealthBounds& bounds) {
  if (!whole) return reply("431 Request Header Fields Too Large", kPlain, "too long\n", true);
  const std::string_view line = request.substr(0, request.find_first_of("\r\n"));
  const std::size_t method_end = line.find(' ');
  const std::size_t path_end = line.find(' ', method_end + 1);
  if (method_end == std::string_view::npos || path_end == std::string_view::npos ||
      !line.substr(path_end + 1).starts_with("HTTP/1.")) {
    return reply("400 Bad Request", kPlain, "not HTTP/1.1\n", true);
  }
  const std::string_view method = line.substr(0, method_end);
  if (method != "GET" && method != "HEAD") {
    return reply("405 Method Not Allowed", kPlain, "GET and HEAD only\n", true);
  }
  const bool with_body = method == "GET";
  std::string_view path = line.substr(method_end + 1, path_end - method_end - 1);
  path = path.substr(0, path.find('?'));
  const std::shared_ptr<const StatusBoard::Page> page = board.page();
  if (path == "/metrics") {
    return reply("200 OK", kExposition, metrics_text(page->stats, read_own_process()), with_body);
  }
  if (path == "/healthz") return reply(alive(page->health, bounds, monotonic_now()), with_body);
  if (path == "/readyz") return reply(ready(page->health, bounds, monotonic_now()), with_body);
  return reply("404 Not Found", kPlain, "/metrics, /healthz or /readyz\n", with_body);
}

bool ends_header(std::string_view request) {
  return request.find("\r\n\r\n") != std::string_view::npos ||
         request.find("\n\n") != std::string_view::npos;
}

}  // namespace

void StatusBoard::publish(Page page) {
  auto fresh = std::make_shared<const Page>(std::move(page));
  const std::lock_guard lock(mutex_);
  page_.swap(fresh);
}

std::shared_ptr<const StatusBoard::Page> StatusBoard::page() const {
  const std::lock_guard lock(mutex_);
  return page_;
}

struct StatusServer::Impl {
  Impl(RequestServer made, Wakeup stop_event, std::uint16_t listening)
      : server(std::move(made)), stop(std::move(stop_event)), port(listening) {}

  void run() {
    // Often enough for clients whose time is over.
    constexpr int kTurnMs = 1000;
    std::array<pollfd, 2> fds{pollfd{.fd = server.poll_fd(), .events = POLLIN},
                              pollfd{.fd = stop.fd(), .events = POLLIN}};
    while (fds[1].revents == 0) {
      ::poll(fds.data(), fds.size(), kTurnMs);
      server.turn(monotonic_now());
    }
  }

  RequestServer server;
  Wakeup stop;
  std::uint16_t port;
  std::thread thread;
};

Result<std::unique_ptr<StatusServer>> StatusServer::start(const StatusServerOptions& options,
                                                          const StatusBoard& board) {
  auto listener = listen_on(options.host, options.port);
  if (!listener) return tl::unexpected(listener.error());
  const std::uint16_t port = port_of(*listener);
  auto server = RequestServer::make(
      std::move(*listener),
      {.most_clients = options.most_connections, .exchange_within = options.exchange_within},
      {.complete = ends_header,
       .answer = [&board, bounds = options.health](std::string_view request, bool whole) {
         return answer_to(request, whole, board, bounds);
       }});
  if (!server) return tl::unexpected(server.error());
  auto stop = Wakeup::make();
  if (!stop) return tl::unexpected(stop.error());
  auto impl = std::make_unique<Impl>(std::move(*server), std::move(*stop), port);
  impl->thread = std::thread([&running = *impl] { running.run(); });
  return std::unique_ptr<StatusServer>(new StatusServer(std::move(impl)));
}

StatusServer::StatusServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

StatusServer::~StatusServer() {
  impl_->stop.ring();
  impl_->thread.join();
}

std::uint16_t StatusServer::port() const { return impl_->port; }

}  // namespace plimsoll::agent
