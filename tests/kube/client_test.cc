// SPDX-License-Identifier: Apache-2.0
#include "kube/client.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "tests/kube/client_fixture.h"

namespace plimsoll::kube::client_test {
namespace {

using std::chrono::milliseconds;
using Kind = TransportError::Kind;

void answer_ok(const ServerRequest&, ServerConnection& connection) { connection.reply(200, "{}"); }

TEST_F(ClientTest, SendsWhatTheRequestSays) {
  ServerRequest seen;
  serve([&](const ServerRequest& request, ServerConnection& connection) {
    seen = request;
    connection.reply(201, R"({"kind":"Pod"})");
  });
  const auto client = connect(config());
  const Reply reply = client->send(patch("/api/v1/pods/a/resize?dryRun=All", R"({"a":1})"));
  ASSERT_TRUE(reply) << reply.error().error.message;
  EXPECT_EQ(reply->status, 201);
  EXPECT_EQ(reply->body, R"({"kind":"Pod"})");
  EXPECT_EQ(reply->content_type, "application/json");
  EXPECT_EQ(seen.method, "PATCH");
  EXPECT_EQ(seen.path, "/api/v1/pods/a/resize?dryRun=All");
  EXPECT_EQ(seen.body, R"({"a":1})");
  EXPECT_EQ(seen.headers["content-type"], "application/strategic-merge-patch+json");
  EXPECT_EQ(seen.headers["accept"], "application/json");
  EXPECT_EQ(seen.headers["authorization"], "Bearer secret");
  EXPECT_EQ(seen.headers["user-agent"], "plimsoll");
  EXPECT_EQ(client->protocol(), "HTTP/1.1");
}

TEST_F(ClientTest, AGetAfterAPatchHasNoBodyAndNoContentType) {
  ServerRequest seen;
  serve([&](const ServerRequest& request, ServerConnection& connection) {
    seen = request;
    connection.reply(200, "{}");
  });
  const auto client = connect(config());
  ASSERT_TRUE(client->send(patch("/a", "{}")));
  ASSERT_TRUE(client->send(get("/b")));
  EXPECT_EQ(seen.method, "GET");
  EXPECT_EQ(seen.body, "");
  EXPECT_FALSE(seen.headers.contains("content-type"));
  Request post = patch("/c", "{}");
  post.method = Method::kPost;
  ASSERT_TRUE(client->send(post));
  EXPECT_EQ(seen.method, "POST");
}

TEST_F(ClientTest, EveryStatusIsAResponse) {
  serve([](const ServerRequest& request, ServerConnection& connection) {
    connection.reply(std::stoi(request.path.substr(1)), "text");
  });
  const auto client = connect(config());
  for (const int status : {200, 201, 301, 400, 403, 404, 409, 410, 422, 429, 500, 503, 504}) {
    const Reply reply = client->send(get("/" + std::to_string(status)));
    ASSERT_TRUE(reply) << reply.error().error.message;
    EXPECT_EQ(reply->status, status);
    EXPECT_EQ(reply->body, "text");
  }
}

TEST_F(ClientTest, ARedirectIsNotFollowed) {
  serve([](const ServerRequest&, ServerConnection& connection) {
    connection.reply(302, "", "Location: /elsewhere\r\n");
  });
  const auto client = connect(config());
  EXPECT_EQ(client->send(get())->status, 302);
  EXPECT_EQ(server->requests(), 1);
}

TEST_F(ClientTest, RetryAfterIsReadInBothForms) {
  serve([](const ServerRequest& request, ServerConnection& connection) {
    connection.reply(429, "Too many requests",
                     request.path == "/seconds" ? "Retry-After: 7\r\nContent-Type: text/plain\r\n"
                                                : "Date: Sat, 21 Nov 2026 21:32:28 GMT\r\n"
                                                  "Retry-After: Sat, 21 Nov 2026 21:32:40 GMT\r\n");
  });
  const auto client = connect(config());
  const Reply seconds = client->send(get("/seconds"));
  EXPECT_EQ(seconds->retry_after, std::chrono::seconds(7));
  EXPECT_EQ(seconds->content_type, "text/plain");
  // Against the server's clock, whatever ours says.
  EXPECT_EQ(client->send(get("/date"))->retry_after, std::chrono::seconds(12));
}

TEST_F(ClientTest, OneConnectionIsKept) {
  serve(answer_ok);
  const auto client = connect(config());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(client->send(get()));
  EXPECT_EQ(server->connections(), 1);
  EXPECT_EQ(client->counters().connections, 1U);
  EXPECT_EQ(client->counters().requests, 20U);
  EXPECT_EQ(client->counters().failures, 0U);
}

TEST_F(ClientTest, AConnectionThatTheServerClosedIsReplacedUnseen) {
  serve([](const ServerRequest&, ServerConnection& connection) {
    connection.reply(200, "{}");
    connection.cut();
  });
  const auto client = connect(config());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(client->send(patch("/a", "{}")));
  EXPECT_EQ(server->connections(), 3);
  EXPECT_EQ(client->counters().failures, 0U);
}

TEST_F(ClientTest, ReconnectsAfterTheServerWasRestarted) {
  serve(answer_ok);
  const auto client = connect(config());
  ASSERT_TRUE(client->send(get()));
  const int port = server->port();
  server->stop();
  const Reply refused = client->send(get());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, Kind::kConnect);
  EXPECT_EQ(refused.error().error.code, Code::kUnavailable);
  EXPECT_FALSE(refused.error().sent);
  server = std::make_unique<TlsServer>(authority.issue(), &answer_ok, "", port);
  const Reply reply = client->send(get());
  ASSERT_TRUE(reply) << reply.error().error.message;
  EXPECT_EQ(server->connections(), 1);
}

TEST_F(ClientTest, ABlackHoleEndsAtTheDeadlineAndIsLeft) {
  serve([](const ServerRequest& request, ServerConnection& connection) {
    if (request.path == "/hole") connection.hold();
    connection.reply(200, "{}");
  });
  const auto client = connect(config());
  ASSERT_TRUE(client->send(get()));
  Request hole = patch("/hole", "{}");
  hole.deadline = milliseconds(500);
  const Reply reply = client->send(hole);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, Kind::kDeadline);
  EXPECT_EQ(reply.error().error.code, Code::kUnavailable);
  EXPECT_TRUE(reply.error().sent);  // the outcome is unknown
  EXPECT_EQ(reply.error().status, 0);
  ASSERT_TRUE(client->send(get()));
  EXPECT_EQ(server->connections(), 2);
}

TEST_F(ClientTest, AServerThatNeverShakesHandsEndsAtTheConnectDeadline) {
  serve(answer_ok);
  const SilentListener silent;
  ClientConfig to_silent = config();
  to_silent.server = "https://127.0.0.1:" + std::to_string(silent.port());
  to_silent.connect_deadline = milliseconds(50);
  Request patient = get();
  patient.deadline = Nanoseconds(0);
  const Reply reply = connect(to_silent)->send(patient);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, Kind::kDeadline);
  EXPECT_FALSE(reply.error().sent);
}

TEST_F(ClientTest, ABodyThatDripsEndsAtTheDeadline) {
  serve([](const ServerRequest&, ServerConnection& connection) {
    connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
    connection.hold();
  });
  Request request = get();
  request.deadline = std::chrono::seconds(1);
  const Reply reply = connect(config())->send(request);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, Kind::kDeadline);
  EXPECT_EQ(reply.error().status, 200);
}

TEST_F(ClientTest, ABodyIsBounded) {
  serve([](const ServerRequest& request, ServerConnection& connection) {
    const std::string body(request.path == "/fits" ? 1000 : 1001, 'x');
    if (request.path != "/chunked") return connection.reply(200, body);
    connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + body +
                     "\r\n0\r\n\r\n");
  });
  const auto client = connect(config());
  for (const char* path : {"/length", "/chunked"}) {
    Request request = get(path);
    request.largest_body = 1000;
    const Reply reply = client->send(request);
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().kind, Kind::kTooLarge);
    EXPECT_EQ(reply.error().error.code, Code::kMalformed);
    EXPECT_EQ(reply.error().status, 200);
  }
  Request fits = get("/fits");
  fits.largest_body = 1000;
  EXPECT_EQ(client->send(fits)->body.size(), 1000U);
}

TEST_F(ClientTest, ACompressedBodyIsBoundedByWhatItBecomes) {
  // gzip of 100,000 times '0'.
  using std::string_literals::operator""s;
  const std::string compressed =
      "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xed\xc1\x31\x01\x00\x00\x00\xc2\xa0\x4a\xeb\x9f\xce"
      "\x1a\x1e\x40\x01"s +
      std::string(96, '\0') + "\xaf\x06\x85\xc2\x4d\xc5\xa0\x86\x01\x00"s;
  std::string accepted;
  serve([&](const ServerRequest& request, ServerConnection& connection) {
    accepted = request.headers.at("accept-encoding");
    connection.reply(200, compressed, "Content-Encoding: gzip\r\n");
  });
  const auto client = connect(config());
  Request request = get();
  request.largest_body = 100'000;
  const Reply reply = client->send(request);
  ASSERT_TRUE(reply) << reply.error().error.message;
  EXPECT_EQ(reply->body, std::string(100'000, '0'));
  EXPECT_EQ(accepted, "gzip");
  request.largest_body = 99'999;
  EXPECT_EQ(client->send(request).error().kind, Kind::kTooLarge);
}

TEST_F(ClientTest, ABodyThatIsCutShortIsAnError) {
  serve([](const ServerRequest& request, ServerConnection& connection) {
    if (request.path == "/length") {
      connection.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"a\":");
    } else {
      connection.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n{\"a\":");
    }
    connection.cut();
  });
  const auto client = connect(config());
  for (const char* path : {"/length", "/chunked"}) {
    const Reply reply = client->send(patch(path, "{}"));
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().kind, Kind::kCut);
    EXPECT_TRUE(reply.error().sent);
    EXPECT_EQ(reply.error().status, 200);
  }
}

TEST_F(ClientTest, WhatIsNoHttpIsMalformed) {
  serve([](const ServerRequest&, ServerConnection& connection) {
    connection.write("220 smtp.example.org ESMTP, and much more of it than a status line has\r\n");
    connection.cut();
  });
  const Reply reply = connect(config())->send(get());
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, Kind::kMalformed);
  EXPECT_EQ(reply.error().error.code, Code::kMalformed);
}

TEST_F(ClientTest, ARequestThatWouldSmuggleIsNotSent) {
  serve(answer_ok);
  const auto client = connect(config());
  for (const char* path : {"", "version", "/a b", "/a\r\nX: y", "/a#b", "/\xc3\xa4"}) {
    const Reply reply = client->send(get(path));
    ASSERT_FALSE(reply) << path;
    EXPECT_EQ(reply.error().kind, Kind::kRefused);
    EXPECT_EQ(reply.error().error.code, Code::kMalformed);
    EXPECT_FALSE(reply.error().sent);
  }
  Request accept = get();
  accept.accept = "a\r\nX: y";
  EXPECT_EQ(client->send(accept).error().kind, Kind::kRefused);
  EXPECT_EQ(server->connections(), 0);
}

TEST_F(ClientTest, ThePathOfTheServerComesFirst) {
  std::string path;
  serve([&](const ServerRequest& request, ServerConnection& connection) {
    path = request.path;
    connection.reply(200, "{}");
  });
  ClientConfig with_path = config();
  with_path.server += "/k8s/clusters/c-1/";
  ASSERT_TRUE(connect(with_path)->send(get("/api/v1/../v1")));
  EXPECT_EQ(path, "/k8s/clusters/c-1/api/v1/../v1");
}

TEST_F(ClientTest, AServerThatIsNoHttpsUrlIsRefused) {
  serve(answer_ok);
  for (const char* url :
       {"", "http://127.0.0.1:1", "127.0.0.1:6443", "https://", "https://user:word@127.0.0.1",
        "https://127.0.0.1/?a=b", "https://127.0.0.1/#a", "file:///etc/passwd"}) {
    ClientConfig other = config();
    other.server = url;
    const auto client = Client::make(other);
    ASSERT_FALSE(client) << url;
    EXPECT_EQ(client.error().code, Code::kMalformed);
  }
}

TEST_F(ClientTest, NoProxyOfTheEnvironmentIsUsed) {
  serve(answer_ok);
  const SilentListener proxy;
  const std::string url = "http://127.0.0.1:" + std::to_string(proxy.port());
  for (const char* name : {"https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"}) {
    ::setenv(name, url.c_str(), 1);
  }
  const Reply reply = connect(config())->send(get());
  for (const char* name : {"https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"}) {
    ::unsetenv(name);
  }
  EXPECT_TRUE(reply);
}

TEST_F(ClientTest, StopEndsASendThatWaits) {
  serve([](const ServerRequest& request, ServerConnection& connection) {
    if (request.path != "/first") connection.hold();
    connection.reply(200, "{}");
  });
  const auto client = connect(config());
  // On a kept connection, where libcurl would otherwise connect anew and send again.
  ASSERT_TRUE(client->send(get("/first")));
  std::thread stopper([&] {
    EXPECT_TRUE(server->wait_for_requests(2));
    client->stop();
  });
  const Reply reply = client->send(get());  // its deadline is half a minute
  stopper.join();
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, Kind::kStopped);
  EXPECT_TRUE(reply.error().sent);
  EXPECT_EQ(client->send(get()).error().kind, Kind::kStopped);
  EXPECT_EQ(server->requests(), 2);
  EXPECT_EQ(server->connections(), 1);
}

TEST_F(ClientTest, StopEndsAHandshakeThatWaits) {
  serve(answer_ok);
  const SilentListener silent;
  ClientConfig to_silent = config();
  to_silent.server = "https://127.0.0.1:" + std::to_string(silent.port());
  to_silent.connect_deadline = std::chrono::seconds(30);
  const auto client = connect(to_silent);
  std::thread stopper([&] {
    EXPECT_TRUE(silent.wait_for_connection());
    client->stop();
  });
  const Reply reply = client->send(get());
  stopper.join();
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, Kind::kStopped);
  EXPECT_FALSE(reply.error().sent);
}

}  // namespace
}  // namespace plimsoll::kube::client_test
