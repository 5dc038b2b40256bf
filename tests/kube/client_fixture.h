// SPDX-License-Identifier: Apache-2.0
//
// A client, a TLS server on loopback and the authority between them, for the tests of kube/client.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "kube/client.h"
#include "tests/kube/scratch_directory.h"
#include "tests/kube/tls_certificates.h"
#include "tests/kube/tls_server.h"

namespace plimsoll::kube {

class ClientTest : public testing::Test {
 protected:
  void serve(TlsServer::Handler handler, const LeafOptions& options = {}) {
    server = std::make_unique<TlsServer>(authority.issue(options), std::move(handler));
  }

  // What reaches server with a token and the authority's certificate, as texts.
  ClientConfig config() const {
    ClientConfig config;
    config.server = server->url();
    config.credentials.ca.text = authority.pem();
    config.credentials.token.text = "secret";
    return config;
  }

  static std::unique_ptr<Client> connect(const ClientConfig& config) {
    auto client = Client::make(config);
    EXPECT_TRUE(client) << client.error().message;
    return client ? std::move(*client) : nullptr;
  }

  static Request get(std::string path = "/version") {
    Request request;
    request.path = std::move(path);
    request.deadline = std::chrono::seconds(30);
    return request;
  }

  static Request patch(std::string path, std::string body) {
    Request request = get(std::move(path));
    request.method = Method::kPatch;
    request.content_type = "application/strategic-merge-patch+json";
    request.body = std::move(body);
    return request;
  }

  // As the kubelet does it: a new directory, then one rename of the link `..data`.
  void publish(const std::string& token, const std::string& ca) {
    const std::string name = "..version_" + std::to_string(++version);
    std::filesystem::create_directory(directory / name);
    directory.write(name + "/token", token);
    directory.write(name + "/ca.crt", ca);
    std::filesystem::create_symlink(name, directory / "..data_tmp");
    std::filesystem::rename(directory / "..data_tmp", directory / "..data");
    if (version > 1) return;
    std::filesystem::create_symlink("..data/token", directory / "token");
    std::filesystem::create_symlink("..data/ca.crt", directory / "ca.crt");
  }

  // As config(), with the files that publish() writes.
  ClientConfig config_of_files() const {
    ClientConfig with_files = config();
    with_files.credentials = {};
    with_files.credentials.ca.file = directory / "ca.crt";
    with_files.credentials.token.file = directory / "token";
    return with_files;
  }

  CertificateAuthority authority{"test authority"};
  std::unique_ptr<TlsServer> server;
  ScratchDirectory directory;
  int version = 0;
};

}  // namespace plimsoll::kube
