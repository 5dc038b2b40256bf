// SPDX-License-Identifier: Apache-2.0
//
// HTTP/2, with nghttpx in front of the test server: it is skipped where there is no nghttpx.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kube/client.h"
#include "tests/kube/client_fixture.h"

namespace plimsoll::kube::client_http2_test {
namespace {

using Kind = TransportError::Kind;
using Clock = std::chrono::steady_clock;

constexpr const char* kNghttpx = "/usr/sbin/nghttpx";

// A port that was free a moment ago.
int free_port() { return SilentListener().port(); }

class Nghttpx {
 public:
  Nghttpx(const ScratchDirectory& directory, const CertifiedKey& identity, int backend_port)
      : port_(free_port()), log_(directory / "proxy.log") {
    directory.write("proxy.crt", identity.certificate);
    directory.write("proxy.key", identity.key);
    std::vector<std::string> arguments = {
        kNghttpx,
        "--conf=/dev/null",
        "--single-process",  // so that it is all gone when it is killed
        "--no-ocsp",
        "--frontend=127.0.0.1," + std::to_string(port_),
        "--backend=127.0.0.1," + std::to_string(backend_port) + ";;tls",
        "--insecure",
        "--workers=1",
        "--frontend-frame-debug",
        "--errorlog-file=" + log_.string(),
        (directory / "proxy.key").string(),
        (directory / "proxy.crt").string()};
    std::vector<char*> argv;
    argv.reserve(arguments.size() + 1);
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    std::array<char*, 1> environment = {nullptr};
    EXPECT_EQ(::posix_spawn(&pid_, kNghttpx, &actions, nullptr, argv.data(), environment.data()),
              0);
    posix_spawn_file_actions_destroy(&actions);
  }
  ~Nghttpx() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Nghttpx(const Nghttpx&) = delete;
  Nghttpx& operator=(const Nghttpx&) = delete;

  std::string url() const { return "https://127.0.0.1:" + std::to_string(port_); }

  // What it has said so far, the frames of its clients among it.
  std::string log() const {
    std::ifstream file(log_);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  int port_;
  std::filesystem::path log_;
  pid_t pid_ = -1;
};

class ClientHttp2Test : public ClientTest {
 protected:
  void SetUp() override {
    if (::access(kNghttpx, X_OK) != 0) GTEST_SKIP() << "no " << kNghttpx;
  }

  void serve_behind_proxy(TlsServer::Handler handler) {
    serve(std::move(handler));
    proxy = std::make_unique<Nghttpx>(directory, authority.issue(), server->port());
    ClientConfig through = config();
    through.server = proxy->url();
    through.ping_interval = std::chrono::milliseconds(1);
    client = connect(through);
    // Until it listens.
    const auto deadline = Clock::now() + std::chrono::seconds(30);
    Reply reply = client->send(get("/ready"));
    while (!reply && Clock::now() < deadline) reply = client->send(get("/ready"));
    ASSERT_TRUE(reply) << reply.error().error.message;
    first_connections = client->counters().connections;
  }

  // Connections that the client opened after the first that worked.
  std::uint64_t more_connections() const {
    return client->counters().connections - first_connections;
  }

  std::unique_ptr<Nghttpx> proxy;
  std::unique_ptr<Client> client;
  std::uint64_t first_connections = 0;
};

TEST_F(ClientHttp2Test, IsSpokenWhereOffered) {
  ServerRequest seen;
  serve_behind_proxy([&](const ServerRequest& request, ServerConnection& connection) {
    seen = request;
    connection.reply(200, R"({"kind":"Pod"})");
  });
  for (int i = 0; i < 10; ++i) {
    const Reply reply = client->send(patch("/a?dryRun=All", R"({"a":1})"));
    ASSERT_TRUE(reply) << reply.error().error.message;
    EXPECT_EQ(reply->body, R"({"kind":"Pod"})");
    EXPECT_EQ(reply->content_type, "application/json");
  }
  EXPECT_EQ(client->protocol(), "HTTP/2");
  EXPECT_EQ(more_connections(), 0U);
  EXPECT_EQ(seen.method, "PATCH");
  EXPECT_EQ(seen.path, "/a?dryRun=All");
  EXPECT_EQ(seen.body, R"({"a":1})");
  EXPECT_EQ(seen.headers["authorization"], "Bearer secret");
}

TEST_F(ClientHttp2Test, AnIdleConnectionIsPinged) {
  serve_behind_proxy(
      [](const ServerRequest&, ServerConnection& connection) { connection.reply(200, "{}"); });
  const auto deadline = Clock::now() + std::chrono::seconds(30);
  const auto pinged = [&] { return proxy->log().find("recv PING frame") != std::string::npos; };
  while (!pinged() && Clock::now() < deadline) client->keep_alive();
  EXPECT_TRUE(pinged()) << proxy->log();
  // Its acknowledgements do not disturb what comes next.
  ASSERT_TRUE(client->send(get()));
  EXPECT_EQ(more_connections(), 0U);
}

TEST_F(ClientHttp2Test, AStreamComesPieceByPieceAndItsErrorsAsResponses) {
  serve_behind_proxy([](const ServerRequest& request, ServerConnection& connection) {
    if (request.path == "/gone") return connection.reply(410, "gone");
    connection.reply(200, "first" + std::string(100'000, 'x'));
  });
  std::string seen;
  const auto reader = [&](std::string_view piece) {
    seen += piece;
    return true;
  };
  ASSERT_TRUE(client->stream(get(), reader, Nanoseconds(0)));
  EXPECT_EQ(seen.size(), 100'005U);
  EXPECT_EQ(client->stream(get("/gone"), reader, Nanoseconds(0))->body, "gone");
  EXPECT_EQ(more_connections(), 0U);
}

TEST_F(ClientHttp2Test, AConnectionThatLeadsNowhereIsLeft) {
  serve_behind_proxy([](const ServerRequest& request, ServerConnection& connection) {
    if (request.path == "/hole") connection.hold();
    connection.reply(200, "{}");
  });
  Request hole = patch("/hole", "{}");
  hole.deadline = std::chrono::milliseconds(500);
  const Reply reply = client->send(hole);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, Kind::kDeadline);
  EXPECT_TRUE(reply.error().sent);
  ASSERT_TRUE(client->send(get()));
  EXPECT_EQ(more_connections(), 1U);
  ASSERT_TRUE(client->send(get()));
  EXPECT_EQ(more_connections(), 1U);
}

TEST_F(ClientHttp2Test, StopEndsWhatWaits) {
  serve_behind_proxy([](const ServerRequest& request, ServerConnection& connection) {
    if (request.path == "/hole") connection.hold();
    connection.reply(200, "{}");
  });
  const int before = server->requests();
  std::thread stopper([&] {
    EXPECT_TRUE(server->wait_for_requests(before + 1));
    client->stop();
  });
  const Reply reply = client->send(get("/hole"));
  stopper.join();
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().kind, Kind::kStopped);
}

}  // namespace
}  // namespace plimsoll::kube::client_http2_test
