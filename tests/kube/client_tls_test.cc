// SPDX-License-Identifier: Apache-2.0
//
// Who the client trusts, who it says it is, and what happens when either is renewed.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "kube/client.h"
#include "tests/kube/client_fixture.h"

namespace plimsoll::kube::client_tls_test {
namespace {

using Kind = TransportError::Kind;

void answer_ok(const ServerRequest&, ServerConnection& connection) { connection.reply(200, "{}"); }

class ClientTlsTest : public ClientTest {
 protected:
  // The certificate is not good enough: the server never sees a request, and we know it.
  void expect_distrust(const ClientConfig& config) {
    const Reply reply = connect(config)->send(get());
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().kind, Kind::kTls) << reply.error().error.message;
    EXPECT_EQ(reply.error().error.code, Code::kUnavailable);
    EXPECT_FALSE(reply.error().sent);
    EXPECT_EQ(server->requests(), 0);
  }
};

TEST_F(ClientTlsTest, AnotherAuthorityIsNotTrusted) {
  serve(&answer_ok);
  ClientConfig other = config();
  other.credentials.ca.text = CertificateAuthority("another authority").pem();
  expect_distrust(other);
}

TEST_F(ClientTlsTest, WithoutAnAuthorityTheSystemsRootsDecide) {
  serve(&answer_ok);
  ClientConfig other = config();
  other.credentials.ca = {};
  expect_distrust(other);
}

TEST_F(ClientTlsTest, AnotherHostsCertificateIsNotTrusted) {
  serve(&answer_ok, {.names = {"kube.example"}, .addresses = {"127.0.0.2"}});
  expect_distrust(config());
}

TEST_F(ClientTlsTest, ACommonNameIsNoHostName) {
  serve(&answer_ok, {.common_name = "127.0.0.1", .names = {"kube.example"}, .addresses = {}});
  expect_distrust(config());
}

TEST_F(ClientTlsTest, AnExpiredCertificateIsNotTrusted) {
  serve(&answer_ok, {.valid_from_hours = -48, .valid_to_hours = -1});
  expect_distrust(config());
}

TEST_F(ClientTlsTest, ACertificateOfTheFutureIsNotTrusted) {
  serve(&answer_ok, {.valid_from_hours = 1, .valid_to_hours = 48});
  expect_distrust(config());
}

TEST_F(ClientTlsTest, AHostNameIsVerifiedAsAnAddressIs) {
  serve(&answer_ok, {.names = {"localhost"}, .addresses = {}});
  ClientConfig named = config();
  named.server = "https://localhost:" + std::to_string(server->port());
  EXPECT_TRUE(connect(named)->send(get()));
}

TEST_F(ClientTlsTest, TheNameToVerifyCanBeGiven) {
  std::string host;
  serve(
      [&](const ServerRequest& request, ServerConnection& connection) {
        host = request.headers.at("host");
        connection.reply(200, "{}");
      },
      {.names = {"kube.example"}, .addresses = {}});
  ClientConfig named = config();
  named.tls_server_name = "kube.example";
  const auto client = connect(named);
  ASSERT_TRUE(client->send(get()));
  ASSERT_TRUE(client->send(get()));
  EXPECT_EQ(host, "127.0.0.1:" + std::to_string(server->port()));
  EXPECT_EQ(server->connections(), 1);
  named.tls_server_name = "other.example";
  EXPECT_EQ(connect(named)->send(get()).error().kind, Kind::kTls);
}

TEST_F(ClientTlsTest, AClientCertificateSaysWhoWeAre) {
  const CertificateAuthority client_authority("client authority");
  std::string seen;
  server = std::make_unique<TlsServer>(
      authority.issue(),
      [&](const ServerRequest& request, ServerConnection& connection) {
        seen = request.client;
        EXPECT_FALSE(request.headers.contains("authorization"));
        connection.reply(200, "{}");
      },
      client_authority.pem());
  const CertifiedKey identity = client_authority.issue({.common_name = "system:node:node-a"});
  ClientConfig with_certificate = config();
  with_certificate.credentials.token = {};
  with_certificate.credentials.certificate.text = identity.certificate;
  with_certificate.credentials.key.text = identity.key;
  const Reply reply = connect(with_certificate)->send(get());
  ASSERT_TRUE(reply) << reply.error().error.message;
  EXPECT_EQ(seen, "system:node:node-a");

  EXPECT_FALSE(connect(config())->send(get()));  // without one
  const CertifiedKey foreign = authority.issue();
  with_certificate.credentials.certificate.text = foreign.certificate;
  with_certificate.credentials.key.text = foreign.key;
  EXPECT_FALSE(connect(with_certificate)->send(get()));
  with_certificate.credentials.key.text = identity.key;  // not the certificate's
  EXPECT_EQ(connect(with_certificate)->send(get()).error().kind, Kind::kTls);
  EXPECT_EQ(server->requests(), 1);
}

TEST_F(ClientTlsTest, ARenewedTokenIsFoundAtThe401) {
  publish("old", authority.pem());
  serve([](const ServerRequest& request, ServerConnection& connection) {
    connection.reply(request.headers.at("authorization") == "Bearer new" ? 200 : 401, "{}");
  });
  const auto client = connect(config_of_files());
  EXPECT_EQ(client->send(get())->status, 401);  // nothing newer on disk: no second try
  EXPECT_EQ(server->requests(), 1);
  publish("new", authority.pem());
  EXPECT_EQ(client->send(patch("/a", "{}"))->status, 200);
  EXPECT_EQ(server->requests(), 3);
  EXPECT_EQ(client->counters().unauthorized_retries, 1U);
  EXPECT_EQ(client->counters().credential_reloads, 1U);
  EXPECT_EQ(server->connections(), 1);  // a token is no reason to shake hands again
}

TEST_F(ClientTlsTest, ATokenThatNoHeaderCanCarryLeavesTheOldOne) {
  publish("old", authority.pem());
  serve([&](const ServerRequest&, ServerConnection& connection) {
    publish("bad token", authority.pem());
    connection.reply(401, "{}");
  });
  const auto client = connect(config_of_files());
  EXPECT_EQ(client->send(get())->status, 401);
  EXPECT_EQ(server->requests(), 1);
  EXPECT_EQ(client->counters().credential_failures, 1U);
}

TEST_F(ClientTlsTest, A401IsTriedAgainOnceOnly) {
  publish("0", authority.pem());
  serve([&](const ServerRequest&, ServerConnection& connection) {
    publish(std::to_string(version), authority.pem());
    connection.reply(401, "{}");
  });
  EXPECT_EQ(connect(config_of_files())->send(get())->status, 401);
  EXPECT_EQ(server->requests(), 2);
}

TEST_F(ClientTlsTest, OldFilesAreReadAgainBeforeARequest) {
  publish("old", authority.pem());
  std::string seen;
  serve([&](const ServerRequest& request, ServerConnection& connection) {
    seen = request.headers.at("authorization");
    connection.reply(200, "{}");
  });
  ClientConfig at_once = config_of_files();
  at_once.credentials_age = Nanoseconds(0);
  const auto client = connect(at_once);
  ASSERT_TRUE(client->send(get()));
  EXPECT_EQ(seen, "Bearer old");
  publish("new", authority.pem());
  ASSERT_TRUE(client->send(get()));
  EXPECT_EQ(seen, "Bearer new");
  EXPECT_EQ(client->counters().unauthorized_retries, 0U);

  const auto patient = connect(config_of_files());  // a minute
  publish("newest", authority.pem());
  ASSERT_TRUE(patient->send(get()));
  EXPECT_EQ(seen, "Bearer new");
}

TEST_F(ClientTlsTest, ARotatedAuthorityIsFoundAtTheHandshake) {
  publish("token", authority.pem());
  serve(&answer_ok);
  const auto client = connect(config_of_files());
  ASSERT_TRUE(client->send(get()));
  const CertificateAuthority next("next authority");
  const int port = server->port();
  server->stop();
  server = std::make_unique<TlsServer>(next.issue(), &answer_ok, "", port);
  EXPECT_EQ(client->send(get()).error().kind, Kind::kTls);  // the bundle does not have it yet
  publish("token", authority.pem() + next.pem());
  const Reply reply = client->send(get());
  ASSERT_TRUE(reply) << reply.error().error.message;
  publish("token", next.pem());  // the old one is taken out of the bundle
  EXPECT_TRUE(client->send(get()));
}

TEST_F(ClientTlsTest, AnAuthorityThatIsNoLongerTrustedEndsItsConnection) {
  publish("token", authority.pem());
  serve(&answer_ok);
  ClientConfig at_once = config_of_files();
  at_once.credentials_age = Nanoseconds(0);
  const auto client = connect(at_once);
  ASSERT_TRUE(client->send(get()));
  publish("token", CertificateAuthority("next authority").pem());
  EXPECT_EQ(client->send(get()).error().kind, Kind::kTls);
}

TEST_F(ClientTlsTest, KeepAliveReadsRenewedFiles) {
  publish("old", authority.pem());
  std::string seen;
  serve([&](const ServerRequest& request, ServerConnection& connection) {
    seen = request.headers.at("authorization");
    connection.reply(200, "{}");
  });
  ClientConfig at_once = config_of_files();
  at_once.credentials_age = Nanoseconds(0);
  const auto client = connect(at_once);
  publish("new", authority.pem());
  client->keep_alive();
  EXPECT_EQ(client->counters().credential_reloads, 1U);
  EXPECT_EQ(server->connections(), 0);
}

TEST_F(ClientTlsTest, FilesThatVanishLeaveWhatWasRead) {
  publish("token", authority.pem());
  serve(&answer_ok);
  ClientConfig at_once = config_of_files();
  at_once.credentials_age = Nanoseconds(0);
  const auto client = connect(at_once);
  std::filesystem::remove(directory / "..data");
  EXPECT_TRUE(client->send(get()));
  EXPECT_EQ(client->counters().credential_failures, 1U);
}

}  // namespace
}  // namespace plimsoll::kube::client_tls_test
