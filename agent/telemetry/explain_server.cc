// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/explain_server.h"

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "agent/telemetry/request_server.h"
#include "agent/telemetry/unix_socket.h"

namespace plimsoll::agent {
namespace {

constexpr std::size_t kMostClients = 8;

std::string error_json(const std::string& what) {
  return nlohmann::json{{"error", what}}.dump(-1, ' ', false,
                                              nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string to_line(const ExplainRequest& request) {
  const nlohmann::json json{
      {"namespace", request.name_space}, {"pod", request.pod}, {"container", request.container}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Result<ExplainRequest> parse_explain_request(std::string_view line) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object()) return fail(Code::kMalformed, "the request is no JSON object");
  ExplainRequest request;
  for (const auto& [key, member] :
       {std::pair("namespace", &request.name_space), std::pair("pod", &request.pod),
        std::pair("container", &request.container)}) {
    const auto found = json.find(key);
    if (found == json.end()) continue;
    if (!found->is_string()) {
      return fail(Code::kMalformed, std::string("the request's ") + key + " is no string");
    }
    *member = found->get<std::string>();
  }
  if (request.name_space.empty() || request.pod.empty()) {
    return fail(Code::kMalformed, "the request names no pod");
  }
  return request;
}

struct ExplainServer::Impl {
  Impl(std::string at, RequestServer made) : path(std::move(at)), server(std::move(made)) {}

  std::string path;
  RequestServer server;
};

Result<std::unique_ptr<ExplainServer>> ExplainServer::open(const std::string& path, Answer answer) {
  auto listener = listen_at(path, static_cast<int>(kMostClients));
  if (!listener) return tl::unexpected(listener.error());
  const auto answer_to = [answer = std::move(answer)](std::string_view line, bool whole) {
    if (!whole) return error_json("the request is too long");
    const auto request = parse_explain_request(line);
    return request ? answer(*request) : error_json(request.error().message);
  };
  auto server = RequestServer::make(
      std::move(*listener), {.most_clients = kMostClients},
      {.admit = is_trusted_peer,
       .complete = [](std::string_view text) { return text.find('\n') != std::string_view::npos; },
       .answer = answer_to});
  if (!server) {
    ::unlink(path.c_str());
    return tl::unexpected(server.error());
  }
  return std::unique_ptr<ExplainServer>(
      new ExplainServer(std::make_unique<Impl>(path, std::move(*server))));
}

ExplainServer::ExplainServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ExplainServer::~ExplainServer() { ::unlink(impl_->path.c_str()); }

int ExplainServer::poll_fd() const { return impl_->server.poll_fd(); }

void ExplainServer::turn(MonotonicTime now) { impl_->server.turn(now); }

}  // namespace plimsoll::agent
