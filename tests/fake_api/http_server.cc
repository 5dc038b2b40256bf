// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <list>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>

#include "base/fd.h"
#include "tests/fake_api/tls_stream.h"

namespace plimsoll::test {
namespace {

Fd listener(std::uint16_t port) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int one = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd.get(), 128) != 0) {
    throw std::runtime_error("cannot listen on 127.0.0.1:" + std::to_string(port));
  }
  return fd;
}

std::uint16_t port_of(const Fd& fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

}  // namespace

struct Connection {
  Fd fd;
  std::thread thread;
  std::atomic<bool> broken = false;
  std::atomic<bool> done = false;

  // Wakes its thread wherever that waits; the peer sees a reset.
  void shut() {
    broken = true;
    const linger at_once{1, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::shutdown(fd.get(), SHUT_RDWR);
  }
};

struct HttpServer::State {
  Handler handler;
  std::uint16_t port = 0;
  std::mutex mutex;
  std::condition_variable changed;
  Fd listening;
  Fd wake;
  std::shared_ptr<TlsServer> tls;
  bool wanted = true;  // whether to listen
  bool silent = false;
  bool stopping = false;
  std::list<Connection> connections;
  std::thread acceptor;

  void accept_loop();
  void serve(Connection& connection);
  void reap();
  bool is_silent() {
    const std::lock_guard lock(mutex);
    return silent;
  }
};

namespace {

class Writer : public Exchange {
 public:
  Writer(Stream& stream, Connection& connection) : stream_(stream), connection_(connection) {}

  bool reply(int status, const Headers& headers, std::string_view body) override {
    Headers all = headers;
    all["Content-Length"] = std::to_string(body.size());
    return head(status, all) && send_body(body);
  }
  bool start(int status, const Headers& headers) override {
    Headers all = headers;
    all["Transfer-Encoding"] = "chunked";
    return head(status, all);
  }
  bool write(std::string_view piece) override {
    if (piece.empty()) return !connection_.broken;
    std::array<char, 24> size{};
    const int length = std::snprintf(size.data(), size.size(), "%zx\r\n", piece.size());
    // A cut falls inside the chunk, never into its frame.
    return stream_.write({size.data(), static_cast<std::size_t>(length)}) && send_body(piece) &&
           stream_.write("\r\n");
  }
  bool finish() override { return stream_.write("0\r\n\r\n"); }
  void cut_after(std::size_t bytes) override { left_ = bytes; }
  void raw(std::string_view bytes) override {
    stream_.write(bytes);
    reset();
  }
  void reset() override { connection_.shut(); }
  bool pause(std::chrono::nanoseconds time) override {
    const auto end = std::chrono::steady_clock::now() + time;
    while (!connection_.broken) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          end - std::chrono::steady_clock::now());
      if (left.count() <= 0) return true;
      // Readable only when the client hangs up: it has nothing more to say within an exchange.
      pollfd peer{connection_.fd.get(), POLLRDHUP, 0};
      const int slice = static_cast<int>(std::min<std::int64_t>(left.count(), 50));
      if (::poll(&peer, 1, slice) > 0) return false;
    }
    return false;
  }

 private:
  bool head(int status, const Headers& headers) {
    if (left_ && *left_ == 0) {
      reset();
      return false;
    }
    std::string text =
        "HTTP/1.1 " + std::to_string(status) + " " + std::string(reason_phrase(status)) + "\r\n";
    for (const auto& [name, value] : headers) text += name + ": " + value + "\r\n";
    return stream_.write(text + "\r\n");
  }
  bool send_body(std::string_view bytes) {
    if (left_ && bytes.size() > *left_) {
      stream_.write(bytes.substr(0, *left_));
      reset();
      return false;
    }
    if (left_) *left_ -= bytes.size();
    return stream_.write(bytes);
  }

  Stream& stream_;
  Connection& connection_;
  std::optional<std::size_t> left_;
};

}  // namespace

void HttpServer::State::serve(Connection& connection) {
  std::shared_ptr<TlsServer> identity;
  {
    std::unique_lock lock(mutex);
    // A silent server does not even shake hands; those who came meanwhile stay unserved.
    if (silent) changed.wait(lock, [&] { return stopping || connection.broken.load(); });
    identity = tls;
  }
  if (connection.broken) return;
  std::unique_ptr<Stream> stream =
      identity ? identity->accept(connection.fd.get()) : plain_stream(connection.fd.get());
  if (!stream) return;
  MessageReader reader([&](char* buffer, std::size_t size) { return stream->read(buffer, size); });
  while (!connection.broken) {
    auto request = reader.request([&] { stream->write("HTTP/1.1 100 Continue\r\n\r\n"); });
    if (!request) break;
    request->client_name = stream->client_name();
    request->client_groups = stream->client_groups();
    Writer writer(*stream, connection);
    handler(*request, writer);
    if (request->header("connection") == "close") break;
  }
  if (!connection.broken) stream->close();
}

void HttpServer::State::reap() {
  for (auto it = connections.begin(); it != connections.end();) {
    if (!it->done) {
      ++it;
      continue;
    }
    it->thread.join();
    it = connections.erase(it);
  }
}

void HttpServer::State::accept_loop() {
  for (;;) {
    pollfd fds[2]{{wake.get(), POLLIN, 0}, {-1, POLLIN, 0}};
    {
      const std::lock_guard lock(mutex);
      if (stopping) return;
      reap();
      if (!wanted && listening) {
        // Closed where nobody polls it, or the port would stay taken.
        listening = Fd();
        changed.notify_all();
      }
      fds[1].fd = listening.get();
    }
    ::poll(fds, 2, -1);
    std::uint64_t count = 0;
    if ((fds[0].revents & POLLIN) != 0) {
      [[maybe_unused]] const ssize_t got = ::read(wake.get(), &count, sizeof count);
      continue;
    }
    const std::lock_guard lock(mutex);
    if (stopping || !wanted) continue;
    Fd fd(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd) continue;
    const int one = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    Connection& connection = connections.emplace_back();
    connection.fd = std::move(fd);
    connection.thread = std::thread([this, &connection] {
      serve(connection);
      ::shutdown(connection.fd.get(), SHUT_WR);
      connection.done = true;
      const std::uint64_t again = 1;
      [[maybe_unused]] const ssize_t put = ::write(wake.get(), &again, sizeof again);
    });
  }
}

HttpServer::HttpServer(Handler handler, std::uint16_t port, const KeyPair* tls,
                       const std::string& client_authority)
    : state_(std::make_unique<State>()) {
  // A client that is gone must not end the process.
  std::signal(SIGPIPE, SIG_IGN);
  state_->handler = std::move(handler);
  state_->listening = listener(port);
  state_->port = port_of(state_->listening);
  state_->wake = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (tls != nullptr) state_->tls = std::make_shared<TlsServer>(*tls, client_authority);
  state_->acceptor = std::thread([state = state_.get()] { state->accept_loop(); });
}

HttpServer::~HttpServer() { stop(); }

std::uint16_t HttpServer::port() const { return state_->port; }

void HttpServer::set_tls(const KeyPair& tls, const std::string& client_authority) {
  auto identity = std::make_shared<TlsServer>(tls, client_authority);
  const std::lock_guard lock(state_->mutex);
  state_->tls = std::move(identity);
}

void HttpServer::break_connections() {
  const std::lock_guard lock(state_->mutex);
  for (Connection& connection : state_->connections) connection.shut();
  state_->changed.notify_all();
}

void HttpServer::go() {
  {
    std::unique_lock lock(state_->mutex);
    state_->wanted = false;
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t put = ::write(state_->wake.get(), &one, sizeof one);
    state_->changed.wait(lock, [&] { return !state_->listening; });
  }
  break_connections();
}

void HttpServer::back() {
  const std::lock_guard lock(state_->mutex);
  state_->wanted = true;
  if (!state_->listening) state_->listening = listener(state_->port);
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t put = ::write(state_->wake.get(), &one, sizeof one);
}

void HttpServer::set_silent(bool silent) {
  const std::lock_guard lock(state_->mutex);
  state_->silent = silent;
}

void HttpServer::stop() {
  if (!state_->acceptor.joinable()) return;
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t put = ::write(state_->wake.get(), &one, sizeof one);
  }
  state_->acceptor.join();
  state_->listening = Fd();
  break_connections();
  for (Connection& connection : state_->connections) connection.thread.join();
  state_->connections.clear();
}

}  // namespace plimsoll::test
