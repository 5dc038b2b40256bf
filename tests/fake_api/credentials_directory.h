// SPDX-License-Identifier: Apache-2.0
//
// CredentialsDirectory: what a pod finds under /var/run/secrets/kubernetes.io/serviceaccount, in a
// directory of the test, replaced the way the kubelet does it (a symlink is swapped), and
// kubeconfigs beside it.
#pragma once

#include <cstdint>
#include <string>

#include "tests/fake_api/certificates.h"

namespace plimsoll::test {

class CredentialsDirectory {
 public:
  // Made when it is not there; empty: one of its own in the temporary directory, removed at the
  // end. Throws std::runtime_error when it cannot be written.
  explicit CredentialsDirectory(const std::string& path);
  ~CredentialsDirectory();
  CredentialsDirectory(const CredentialsDirectory&) = delete;
  CredentialsDirectory& operator=(const CredentialsDirectory&) = delete;

  const std::string& path() const { return path_; }
  // ca.crt, token, namespace: all at once.
  void publish(const std::string& authority, const std::string& token, const std::string& space);
  // kubeconfig (token) and kubeconfig-certificate (client certificate).
  void publish_kubeconfigs(std::uint16_t port, const std::string& authority,
                           const std::string& token, const KeyPair& client);
  void write(const std::string& name, const std::string& text) const;

 private:
  std::string path_;
  bool own_ = false;
  int generation_ = 0;
};

}  // namespace plimsoll::test
