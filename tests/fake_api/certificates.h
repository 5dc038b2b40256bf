// SPDX-License-Identifier: Apache-2.0
//
// Certificates for tests: an authority that lives in memory and what it signs, as PEM. Everything
// throws std::runtime_error when OpenSSL refuses.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace plimsoll::test {

struct KeyPair {
  std::string certificate;  // PEM
  std::string key;          // PEM, PKCS#8
};

class Authority {
 public:
  explicit Authority(const std::string& name = "fake-apiserver-ca");
  ~Authority();
  Authority(Authority&&) noexcept;
  Authority& operator=(Authority&&) noexcept;

  const std::string& certificate() const;
  // For 127.0.0.1, ::1, localhost and kubernetes.default.svc.
  KeyPair server() const;
  // The user is the common name, the groups are its organizations.
  KeyPair client(const std::string& user, const std::vector<std::string>& groups) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace plimsoll::test
