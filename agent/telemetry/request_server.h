// SPDX-License-Identifier: Apache-2.0
//
// One request, one answer, over stream sockets, without blocking: what status_server (HTTP) and
// explain_server (a unix socket) have in common. Clients, the length of a request and the time of
// an exchange are bounded; when a client more comes than allowed, the oldest goes, so that clients
// that hold on to their connections keep nobody out.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

struct RequestServerOptions {
  std::size_t most_clients = 16;
  std::size_t longest_request = 4096;
  Nanoseconds exchange_within = std::chrono::seconds(5);
};

class RequestServer {
 public:
  struct Protocol {
    // May this peer ask? Absent: everybody.
    std::function<bool(int fd)> admit;
    // Is this the whole request?
    std::function<bool(std::string_view)> complete;
    // The answer to a whole request, or to the beginning of one that is too long. Empty: none.
    std::function<std::string(std::string_view request, bool whole)> answer;
  };

  // `listener` is a listening, non-blocking socket.
  static Result<RequestServer> make(Fd listener, const RequestServerOptions& options,
                                    Protocol protocol);

  // Readable when turn() has something to do, but for clients whose time is over.
  int poll_fd() const { return epoll_.get(); }
  // Does what can be done without waiting.
  void turn(MonotonicTime now);
  // When the first client's time is over.
  std::optional<MonotonicTime> next_deadline() const;
  std::size_t clients() const { return clients_.size(); }

 private:
  struct Client {
    Fd fd;
    MonotonicTime until;
    std::string request;
    std::string answer;
    std::size_t sent = 0;
    bool answered = false;  // answer is set, or there is none
    bool shut = false;      // everything was sent; waits for the peer to hang up
  };
  using Clients = std::list<Client>;  // the oldest first

  RequestServer(Fd listener, Fd epoll, const RequestServerOptions& options, Protocol protocol);
  void accept_all(MonotonicTime now);
  void add(Fd fd, MonotonicTime now);
  bool serve(Client& client);
  bool read_request(Client& client);
  bool write_answer(Client& client);

  Fd listener_;
  Fd epoll_;
  RequestServerOptions options_;
  Protocol protocol_;
  Clients clients_;
  bool deaf_ = false;  // no descriptors left: the listener is out of epoll until a turn later
};

}  // namespace plimsoll::agent
