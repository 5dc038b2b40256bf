// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/credentials_directory.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "tests/fake_api/base64url.h"

namespace plimsoll::test {
namespace {

namespace fs = std::filesystem;

void write_file(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc);
  file << text;
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
}

std::string kubeconfig(std::uint16_t port, const std::string& authority, const std::string& user) {
  return "apiVersion: v1\nkind: Config\ncurrent-context: fake\nclusters:\n- name: fake\n  "
         "cluster:\n"
         "    server: https://127.0.0.1:" +
         std::to_string(port) + "\n    certificate-authority-data: " + base64_encoded(authority) +
         "\ncontexts:\n- name: fake\n  context:\n    cluster: fake\n    user: fake\nusers:\n"
         "- name: fake\n  user:\n" +
         user;
}

}  // namespace

CredentialsDirectory::CredentialsDirectory(const std::string& path) : path_(path) {
  if (path_.empty()) {
    std::string name = (fs::temp_directory_path() / "plimsoll-fake-api-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp " + name);
    path_ = name;
    own_ = true;
  }
  fs::create_directories(path_);
}

CredentialsDirectory::~CredentialsDirectory() {
  std::error_code ignored;
  if (own_) fs::remove_all(path_, ignored);
}

void CredentialsDirectory::write(const std::string& name, const std::string& text) const {
  write_file(fs::path(path_) / name, text);
}

void CredentialsDirectory::publish(const std::string& authority, const std::string& token,
                                   const std::string& space) {
  const fs::path base(path_);
  std::string data;
  do {
    data = "..generation_" + std::to_string(++generation_);
  } while (fs::exists(base / data));
  fs::create_directory(base / data);
  write_file(base / data / "ca.crt", authority);
  write_file(base / data / "token", token);
  write_file(base / data / "namespace", space);
  const fs::path old = fs::is_symlink(base / "..data") ? fs::read_symlink(base / "..data") : "";
  fs::create_symlink(data, base / "..data_tmp");
  fs::rename(base / "..data_tmp", base / "..data");
  for (const char* name : {"ca.crt", "token", "namespace"}) {
    if (!fs::is_symlink(base / name)) fs::create_symlink(fs::path("..data") / name, base / name);
  }
  if (!old.empty()) fs::remove_all(base / old);
}

void CredentialsDirectory::publish_kubeconfigs(std::uint16_t port, const std::string& authority,
                                               const std::string& token, const KeyPair& client) {
  write("kubeconfig", kubeconfig(port, authority, "    token: " + token + "\n"));
  write("kubeconfig-certificate",
        kubeconfig(port, authority,
                   "    client-certificate-data: " + base64_encoded(client.certificate) +
                       "\n    client-key-data: " + base64_encoded(client.key) + "\n"));
}

}  // namespace plimsoll::test
