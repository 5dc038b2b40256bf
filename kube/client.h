// SPDX-License-Identifier: Apache-2.0
//
// The HTTP client of the API server: TLS always verified, HTTP/2 where the server offers it, one
// connection that is kept. One thread uses a Client; only stop() may come from another. Every HTTP
// status is a Response (kube/status says what it means); a TransportError means that no whole
// reply came. Nothing is sent twice, but for a 401 after which the credential files were found
// renewed, and for a kept connection that the server had closed meanwhile.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "kube/client_config.h"
#include "kube/http.h"

namespace plimsoll::kube {

struct TransportError {
  enum class Kind : std::uint8_t {
    kRefused,    // the request or the credentials are unfit: nothing was tried
    kConnect,    // name, route, connection
    kTls,        // handshake, certificate of the server or ours
    kDeadline,   // of the whole exchange, or of the head of a stream
    kIdle,       // a stream was silent for too long
    kCut,        // the connection ended in mid-exchange
    kTooLarge,   // the body is longer than the request allows
    kMalformed,  // no HTTP
    kStopped,    // stop() was called
  };

  Kind kind = Kind::kConnect;
  Error error;        // kUnavailable; kTooLarge, kMalformed and kRefused are kMalformed
  bool sent = false;  // false: no byte of the request went out; true: the server may have acted
  int status = 0;     // of the reply's head, where one came before the failure

  bool operator==(const TransportError&) const = default;
};
std::string_view to_string(TransportError::Kind kind);

using Reply = tl::expected<Response, TransportError>;

// Told of each exchange of the clients whose configuration names it, once it has ended: a second
// try with renewed credentials is one of its own. Called on the thread that made the exchange.
class ExchangeObserver {
 public:
  virtual ~ExchangeObserver() = default;
  // `took`: of a stream, until its reply began, or until it ended without one.
  virtual void on_exchange(const Request& request, const Reply& reply, Nanoseconds took) = 0;
};

struct ClientCounters {
  std::uint64_t requests = 0;     // sent, retries included
  std::uint64_t connections = 0;  // opened: TCP and TLS
  std::uint64_t failures = 0;     // transport errors
  std::uint64_t unauthorized_retries = 0;
  std::uint64_t credential_reloads = 0;   // that found something new
  std::uint64_t credential_failures = 0;  // files that could not be read again

  bool operator==(const ClientCounters&) const = default;
};

class Client {
 public:
  // Gets each piece of a successful stream's body as it arrives, cut anywhere; false ends the
  // stream, which then is a Response.
  using OnData = std::function<bool(std::string_view)>;

  // Reads the credentials, does not connect. kMalformed: the configuration; else as the files say.
  static Result<std::unique_ptr<Client>> make(const ClientConfig& config);

  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client();

  // Blocks until the whole reply is here, at most for the request's deadline.
  Reply send(const Request& request);

  // Blocks until the server ends the body, `on_data` returns false, or nothing came for
  // `idle_deadline` (0: never); both deadlines are kept to about a second. A reply that is no
  // success comes back with its body, as from send().
  Reply stream(const Request& request, const OnData& on_data, Nanoseconds idle_deadline);

  // For a thread with nothing to send, every few seconds: pings an HTTP/2 connection that was idle
  // for the ping interval, reads old credential files again. Sends no request, opens nothing.
  void keep_alive();

  // From any thread, and for good: ends what send() or stream() waits for, at once, and makes
  // every later call return kStopped.
  void stop();

  const ClientCounters& counters() const;
  // Of the last reply: "HTTP/2", "HTTP/1.1", or "" before the first.
  std::string_view protocol() const;

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace plimsoll::kube
