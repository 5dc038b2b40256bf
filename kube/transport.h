// SPDX-License-Identifier: Apache-2.0
//
// One HTTP exchange at a time over one kept TLS connection: what kube/client adds credentials and
// their renewal to. libcurl stays behind it. One thread uses it; stop() may come from any.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "kube/client.h"
#include "kube/client_config.h"
#include "kube/credentials.h"
#include "kube/http.h"

namespace plimsoll::kube {

// The sockets of a transport, so that another thread can end what waits on them: shutdown(2) is
// what a thread inside libcurl's easy interface notices at once.
class OpenSockets {
 public:
  // The descriptor, or -1 after stop().
  int open(int family, int type, int protocol);
  int close(int fd);
  void stop();
  bool stopped() const { return stopped_.load(std::memory_order_acquire); }

 private:
  std::mutex mutex_;  // stop() must not shut down a descriptor that was closed and is another's now
  std::vector<int> open_;
  std::atomic<bool> stopped_ = false;
};

// Where a stream's body goes, and how long it may be silent.
struct StreamReader {
  const Client::OnData* on_data = nullptr;
  Nanoseconds idle_deadline{};
};

class Transport {
 public:
  // kMalformed: `server` is no https URL, or has a user, a query or a fragment.
  static Result<std::unique_ptr<Transport>> make(const ClientConfig& config);

  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  ~Transport();

  // `reader` null: the whole body is in the Response.
  Reply exchange(const Request& request, const Credentials& credentials,
                 const StreamReader* reader);
  void ping();
  void stop() { sockets_.stop(); }
  bool stopped() const { return sockets_.stopped(); }

  // Of the last exchange; absent: nothing came.
  std::optional<MonotonicTime> reply_began() const { return reply_began_; }
  std::uint64_t connections() const { return connections_; }
  std::string_view protocol() const { return protocol_; }

 private:
  struct Exchange;
  struct FreeEasy {
    void operator()(void* easy) const;
  };

  Transport() = default;
  void set_constants(const ClientConfig& config);
  void set_tls(const Credentials& credentials);
  void set_request(const Request& request);
  void set_deadline(const Request& request, bool is_stream);

  struct FreeList {
    void operator()(void* list) const;
  };

  OpenSockets sockets_;  // outlives the handle that closes sockets through it
  std::unique_ptr<void, FreeList> connect_list_;  // curl_slist, likewise
  std::unique_ptr<void, FreeEasy> easy_;          // CURL
  std::string base_;         // scheme, name, port, path without a slash at its end
  std::string host_header_;  // where the URL's name is not the server's
  std::string connect_to_;   // likewise
  Credentials tls_;          // what the handle has; the token is not in it
  bool tls_set_ = false;
  bool fresh_ = true;  // the next exchange opens a new connection
  std::optional<MonotonicTime> reply_began_;
  std::uint64_t connections_ = 0;
  std::string_view protocol_;
};

}  // namespace plimsoll::kube
