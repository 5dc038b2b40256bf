// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/request_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace plimsoll::agent {
namespace {

bool may_come_later() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

Result<void> watch(const Fd& epoll, int op, int fd, std::uint32_t events) {
  epoll_event event{.events = events, .data = {.fd = fd}};
  if (::epoll_ctl(epoll.get(), op, fd, &event) != 0) {
    return errno_error(errno, "watch a socket with epoll");
  }
  return {};
}

}  // namespace

Result<RequestServer> RequestServer::make(Fd listener, const RequestServerOptions& options,
                                          Protocol protocol) {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return errno_error(errno, "make an epoll");
  if (auto watched = watch(epoll, EPOLL_CTL_ADD, listener.get(), EPOLLIN); !watched) {
    return tl::unexpected(watched.error());
  }
  return RequestServer(std::move(listener), std::move(epoll), options, std::move(protocol));
}

RequestServer::RequestServer(Fd listener, Fd epoll, const RequestServerOptions& options,
                             Protocol protocol)
    : listener_(std::move(listener)),
      epoll_(std::move(epoll)),
      options_(options),
      protocol_(std::move(protocol)) {}

std::optional<MonotonicTime> RequestServer::next_deadline() const {
  if (clients_.empty()) return std::nullopt;
  return clients_.front().until;  // all have the same time, so the oldest is first
}

void RequestServer::turn(MonotonicTime now) {
  while (!clients_.empty() && clients_.front().until <= now) clients_.pop_front();
  if (deaf_) deaf_ = !watch(epoll_, EPOLL_CTL_ADD, listener_.get(), EPOLLIN);

  std::array<epoll_event, 32> events{};
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < count; ++i) {
    const int fd = events.at(static_cast<std::size_t>(i)).data.fd;
    if (fd == listener_.get()) continue;
    const auto client = std::find_if(clients_.begin(), clients_.end(),
                                     [fd](const Client& each) { return each.fd.get() == fd; });
    if (client != clients_.end() && !serve(*client)) clients_.erase(client);
  }
  // After the clients: a new one may take the descriptor of one that has gone.
  accept_all(now);
}

void RequestServer::accept_all(MonotonicTime now) {
  // So many and no more: a flood of connections must not keep the caller here.
  for (std::size_t i = 0; i < options_.most_clients && !deaf_; ++i) {
    Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (fd) {
      if (protocol_.admit && !protocol_.admit(fd.get())) continue;
      add(std::move(fd), now);
      continue;
    }
    if (errno == ECONNABORTED) continue;
    // Without a free descriptor the connection stays in the queue and the listener readable.
    if (!may_come_later()) {
      deaf_ = watch(epoll_, EPOLL_CTL_DEL, listener_.get(), 0).has_value();
    }
    return;
  }
}

void RequestServer::add(Fd fd, MonotonicTime now) {
  if (clients_.size() >= options_.most_clients) clients_.pop_front();
  if (!watch(epoll_, EPOLL_CTL_ADD, fd.get(), EPOLLIN)) return;
  clients_.push_back({.fd = std::move(fd), .until = now + options_.exchange_within});
  if (!serve(clients_.back())) clients_.pop_back();
}

// False: the client is done with or gone.
bool RequestServer::serve(Client& client) {
  if (!client.answered && !read_request(client)) return false;
  if (client.answered && !client.shut && !write_answer(client)) return false;
  if (!client.shut) return true;
  // What it still sends is read and dropped: closing with unread data would reset the connection
  // and could take the answer with it.
  std::array<char, 4096> rest{};
  const ssize_t got = ::recv(client.fd.get(), rest.data(), rest.size(), 0);
  return got > 0 || (got < 0 && may_come_later());
}

bool RequestServer::read_request(Client& client) {
  std::array<char, 2048> piece{};
  while (true) {
    const ssize_t got = ::recv(client.fd.get(), piece.data(), piece.size(), 0);
    if (got < 0 && may_come_later()) return true;
    if (got <= 0) return false;
    client.request.append(piece.data(), static_cast<std::size_t>(got));
    const bool whole = protocol_.complete(client.request);
    if (!whole && client.request.size() <= options_.longest_request) continue;
    client.answer = protocol_.answer(client.request, whole);
    client.answered = true;
    client.request = {};
    return true;
  }
}

bool RequestServer::write_answer(Client& client) {
  while (client.sent < client.answer.size()) {
    const ssize_t put = ::send(client.fd.get(), client.answer.data() + client.sent,
                               client.answer.size() - client.sent, MSG_NOSIGNAL);
    if (put < 0 && may_come_later()) {
      return watch(epoll_, EPOLL_CTL_MOD, client.fd.get(), EPOLLOUT).has_value();
    }
    if (put <= 0) return false;
    client.sent += static_cast<std::size_t>(put);
  }
  client.answer = {};
  client.shut = true;
  return ::shutdown(client.fd.get(), SHUT_WR) == 0 &&
         watch(epoll_, EPOLL_CTL_MOD, client.fd.get(), EPOLLIN).has_value();
}

}  // namespace plimsoll::agent
