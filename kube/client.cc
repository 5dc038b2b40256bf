// SPDX-License-Identifier: Apache-2.0
#include "kube/client.h"

#include <chrono>
#include <utility>

#include "base/clock.h"
#include "kube/credentials.h"
#include "kube/transport.h"

namespace plimsoll::kube {
namespace {

constexpr int kUnauthorized = 401;

}  // namespace

std::string_view to_string(TransportError::Kind kind) {
  switch (kind) {
    case TransportError::Kind::kRefused:
      return "not sent";
    case TransportError::Kind::kConnect:
      return "no connection";
    case TransportError::Kind::kTls:
      return "TLS failed";
    case TransportError::Kind::kDeadline:
      return "no reply in time";
    case TransportError::Kind::kIdle:
      return "the stream was silent for too long";
    case TransportError::Kind::kCut:
      return "the connection was cut";
    case TransportError::Kind::kTooLarge:
      return "the reply is too long";
    case TransportError::Kind::kMalformed:
      return "the reply is no HTTP";
    case TransportError::Kind::kStopped:
      return "the client was stopped";
  }
  return "unknown";
}

struct Client::Impl {
  std::unique_ptr<Transport> transport;
  CredentialStore credentials;
  ClientCounters counters;
  ExchangeObserver* observer = nullptr;

  Reply exchange(const Request& request, const StreamReader* reader) {
    note(credentials.refresh(monotonic_now()));
    Reply reply = once(request, reader);
    // A CA that was renewed while the connection stood, or a token that ran out: each shows only
    // now. What is on disk decides whether a second try can be any better.
    const bool tls_failed = !reply && reply.error().kind == TransportError::Kind::kTls;
    const bool unauthorized = reply && reply->status == kUnauthorized;
    if ((tls_failed || unauthorized) && note(credentials.reload(monotonic_now()))) {
      if (unauthorized) ++counters.unauthorized_retries;
      reply = once(request, reader);
    }
    return reply;
  }

 private:
  Reply once(const Request& request, const StreamReader* reader) {
    ++counters.requests;
    const MonotonicTime began = monotonic_now();
    Reply reply = transport->exchange(request, credentials.current(), reader);
    if (observer != nullptr) {
      const MonotonicTime ended = monotonic_now();
      const MonotonicTime answered = reader ? transport->reply_began().value_or(ended) : ended;
      observer->on_exchange(request, reply, answered - began);
    }
    if (!reply) ++counters.failures;
    counters.connections = transport->connections();
    return reply;
  }

  bool note(bool renewed) {
    if (renewed) ++counters.credential_reloads;
    counters.credential_failures = credentials.failures();
    return renewed;
  }

  friend class Client;
};

Result<std::unique_ptr<Client>> Client::make(const ClientConfig& config) {
  auto credentials =
      CredentialStore::open(config.credentials, monotonic_now(), config.credentials_age);
  if (!credentials) return tl::unexpected(credentials.error());
  auto transport = Transport::make(config);
  if (!transport) return tl::unexpected(transport.error());
  auto impl = std::make_unique<Impl>();
  impl->transport = std::move(*transport);
  impl->credentials = std::move(*credentials);
  impl->observer = config.observer;
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

Reply Client::send(const Request& request) { return impl_->exchange(request, nullptr); }

Reply Client::stream(const Request& request, const OnData& on_data, Nanoseconds idle_deadline) {
  const StreamReader reader{&on_data, idle_deadline};
  return impl_->exchange(request, &reader);
}

void Client::keep_alive() {
  impl_->note(impl_->credentials.refresh(monotonic_now()));
  impl_->transport->ping();
}

void Client::stop() { impl_->transport->stop(); }

const ClientCounters& Client::counters() const { return impl_->counters; }
std::string_view Client::protocol() const { return impl_->transport->protocol(); }

}  // namespace plimsoll::kube
