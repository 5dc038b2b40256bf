// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/status_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"

namespace plimsoll::agent::status_server_test {
namespace {

using std::chrono::seconds;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

MonotonicTime now() {
  return std::chrono::time_point_cast<Nanoseconds>(std::chrono::steady_clock::now());
}

Fd connect_to(std::uint16_t port) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{.tv_sec = 30};  // what hangs fails the test instead of holding it up
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int connected =
      ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  EXPECT_EQ(connected, 0);
  return fd;
}

void send_text(const Fd& fd, std::string_view text) {
  // The server may hang up on what it refuses before it has all of it.
  (void)!::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
}

// Until the peer closes, or resets the connection because it has not read all that was sent.
std::string received(const Fd& fd) {
  std::string text;
  std::array<char, 4096> piece{};
  ssize_t got = 0;
  while ((got = ::recv(fd.get(), piece.data(), piece.size(), 0)) > 0) {
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
  return got < 0 && errno != ECONNRESET ? "no end: " + text : text;
}

class StatusServerTest : public testing::Test {
 protected:
  explicit StatusServerTest(StatusServerOptions options = {}) {
    options.host = "127.0.0.1";
    auto started = StatusServer::start(options, board_);
    EXPECT_TRUE(started) << started.error().message;
    if (started) server_ = std::move(*started);
  }

  std::string ask(std::string_view request) const {
    const Fd fd = connect_to(server_->port());
    send_text(fd, request);
    return received(fd);
  }
  std::string get(const std::string& path) const {
    return ask("GET " + path + " HTTP/1.1\r\nHost: node\r\n\r\n");
  }

  StatusBoard board_;
  std::unique_ptr<StatusServer> server_;
};

TEST_F(StatusServerTest, ServesTheMetricsThatWerePublishedLast) {
  StatusBoard::Page page{};
  page.stats.pods.leases = 3;
  board_.publish(page);
  page.stats.pods.leases = 4;
  board_.publish(page);
  const std::string reply = get("/metrics");
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(reply, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(reply, HasSubstr("\nplimsoll_leases_active 4\n"));
  EXPECT_THAT(reply, HasSubstr("\nprocess_resident_memory_bytes "));
  const std::size_t body = reply.find("\r\n\r\n") + 4;
  EXPECT_THAT(reply, HasSubstr("Content-Length: " + std::to_string(reply.size() - body) + "\r\n"));
}

TEST_F(StatusServerTest, HealthFollowsTheBoard) {
  EXPECT_THAT(get("/healthz"), StartsWith("HTTP/1.1 503 "));
  StatusBoard::Page page{};
  page.health = {.ticked = now(), .beat = now(), .conditions = {{"pods", false, "not listed yet"}}};
  board_.publish(page);
  EXPECT_THAT(get("/healthz"), StartsWith("HTTP/1.1 200 "));
  const std::string unready = get("/readyz");
  EXPECT_THAT(unready, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(unready, EndsWith("[-] pods: not listed yet\nnot ok\n"));
  page.health.conditions[0].good = true;
  board_.publish(page);
  EXPECT_THAT(get("/readyz"), StartsWith("HTTP/1.1 200 "));
}

// Nobody publishes any more: the loop hangs. The server says so by its own clock.
TEST_F(StatusServerTest, ALoopThatWentSilentIsUnhealthy) {
  StatusBoard::Page page{};
  page.health = {.ticked = now() - seconds(60), .beat = now() - seconds(60)};
  board_.publish(page);
  EXPECT_THAT(get("/healthz"), StartsWith("HTTP/1.1 503 "));
}

TEST_F(StatusServerTest, AnswersWhatItDoesNotServe) {
  EXPECT_THAT(get("/"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(get("/metricsx"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(get("/metrics?name[]=x"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(ask("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"),
              StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(ask("\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask("GET /metrics\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask("GET  HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(ask(std::string(64, '\0') + "\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(ask("GET /metrics HTTP/1.1\r\nX: " + std::string(100'000, 'x')),
              StartsWith("HTTP/1.1 431 "));
  const std::string head = ask("HEAD /healthz HTTP/1.1\r\n\r\n");
  EXPECT_THAT(head, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(head, EndsWith("\r\n\r\n"));
}

TEST_F(StatusServerTest, ARequestMayComeInPieces) {
  const Fd fd = connect_to(server_->port());
  for (const char c : std::string_view("GET /healthz HTTP/1.1\r\n\r\n")) send_text(fd, {&c, 1});
  EXPECT_THAT(received(fd), StartsWith("HTTP/1.1 503 "));
}

class SmallServerTest : public StatusServerTest {
 protected:
  SmallServerTest() : StatusServerTest({.most_connections = 4, .exchange_within = seconds(3600)}) {}
};

// More clients than it takes, none of which ever finishes its request: the oldest go.
TEST_F(SmallServerTest, ClientsThatHoldOnKeepNobodyOut) {
  std::vector<Fd> idle;
  for (int i = 0; i < 20; ++i) {
    idle.push_back(connect_to(server_->port()));
    send_text(idle.back(), "GET /metrics HTTP/1.1\r\nX: ");
  }
  EXPECT_THAT(get("/healthz"), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(received(idle.front()), "") << "the oldest was not closed";
}

class HastyServerTest : public StatusServerTest {
 protected:
  HastyServerTest() : StatusServerTest({.exchange_within = Nanoseconds(1)}) {}
};

TEST_F(HastyServerTest, AnExchangeHasItsTime) {
  const Fd fd = connect_to(server_->port());
  send_text(fd, "GET /metrics HTTP/1.1\r\n");
  EXPECT_EQ(received(fd), "");
}

TEST_F(StatusServerTest, StopsWhileClientsAreThere) {
  const Fd fd = connect_to(server_->port());
  send_text(fd, "GET ");
  server_.reset();
  EXPECT_EQ(received(fd), "");
}

TEST(StatusServer, SaysWhyItCannotListen) {
  const StatusBoard board;
  const auto no_address = StatusServer::start({.host = "node-a"}, board);
  ASSERT_FALSE(no_address);
  EXPECT_EQ(no_address.error().code, Code::kMalformed);
  const auto first = StatusServer::start({.host = "127.0.0.1"}, board);
  ASSERT_TRUE(first);
  const auto second = StatusServer::start({.host = "127.0.0.1", .port = (*first)->port()}, board);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("listen on"));
}

TEST(StatusServer, EveryAddressIsBothFamilies) {
  const StatusBoard board;
  const auto server = StatusServer::start({}, board);
  ASSERT_TRUE(server) << server.error().message;
  const Fd fd = connect_to((*server)->port());
  send_text(fd, "GET /healthz HTTP/1.0\r\n\r\n");
  EXPECT_THAT(received(fd), StartsWith("HTTP/1.1 503 "));
}

}  // namespace
}  // namespace plimsoll::agent::status_server_test
