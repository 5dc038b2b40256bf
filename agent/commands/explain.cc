// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/explain.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <ostream>

#include "agent/commands/explain_table.h"
#include "agent/telemetry/unix_socket.h"

namespace plimsoll::agent {
namespace {

// More than an agent remembers of one pod.
constexpr std::size_t kLongestAnswer = 16 * kMiB;

Result<ExplainRequest> request_of(const ExplainOptions& options) {
  const std::size_t slash = options.pod.find('/');
  ExplainRequest request{.container = options.container};
  if (slash != std::string::npos) {
    request.name_space = options.pod.substr(0, slash);
    request.pod = options.pod.substr(slash + 1);
  }
  if (request.name_space.empty() || request.pod.empty() ||
      request.pod.find('/') != std::string::npos) {
    return fail(Code::kMalformed, "\"" + options.pod + "\" is not NAMESPACE/POD");
  }
  return request;
}

Result<std::string> ask(const ExplainRequest& request, const ExplainOptions& options) {
  const auto socket = connect_to(options.socket, options.within);
  if (!socket) return tl::unexpected(socket.error());
  const std::string line = to_line(request);
  // A line is far shorter than a socket's buffer: it goes in one piece.
  if (::send(socket->get(), line.data(), line.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(line.size())) {
    return errno_error(errno, "ask the agent");
  }
  std::string answer;
  std::array<char, 4096> piece{};
  while (true) {
    const ssize_t got = ::recv(socket->get(), piece.data(), piece.size(), 0);
    if (got == 0) break;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      return fail(Code::kUnavailable, "the agent did not answer within " +
                                          to_string(options.within) +
                                          ": its loop is busy or hangs");
    }
    if (got < 0) return errno_error(errno, "hear the agent");
    answer.append(piece.data(), static_cast<std::size_t>(got));
    if (answer.size() > kLongestAnswer) return fail(Code::kMalformed, "the answer is too long");
  }
  // It closes without a word on who is not root.
  if (answer.empty()) return fail(Code::kDenied, "the agent answers nobody but root");
  return answer;
}

void say_what_to_do(std::ostream& err, const ExplainOptions& options, const Error& error) {
  err << "plimsoll: " << error.message << '\n';
  if (error.code == Code::kGone) {
    err << "plimsoll: is the agent running on this node? `plimsoll explain` asks the agent of the "
           "pod's own node, as root, through "
        << options.socket << " (--socket); in a cluster: kubectl exec into the agent's pod\n";
  }
}

}  // namespace

int explain(const ExplainOptions& options, std::ostream& out, std::ostream& err) {
  const auto request = request_of(options);
  if (!request) {
    err << "plimsoll: " << request.error().message << '\n';
    return kExplainUsage;
  }
  const auto answer = ask(*request, options);
  if (!answer) {
    say_what_to_do(err, options, answer.error());
    return kExplainNoAgent;
  }
  const auto json = nlohmann::json::parse(*answer, nullptr, false);
  if (json.is_object() && json.contains("error")) {
    err << "plimsoll: the agent refused the question: " << json.at("error").dump() << '\n';
    return kExplainUsage;
  }
  const auto table = explain_table(*answer);
  if (!table) {
    err << "plimsoll: " << table.error().message << '\n';
    return kExplainNoAgent;
  }
  if (json.at("containers").empty()) {
    err << "plimsoll: the agent of this node knows no pod " << options.pod
        << (options.container.empty() ? "" : " with a container " + options.container) << '\n';
    return kExplainNoSuchPod;
  }
  out << (options.json ? *answer + "\n" : *table);
  return kExplainFound;
}

}  // namespace plimsoll::agent
