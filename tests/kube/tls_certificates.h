// SPDX-License-Identifier: Apache-2.0
//
// Certificates for tests over real TLS, made when the test starts: an authority and what it signs.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace plimsoll::kube {

struct CertifiedKey {
  std::string certificate;  // PEM
  std::string key;          // PEM
};

struct LeafOptions {
  std::string common_name = "kube-apiserver";
  std::vector<std::string> names = {"localhost"};
  std::vector<std::string> addresses = {"127.0.0.1"};
  int valid_from_hours = -1;  // from now
  int valid_to_hours = 24;
};

class CertificateAuthority {
 public:
  explicit CertificateAuthority(const std::string& name);
  ~CertificateAuthority();
  CertificateAuthority(const CertificateAuthority&) = delete;
  CertificateAuthority& operator=(const CertificateAuthority&) = delete;

  const std::string& pem() const { return pem_; }
  CertifiedKey issue(const LeafOptions& options = {}) const;

 private:
  struct Signer;
  std::unique_ptr<Signer> signer_;
  std::string pem_;
};

}  // namespace plimsoll::kube
