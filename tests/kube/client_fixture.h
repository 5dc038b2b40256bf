// SPDX-License-Identifier: Apache-2.0
//
// A client, a TLS server on loopback and the authority between them, for the tests of kube/client.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "kube/client.h"
#include "tests/kube/tls_certificates.h"
#include "tests/kube/tls_server.h"

namespace plimsoll::kube {

class ClientTest : public testing::Test {
 protected:
  ClientTest() {
    directory_ = std::filesystem::temp_directory_path() /
                 ("plimsoll_client_" + std::to_string(::getpid()) + "_" +
                  testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  ~ClientTest() override { std::filesystem::remove_all(directory_); }

  void serve(TlsServer::Handler handler, const LeafOptions& options = {}) {
    server_ = std::make_unique<TlsServer>(authority_.issue(options), std::move(handler));
  }

  // What reaches server_ with a token and the authority's certificate, as texts.
  ClientConfig config() const {
    ClientConfig config;
    config.server = server_->url();
    config.credentials.ca.text = authority_.pem();
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

  static void write(const std::filesystem::path& path, const std::string& text) {
    std::ofstream(path) << text;
  }

  // As the kubelet does it: a new directory, then one rename of the link `..data`.
  void publish(const std::string& token, const std::string& ca) {
    const std::string version = "..version_" + std::to_string(++version_);
    std::filesystem::create_directory(directory_ / version);
    write(directory_ / version / "token", token);
    write(directory_ / version / "ca.crt", ca);
    std::filesystem::create_symlink(version, directory_ / "..data_tmp");
    std::filesystem::rename(directory_ / "..data_tmp", directory_ / "..data");
    if (version_ > 1) return;
    std::filesystem::create_symlink("..data/token", directory_ / "token");
    std::filesystem::create_symlink("..data/ca.crt", directory_ / "ca.crt");
  }

  // As config(), with the files that publish() writes.
  ClientConfig config_of_files() const {
    ClientConfig with_files = config();
    with_files.credentials = {};
    with_files.credentials.ca.file = directory_ / "ca.crt";
    with_files.credentials.token.file = directory_ / "token";
    return with_files;
  }

  CertificateAuthority authority_{"test authority"};
  std::unique_ptr<TlsServer> server_;
  std::filesystem::path directory_;
  int version_ = 0;
};

}  // namespace plimsoll::kube
