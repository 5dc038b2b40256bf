// SPDX-License-Identifier: Apache-2.0
//
// An HTTP/1.1 server over TLS on loopback that can also misbehave: a handler writes what it likes,
// in pieces, or nothing. One thread per connection; connections are counted. Not the fake of the
// API server (tests/support has that): this one is for the transport.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "tests/kube/tls_certificates.h"

namespace plimsoll::kube {

struct ServerRequest {
  std::string method;
  std::string path;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  std::string client;  // the common name of the client's certificate; empty: none
};

class TlsServer;

// The connection that a request came on, for its handler.
class ServerConnection {
 public:
  ServerConnection(TlsServer& server, void* ssl) : server_(server), ssl_(ssl) {}

  void write(std::string_view bytes);
  void reply(int status, std::string_view body, std::string_view more_headers = {});
  // Ends the connection after the handler.
  void cut() { cut_ = true; }
  bool is_cut() const { return cut_; }
  // Blocks until the server stops: the peer hears nothing more.
  void hold();

 private:
  TlsServer& server_;
  void* ssl_;
  bool cut_ = false;
};

class TlsServer {
 public:
  using Handler = std::function<void(const ServerRequest&, ServerConnection&)>;

  // `client_ca`: PEM; a client must show a certificate of it. `port` 0: any.
  TlsServer(const CertifiedKey& identity, Handler handler, const std::string& client_ca = {},
            int port = 0);
  ~TlsServer();
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  int port() const { return port_; }
  std::string url() const { return "https://127.0.0.1:" + std::to_string(port_); }
  // That got through the handshake.
  int connections() const { return connections_.load(); }
  int requests() const { return requests_.load(); }
  // False: they did not come within half a minute.
  bool wait_for_requests(int count);
  // Ends all connections and takes no new ones.
  void stop();

 private:
  friend class ServerConnection;
  struct FreeContext {
    void operator()(void* context) const;
  };

  void accept_loop();
  void serve(int fd);
  void serve_requests(void* ssl);

  Handler handler_;
  std::unique_ptr<void, FreeContext> context_;  // SSL_CTX
  Fd listener_;
  int port_ = 0;
  std::atomic<int> connections_ = 0;
  std::atomic<int> requests_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::vector<int> open_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

// A socket that listens and never accepts: the kernel answers, nobody else does.
class SilentListener {
 public:
  SilentListener();
  int port() const { return port_; }
  // False: none came within half a minute.
  bool wait_for_connection() const;

 private:
  Fd fd_;
  int port_ = 0;
};

}  // namespace plimsoll::kube
