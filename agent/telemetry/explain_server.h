// SPDX-License-Identifier: Apache-2.0
//
// The agent's end of `plimsoll explain`: a unix socket that only root can use. It lives on the slow
// loop, whose data it shows: poll_fd() goes into the loop's epoll, turn() is called when it is
// readable and at every tick. Nothing in it blocks; clients, their requests and their time are
// bounded.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

inline constexpr const char* kExplainSocket = "/run/plimsoll/agent.sock";

struct ExplainRequest {
  std::string name_space;
  std::string pod;
  std::string container;  // empty: all

  bool operator==(const ExplainRequest&) const = default;
};
std::string to_line(const ExplainRequest& request);  // one JSON object and a newline
Result<ExplainRequest> parse_explain_request(std::string_view line);

class ExplainServer {
 public:
  // What is to be said; explain_json() in the agent.
  using Answer = std::function<std::string(const ExplainRequest&)>;

  // Makes the socket (mode 0600); a stale one is replaced, a live one is an error.
  static Result<std::unique_ptr<ExplainServer>> open(const std::string& path, Answer answer);
  // Removes the socket.
  ~ExplainServer();
  ExplainServer(const ExplainServer&) = delete;
  ExplainServer& operator=(const ExplainServer&) = delete;

  int poll_fd() const;
  void turn(MonotonicTime now);

 private:
  struct Impl;
  explicit ExplainServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace plimsoll::agent
