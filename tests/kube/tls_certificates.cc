// SPDX-License-Identifier: Apache-2.0
#include "tests/kube/tls_certificates.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <cstdlib>
#include <iostream>

namespace plimsoll::kube {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Memory = std::unique_ptr<BIO, decltype(&BIO_free)>;

// A test that cannot make its certificates can prove nothing.
void require(bool done, const char* what) {
  if (done) return;
  std::cerr << "OpenSSL refuses: " << what << '\n';
  std::abort();
}

Key new_key() {
  Key key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  require(key != nullptr, "EVP_EC_gen");
  return key;
}

std::string text_of(const Memory& memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string pem_of(X509* certificate) {
  const Memory memory(BIO_new(BIO_s_mem()), &BIO_free);
  require(PEM_write_bio_X509(memory.get(), certificate) == 1, "PEM_write_bio_X509");
  return text_of(memory);
}

std::string pem_of(EVP_PKEY* key) {
  const Memory memory(BIO_new(BIO_s_mem()), &BIO_free);
  require(PEM_write_bio_PrivateKey(memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
          "PEM_write_bio_PrivateKey");
  return text_of(memory);
}

void extend(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  require(extension != nullptr, value.c_str());
  require(X509_add_ext(certificate, extension, -1) == 1, "X509_add_ext");
  X509_EXTENSION_free(extension);
}

Certificate new_certificate(EVP_PKEY* key, const std::string& name, int from_hours, int to_hours) {
  static std::atomic<long> serial = 1;
  constexpr long kHour = 3600;
  Certificate certificate(X509_new(), &X509_free);
  require(certificate != nullptr, "X509_new");
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), from_hours * kHour);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), to_hours * kHour);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_pubkey(certificate.get(), key);
  return certificate;
}

}  // namespace

struct CertificateAuthority::Signer {
  Key key;
  Certificate certificate;
};

CertificateAuthority::CertificateAuthority(const std::string& name) {
  Key key = new_key();
  Certificate certificate = new_certificate(key.get(), name, -24, 24 * 365);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate.get()));
  extend(certificate.get(), certificate.get(), NID_basic_constraints, "critical,CA:TRUE");
  extend(certificate.get(), certificate.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
  require(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0, "X509_sign");
  pem_ = pem_of(certificate.get());
  signer_ = std::make_unique<Signer>(Signer{std::move(key), std::move(certificate)});
}

CertificateAuthority::~CertificateAuthority() = default;

CertifiedKey CertificateAuthority::issue(const LeafOptions& options) const {
  const Key key = new_key();
  const Certificate certificate = new_certificate(key.get(), options.common_name,
                                                  options.valid_from_hours, options.valid_to_hours);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(signer_->certificate.get()));
  std::string names;
  for (const std::string& name : options.names) names += (names.empty() ? "DNS:" : ",DNS:") + name;
  for (const std::string& address : options.addresses) {
    names += (names.empty() ? "IP:" : ",IP:") + address;
  }
  X509* const issuer = signer_->certificate.get();
  if (!names.empty()) extend(certificate.get(), issuer, NID_subject_alt_name, names);
  extend(certificate.get(), issuer, NID_ext_key_usage, "serverAuth,clientAuth");
  require(X509_sign(certificate.get(), signer_->key.get(), EVP_sha256()) > 0, "X509_sign");
  return {pem_of(certificate.get()), pem_of(key.get())};
}

}  // namespace plimsoll::kube
