// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/tls_stream.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <stdexcept>

namespace plimsoll::test {
namespace {

struct Free {
  void operator()(SSL* thing) const { SSL_free(thing); }
  void operator()(SSL_CTX* thing) const { SSL_CTX_free(thing); }
  void operator()(BIO* thing) const { BIO_free(thing); }
  void operator()(X509* thing) const { X509_free(thing); }
  void operator()(EVP_PKEY* thing) const { EVP_PKEY_free(thing); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

void must(bool good, const char* what) {
  if (!good) throw std::runtime_error(std::string("OpenSSL refuses: ") + what);
}

Owned<BIO> memory_of(const std::string& text) {
  return Owned<BIO>(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::vector<std::string> names_of(X509* certificate, int what) {
  std::vector<std::string> names;
  X509_NAME* subject = X509_get_subject_name(certificate);
  for (int at = X509_NAME_get_index_by_NID(subject, what, -1); at >= 0;
       at = X509_NAME_get_index_by_NID(subject, what, at)) {
    const ASN1_STRING* text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
    names.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                       static_cast<std::size_t>(ASN1_STRING_length(text)));
  }
  return names;
}

class PlainStream : public Stream {
 public:
  explicit PlainStream(int fd) : fd_(fd) {}

  std::size_t read(char* buffer, std::size_t size) override {
    const ssize_t got = ::recv(fd_, buffer, size, 0);
    return got > 0 ? static_cast<std::size_t>(got) : 0;
  }
  bool write(std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t put = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (put <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(put));
    }
    return true;
  }
  void close() override { ::shutdown(fd_, SHUT_WR); }

 private:
  int fd_;
};

class TlsStream : public Stream {
 public:
  explicit TlsStream(Owned<SSL> ssl) : ssl_(std::move(ssl)) {}

  std::size_t read(char* buffer, std::size_t size) override {
    const int got =
        SSL_read(ssl_.get(), buffer, static_cast<int>(std::min<std::size_t>(size, INT_MAX)));
    return got > 0 ? static_cast<std::size_t>(got) : 0;
  }
  bool write(std::string_view bytes) override {
    if (bytes.empty()) return true;
    return SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())) > 0;
  }
  void close() override { SSL_shutdown(ssl_.get()); }
  std::string client_name() const override {
    const auto names = subject(NID_commonName);
    return names.empty() ? "" : names.back();
  }
  std::vector<std::string> client_groups() const override { return subject(NID_organizationName); }

 private:
  std::vector<std::string> subject(int what) const {
    const Owned<X509> certificate(SSL_get1_peer_certificate(ssl_.get()));
    if (!certificate || SSL_get_verify_result(ssl_.get()) != X509_V_OK) return {};
    return names_of(certificate.get(), what);
  }

  Owned<SSL> ssl_;
};

}  // namespace

std::unique_ptr<Stream> plain_stream(int fd) { return std::make_unique<PlainStream>(fd); }

struct TlsServer::State {
  Owned<SSL_CTX> context;
};

TlsServer::TlsServer(const KeyPair& pair, const std::string& client_authority)
    : state_(std::make_unique<State>()) {
  state_->context.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = state_->context.get();
  must(context != nullptr, "SSL_CTX_new");
  SSL_CTX_set_mode(context, SSL_MODE_AUTO_RETRY);
  const Owned<X509> certificate(
      PEM_read_bio_X509(memory_of(pair.certificate).get(), nullptr, nullptr, nullptr));
  const Owned<EVP_PKEY> key(
      PEM_read_bio_PrivateKey(memory_of(pair.key).get(), nullptr, nullptr, nullptr));
  must(certificate && key && SSL_CTX_use_certificate(context, certificate.get()) == 1 &&
           SSL_CTX_use_PrivateKey(context, key.get()) == 1,
       "the server's certificate");
  if (client_authority.empty()) return;
  const Owned<X509> authority(
      PEM_read_bio_X509(memory_of(client_authority).get(), nullptr, nullptr, nullptr));
  must(authority && X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get()) == 1 &&
           SSL_CTX_add_client_CA(context, authority.get()) == 1,
       "the clients' authority");
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  // Sessions of clients with certificates need a context of their own.
  constexpr unsigned char kContext[] = "plimsoll";
  SSL_CTX_set_session_id_context(context, kContext, sizeof kContext - 1);
}

TlsServer::~TlsServer() = default;

std::unique_ptr<Stream> TlsServer::accept(int fd) const {
  Owned<SSL> ssl(SSL_new(state_->context.get()));
  if (!ssl || SSL_set_fd(ssl.get(), fd) != 1 || SSL_accept(ssl.get()) != 1) {
    ERR_clear_error();
    return nullptr;
  }
  return std::make_unique<TlsStream>(std::move(ssl));
}

}  // namespace plimsoll::test
