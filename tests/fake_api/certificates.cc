// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/certificates.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <stdexcept>
#include <utility>

namespace plimsoll::test {
namespace {

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* thing) const {
    Free(thing);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>>;
using Memory = std::unique_ptr<BIO, Freed<BIO_free>>;

void need(bool good, const char* what) {
  if (!good) throw std::runtime_error(std::string("OpenSSL refuses: ") + what);
}

Key make_key() {
  Key key(EVP_EC_gen("P-256"));
  need(key != nullptr, "EVP_EC_gen");
  return key;
}

template <typename Write>
std::string pem(Write write) {
  Memory memory(BIO_new(BIO_s_mem()));
  need(memory != nullptr && write(memory.get()) == 1, "PEM");
  char* text = nullptr;
  const long size = BIO_get_mem_data(memory.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

void add_name(X509* certificate, const char* field, const std::string& value) {
  need(X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), field, MBSTRING_UTF8,
                                  reinterpret_cast<const unsigned char*>(value.c_str()), -1, -1,
                                  0) == 1,
       field);
}

void extend(X509* certificate, X509* issuer, int what, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  Extension extension(X509V3_EXT_conf_nid(nullptr, &context, what, value));
  need(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1, value);
}

// Valid from an hour ago, for a machine whose clock is a little behind.
Certificate blank(const Key& key) {
  Certificate certificate(X509_new());
  std::uint64_t serial = 0;
  need(certificate && RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1,
       "X509_new");
  need(X509_set_version(certificate.get(), 2) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial >> 1U) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600) != nullptr &&
           X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 30L * 24 * 3600) != nullptr &&
           X509_set_pubkey(certificate.get(), key.get()) == 1,
       "a new certificate");
  return certificate;
}

}  // namespace

struct Authority::State {
  Key key;
  Certificate certificate;
  std::string text;
};

Authority::Authority(const std::string& name) : state_(std::make_unique<State>()) {
  state_->key = make_key();
  state_->certificate = blank(state_->key);
  X509* own = state_->certificate.get();
  add_name(own, "CN", name);
  need(X509_set_issuer_name(own, X509_get_subject_name(own)) == 1, "issuer");
  extend(own, own, NID_basic_constraints, "critical,CA:TRUE");
  extend(own, own, NID_key_usage, "critical,keyCertSign,cRLSign,digitalSignature");
  extend(own, own, NID_subject_key_identifier, "hash");
  need(X509_sign(own, state_->key.get(), EVP_sha256()) > 0, "X509_sign");
  state_->text = pem([&](BIO* out) { return PEM_write_bio_X509(out, own); });
}

Authority::~Authority() = default;
Authority::Authority(Authority&&) noexcept = default;
Authority& Authority::operator=(Authority&&) noexcept = default;

const std::string& Authority::certificate() const { return state_->text; }

namespace {

KeyPair signed_by(X509* issuer, EVP_PKEY* issuer_key, const std::string& name,
                  const std::vector<std::string>& groups, bool server) {
  const Key key = make_key();
  const Certificate certificate = blank(key);
  X509* own = certificate.get();
  for (const std::string& group : groups) add_name(own, "O", group);
  add_name(own, "CN", name);
  need(X509_set_issuer_name(own, X509_get_subject_name(issuer)) == 1, "issuer");
  extend(own, issuer, NID_basic_constraints, "critical,CA:FALSE");
  extend(own, issuer, NID_ext_key_usage, server ? "serverAuth" : "clientAuth");
  extend(own, issuer, NID_authority_key_identifier, "keyid");
  if (server) {
    extend(own, issuer, NID_subject_alt_name,
           "DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:::1");
  }
  need(X509_sign(own, issuer_key, EVP_sha256()) > 0, "X509_sign");
  return {pem([&](BIO* out) { return PEM_write_bio_X509(out, own); }), pem([&](BIO* out) {
            return PEM_write_bio_PKCS8PrivateKey(out, key.get(), nullptr, nullptr, 0, nullptr,
                                                 nullptr);
          })};
}

}  // namespace

KeyPair Authority::server() const {
  return signed_by(state_->certificate.get(), state_->key.get(), "kube-apiserver", {}, true);
}

KeyPair Authority::client(const std::string& user, const std::vector<std::string>& groups) const {
  return signed_by(state_->certificate.get(), state_->key.get(), user, groups, false);
}

}  // namespace plimsoll::test
