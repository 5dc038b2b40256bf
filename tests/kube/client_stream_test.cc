// SPDX-License-Identifier: Apache-2.0
//
// Streams: a watch as the transport sees it.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kube/client.h"
#include "tests/kube/client_fixture.h"

namespace plimsoll::kube::client_stream_test {
namespace {

using std::chrono::milliseconds;
using Kind = TransportError::Kind;

constexpr std::string_view kHead =
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
constexpr Nanoseconds kNever{};

TEST_F(ClientTest, StreamGivesEachPieceAsItComes) {
  std::promise<void> first_was_read;
  serve([&](const ServerRequest&, ServerConnection& connection) {
    connection.write(kHead);
    connection.write("5\r\nfirst\r\n");
    first_was_read.get_future().wait();  // else the second would never come
    connection.write("6\r\nsecond\r\n0\r\n\r\n");
  });
  const auto client = connect(config());
  std::string seen;
  const Reply reply = client->stream(
      get(),
      [&](std::string_view piece) {
        seen += piece;
        if (seen == "first") first_was_read.set_value();
        return true;
      },
      kNever);
  ASSERT_TRUE(reply) << reply.error().error.message;
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->body, "");
  EXPECT_EQ(seen, "firstsecond");
}

TEST_F(ClientTest, StreamIsNotBoundedInLength) {
  serve([&](const ServerRequest&, ServerConnection& connection) {
    connection.reply(200, std::string(3'000'000, 'x'));
  });
  Request request = get();
  request.largest_body = 10;
  std::size_t seen = 0;
  const Reply reply = connect(config())->stream(
      request,
      [&](std::string_view piece) {
        seen += piece.size();
        return true;
      },
      kNever);
  EXPECT_TRUE(reply);
  EXPECT_EQ(seen, 3'000'000U);
}

TEST_F(ClientTest, StreamEndsWhenItsReaderHasEnough) {
  serve([](const ServerRequest&, ServerConnection& connection) {
    connection.write(kHead);
    connection.write("5\r\nfirst\r\n");
    connection.hold();
  });
  const auto client = connect(config());
  const Reply reply = client->stream(
      get(), [](std::string_view) { return false; }, kNever);
  ASSERT_TRUE(reply) << reply.error().error.message;
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(client->counters().failures, 0U);
}

TEST_F(ClientTest, StreamThatIsRefusedIsAResponse) {
  serve([](const ServerRequest&, ServerConnection& connection) {
    connection.reply(410, R"({"kind":"Status"})", "Retry-After: 1\r\n");
  });
  bool read = false;
  const auto client = connect(config());
  const auto reader = [&](std::string_view) { return read = true; };
  const Reply reply = client->stream(get(), reader, kNever);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status, 410);
  EXPECT_EQ(reply->body, R"({"kind":"Status"})");
  EXPECT_EQ(reply->retry_after, std::chrono::seconds(1));
  EXPECT_FALSE(read);
  Request bounded = get();
  bounded.largest_body = 5;
  EXPECT_EQ(client->stream(bounded, reader, kNever).error().kind, Kind::kTooLarge);
}

TEST_F(ClientTest, StreamThatIsCutIsAnError) {
  serve([](const ServerRequest&, ServerConnection& connection) {
    connection.write(kHead);
    connection.write("64\r\n{\"type\":\"ADD");
    connection.cut();
  });
  std::string seen;
  const Reply reply = connect(config())->stream(
      get(),
      [&](std::string_view piece) {
        seen += piece;
        return true;
      },
      kNever);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, Kind::kCut);
  EXPECT_EQ(reply.error().status, 200);
  EXPECT_EQ(seen, "{\"type\":\"ADD");
}

TEST_F(ClientTest, StreamThatIsSilentEnds) {
  serve([](const ServerRequest&, ServerConnection& connection) {
    connection.write(kHead);
    connection.write("5\r\nfirst\r\n");
    connection.hold();
  });
  const Reply reply = connect(config())->stream(
      get(), [](std::string_view) { return true; }, milliseconds(50));
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, Kind::kIdle);
  EXPECT_EQ(reply.error().error.code, Code::kUnavailable);
  EXPECT_EQ(reply.error().status, 200);
}

TEST_F(ClientTest, StreamWithoutAHeadEndsAtTheDeadline) {
  serve([](const ServerRequest& request, ServerConnection& connection) {
    if (request.path == "/hole") connection.hold();
    connection.reply(200, "{}");
  });
  const auto client = connect(config());
  ASSERT_TRUE(client->send(get()));  // so that the handshake is no part of it
  Request request = get("/hole");
  request.deadline = milliseconds(500);
  const Reply reply = client->stream(
      request, [](std::string_view) { return true; }, kNever);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, Kind::kDeadline);
  EXPECT_TRUE(reply.error().sent);
}

TEST_F(ClientTest, StreamOutlivesTheDeadlineOfItsHead) {
  serve([](const ServerRequest& request, ServerConnection& connection) {
    if (request.path != "/watch") return connection.reply(200, "{}");
    connection.write(kHead);
    connection.write("5\r\nfirst\r\n");
    connection.hold();
  });
  const auto client = connect(config());
  ASSERT_TRUE(client->send(get()));
  Request request = get("/watch");
  request.deadline = milliseconds(1000);
  const Reply reply = client->stream(
      request, [](std::string_view) { return true; }, milliseconds(2500));
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, Kind::kIdle);
}

TEST_F(ClientTest, EachExchangeIsTold) {
  struct Told final : ExchangeObserver {
    void on_exchange(const Request& request, const Reply& reply, Nanoseconds took) override {
      EXPECT_GT(took, Nanoseconds{});
      all.emplace_back(request.path, reply ? reply->status : 0);
      last = took;
    }
    std::vector<std::pair<std::string, int>> all;
    Nanoseconds last{};
  } told;
  constexpr milliseconds kBodyComesLate(1500);
  serve([&](const ServerRequest& request, ServerConnection& connection) {
    if (request.path == "/hole") connection.hold();
    if (request.path == "/denied") return connection.reply(401, "{}");
    connection.write(kHead);
    if (request.path == "/watch") std::this_thread::sleep_for(kBodyComesLate);
    connection.write("5\r\nfirst\r\n0\r\n\r\n");
  });
  publish("secret", authority.pem());
  ClientConfig with_observer = config_of_files();
  with_observer.observer = &told;
  const auto client = connect(with_observer);
  const auto any = [](std::string_view) { return true; };
  (void)client->send(get());
  (void)client->stream(get("/watch"), any, kNever);
  EXPECT_LT(told.last, kBodyComesLate) << "of a stream, until its head";
  publish("renewed", authority.pem());
  (void)client->send(get("/denied"));
  Request request = get("/hole");
  request.deadline = milliseconds(500);
  (void)client->stream(request, any, kNever);
  EXPECT_GE(told.last, milliseconds(400));
  const std::vector<std::pair<std::string, int>> all{
      {"/version", 200}, {"/watch", 200}, {"/denied", 401}, {"/denied", 401}, {"/hole", 0}};
  EXPECT_EQ(told.all, all);
}

TEST_F(ClientTest, StopEndsAStreamThatWaits) {
  serve([](const ServerRequest&, ServerConnection& connection) {
    connection.write(kHead);
    connection.write("5\r\nfirst\r\n");
    connection.hold();
  });
  const auto client = connect(config());
  std::promise<void> started;
  std::thread stopper([&] {
    started.get_future().wait();
    client->stop();
  });
  const Reply reply = client->stream(
      get(),
      [&](std::string_view) {
        started.set_value();
        return true;
      },
      kNever);
  stopper.join();
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, Kind::kStopped);
}

TEST_F(ClientTest, StopEndsAStreamThatNeverPauses) {
  serve([](const ServerRequest&, ServerConnection& connection) {
    const std::string body(1'000'000, 'x');
    connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
    for (int i = 0; i < 100; ++i) connection.write(body);
    connection.cut();
  });
  const auto client = connect(config());
  const Reply reply = client->stream(
      get(),
      [&](std::string_view) {
        client->stop();
        return true;
      },
      kNever);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, Kind::kStopped);
}

TEST_F(ClientTest, AfterAStreamTheClientSends) {
  serve([](const ServerRequest& request, ServerConnection& connection) {
    connection.reply(200, request.path);
  });
  const auto client = connect(config());
  ASSERT_TRUE(client->stream(
      get("/watch"), [](std::string_view) { return true; }, kNever));
  EXPECT_EQ(client->send(get("/one"))->body, "/one");
  EXPECT_EQ(server->connections(), 1);
}

}  // namespace
}  // namespace plimsoll::kube::client_stream_test
