// SPDX-License-Identifier: Apache-2.0
#include "tests/kube/tls_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <utility>

namespace plimsoll::kube {
namespace {

using Memory = std::unique_ptr<BIO, decltype(&BIO_free)>;

void need(bool done, const char* what) {
  if (done) return;
  std::cerr << "test server: " << what << '\n';
  std::abort();
}

Memory memory_of(const std::string& text) {
  return {BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), &BIO_free};
}

SSL_CTX* new_context(const CertifiedKey& identity, const std::string& client_ca) {
  SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
  X509* const certificate =
      PEM_read_bio_X509(memory_of(identity.certificate).get(), nullptr, nullptr, nullptr);
  EVP_PKEY* const key =
      PEM_read_bio_PrivateKey(memory_of(identity.key).get(), nullptr, nullptr, nullptr);
  need(SSL_CTX_use_certificate(context, certificate) == 1, "certificate");
  need(SSL_CTX_use_PrivateKey(context, key) == 1, "key");
  X509_free(certificate);
  EVP_PKEY_free(key);
  if (!client_ca.empty()) {
    X509* const authority =
        PEM_read_bio_X509(memory_of(client_ca).get(), nullptr, nullptr, nullptr);
    need(X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority) == 1, "client CA");
    X509_free(authority);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    const unsigned char name[] = "plimsoll";  // sessions with client certificates need one
    SSL_CTX_set_session_id_context(context, name, sizeof(name) - 1);
  }
  return context;
}

Fd listen_on(int port, int& bound) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int one = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  socklen_t size = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  need(::bind(fd.get(), generic, size) == 0, "bind");
  need(::listen(fd.get(), 64) == 0, "listen");
  need(::getsockname(fd.get(), generic, &size) == 0, "getsockname");
  bound = ntohs(address.sin_port);
  return fd;
}

// More bytes into `buffer`; false: the peer is gone.
bool read_more(SSL* ssl, std::string& buffer) {
  char piece[16384];
  const int got = SSL_read(ssl, piece, sizeof(piece));
  if (got <= 0) return false;
  buffer.append(piece, static_cast<std::size_t>(got));
  return true;
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

ServerRequest parse_head(std::string_view head) {
  ServerRequest request;
  const std::size_t method_end = head.find(' ');
  const std::size_t path_end = head.find(' ', method_end + 1);
  request.method = head.substr(0, method_end);
  request.path = head.substr(method_end + 1, path_end - method_end - 1);
  std::size_t at = head.find("\r\n");
  while (at != std::string_view::npos && at + 2 < head.size()) {
    const std::size_t end = head.find("\r\n", at + 2);
    const std::string_view line = head.substr(at + 2, end - at - 2);
    if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
      const std::size_t value = line.find_first_not_of(' ', colon + 1);
      request.headers[lower(line.substr(0, colon))] =
          value == std::string_view::npos ? "" : line.substr(value);
    }
    at = end;
  }
  return request;
}

std::optional<ServerRequest> read_request(SSL* ssl, std::string& buffer) {
  std::size_t head_end = 0;
  while ((head_end = buffer.find("\r\n\r\n")) == std::string::npos) {
    if (!read_more(ssl, buffer)) return std::nullopt;
  }
  ServerRequest request = parse_head(std::string_view(buffer).substr(0, head_end + 2));
  buffer.erase(0, head_end + 4);
  const std::string& length = request.headers["content-length"];
  std::size_t size = 0;
  std::from_chars(length.data(), length.data() + length.size(), size);
  while (buffer.size() < size) {
    if (!read_more(ssl, buffer)) return std::nullopt;
  }
  request.body = buffer.substr(0, size);
  buffer.erase(0, size);
  return request;
}

std::string client_of(SSL* ssl) {
  X509* const certificate = SSL_get1_peer_certificate(ssl);
  if (certificate == nullptr) return {};
  char name[256] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof(name));
  X509_free(certificate);
  return name;
}

}  // namespace

void ServerConnection::write(std::string_view bytes) {
  SSL_write(static_cast<SSL*>(ssl_), bytes.data(), static_cast<int>(bytes.size()));
}

void ServerConnection::reply(int status, std::string_view body, std::string_view more_headers) {
  std::string text = "HTTP/1.1 " + std::to_string(status) +
                     " Any\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  if (more_headers.find("Content-Type:") == std::string_view::npos) {
    text += "Content-Type: application/json\r\n";
  }
  write(text.append(more_headers).append("\r\n").append(body));
}

void ServerConnection::hold() {
  std::unique_lock lock(server_.mutex_);
  server_.changed_.wait(lock, [this] { return server_.stopping_; });
}

void TlsServer::FreeContext::operator()(void* context) const {
  SSL_CTX_free(static_cast<SSL_CTX*>(context));
}

TlsServer::TlsServer(const CertifiedKey& identity, Handler handler, const std::string& client_ca,
                     int port)
    : handler_(std::move(handler)), context_(new_context(identity, client_ca)) {
  std::signal(SIGPIPE, SIG_IGN);  // of this test program; a client that leaves is no end of it
  listener_ = listen_on(port, port_);
  acceptor_ = std::thread([this] { accept_loop(); });
}

TlsServer::~TlsServer() { stop(); }

void TlsServer::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    ::shutdown(listener_.get(), SHUT_RDWR);
  }
  changed_.notify_all();
  if (acceptor_.joinable()) acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  listener_ = Fd();
}

bool TlsServer::wait_for_requests(int count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(30),
                           [&] { return requests_.load() >= count; });
}

void TlsServer::accept_loop() {
  while (true) {
    const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    const std::lock_guard lock(mutex_);
    if (stopping_ || fd < 0) {
      if (fd >= 0) ::close(fd);
      return;
    }
    const int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    open_.push_back(fd);
    threads_.emplace_back([this, fd] { serve(fd); });
  }
}

void TlsServer::serve(int fd) {
  SSL* const ssl = SSL_new(static_cast<SSL_CTX*>(context_.get()));
  SSL_set_fd(ssl, fd);
  if (SSL_accept(ssl) == 1) {
    ++connections_;
    serve_requests(ssl);
  }
  SSL_free(ssl);
  const std::lock_guard lock(mutex_);
  open_.erase(std::remove(open_.begin(), open_.end(), fd), open_.end());
  ::close(fd);
}

void TlsServer::serve_requests(void* ssl) {
  std::string buffer;
  const std::string client = client_of(static_cast<SSL*>(ssl));
  while (auto request = read_request(static_cast<SSL*>(ssl), buffer)) {
    request->client = client;
    {
      const std::lock_guard lock(mutex_);
      ++requests_;
    }
    changed_.notify_all();
    ServerConnection connection(*this, ssl);
    handler_(*request, connection);
    if (connection.is_cut()) return;
  }
}

SilentListener::SilentListener() { fd_ = listen_on(0, port_); }

bool SilentListener::wait_for_connection() const {
  pollfd waiting{fd_.get(), POLLIN, 0};
  return ::poll(&waiting, 1, 30'000) == 1;
}

}  // namespace plimsoll::kube
