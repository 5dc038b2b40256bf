// SPDX-License-Identifier: Apache-2.0
//
// HttpServer: a server on loopback, HTTP/1.1 with or without TLS, made to misbehave: it can answer
// late, cut a reply anywhere, hold connections in silence, and be gone and back on the same port.
// One thread per connection.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "tests/fake_api/certificates.h"
#include "tests/fake_api/http_message.h"
#include "tests/fake_api/status.h"

namespace plimsoll::test {

// One request's answer. Used by the handler, on the connection's thread only.
class Exchange {
 public:
  virtual ~Exchange() = default;

  // A whole reply. False: the client is gone.
  virtual bool reply(int status, const Headers& headers, std::string_view body) = 0;
  // A reply in chunks; finish() ends it cleanly.
  virtual bool start(int status, const Headers& headers) = 0;
  virtual bool write(std::string_view piece) = 0;
  virtual bool finish() = 0;

  // From here on only so many bytes of body leave, then the connection breaks (TCP reset); with 0
  // not even the head of the reply.
  virtual void cut_after(std::size_t bytes) = 0;
  // As they are, where a reply would begin.
  virtual void raw(std::string_view bytes) = 0;
  virtual void reset() = 0;
  // Waits; false when the client or the server went meanwhile.
  virtual bool pause(std::chrono::nanoseconds time) = 0;
};

class HttpServer {
 public:
  using Handler = std::function<void(const HttpRequest&, Exchange&)>;

  // Port 0: any. No `tls`: plain. Throws std::runtime_error when it cannot listen.
  HttpServer(Handler handler, std::uint16_t port, const KeyPair* tls,
             const std::string& client_authority = "");
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::uint16_t port() const;

  // For connections from here on.
  void set_tls(const KeyPair& tls, const std::string& client_authority);
  // Connections are refused and those that are open break; back() listens on the same port.
  void go();
  void back();
  // New connections are accepted and then nothing, no handshake either; open ones stay.
  void set_silent(bool silent);
  // Breaks what is open, and goes on.
  void break_connections();
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace plimsoll::test
