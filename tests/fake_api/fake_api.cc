// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/fake_api.h"

#include <stdexcept>
#include <utility>

#include "tests/fake_api/api_service.h"
#include "tests/fake_api/certificates.h"
#include "tests/fake_api/control.h"
#include "tests/fake_api/credentials_directory.h"
#include "tests/fake_api/exchanges.h"
#include "tests/fake_api/http_server.h"
#include "tests/fake_api/list_api.h"

namespace plimsoll::test {
namespace {

VersionRules rules_of(const FakeApiOptions& options) {
  Result<VersionRules> rules = version_rules(options.version);
  if (!rules) throw std::runtime_error(rules.error().message);
  rules->resize_enabled = options.resize_enabled || rules->minor >= 35;
  return *rules;
}

}  // namespace

struct FakeApi::State {
  FakeApiOptions options;
  ApiService service;
  Authority authority;
  CredentialsDirectory directory;
  std::string token;
  std::string admin_token = "admin-" + random_suffix(16);
  std::unique_ptr<HttpServer> server;
  std::unique_ptr<HttpServer> control;

  explicit State(FakeApiOptions given) : options(std::move(given)), directory(options.directory) {}

  Identity agent() const {
    return {options.agent,
            {"system:serviceaccounts", "system:serviceaccounts:" + options.agent_namespace,
             "system:authenticated"},
            options.node};
  }
  void serve(const HttpRequest& request, Exchange& exchange, bool trusted) {
    service.serve(request, exchange, trusted);
  }
};

FakeApi::FakeApi(FakeApiOptions options) : state_(std::make_unique<State>(std::move(options))) {
  State& state = *state_;
  state.service.cluster.rules = rules_of(state.options);
  state.service.cluster.bookmark_interval = state.options.bookmark_interval;
  state.service.cluster.future_list_wait = state.options.future_list_wait;
  state.service.cluster.gate.set_rules(
      state.options.agent, agent_rules(state.service.cluster.rules.pod_takes_resources()));
  state.service.cluster.gate.add_token(state.admin_token, {"admin", {"system:masters"}, ""});
  const KeyPair pair = state.authority.server();
  state.server = std::make_unique<HttpServer>(
      [&state](const HttpRequest& request, Exchange& exchange) {
        state.serve(request, exchange, false);
      },
      state.options.port, &pair, state.authority.certificate());
  state.control = std::make_unique<HttpServer>(
      [this, &state](const HttpRequest& request, Exchange& exchange) {
        if (request.path.rfind("/fake/", 0) == 0) {
          send(exchange, control_reply(*this, request));
        } else {
          state.serve(request, exchange, true);
        }
      },
      state.options.control_port, nullptr);
  rotate_token();
}

FakeApi::~FakeApi() {
  {
    const std::lock_guard lock(state_->service.cluster.mutex);
    state_->service.cluster.stopping = true;
  }
  state_->service.cluster.changed.notify_all();
  state_->server->stop();
  state_->control->stop();
}

std::uint16_t FakeApi::port() const { return state_->server->port(); }
std::uint16_t FakeApi::control_port() const { return state_->control->port(); }
std::string FakeApi::url() const { return "https://127.0.0.1:" + std::to_string(port()); }
const std::string& FakeApi::directory() const { return state_->directory.path(); }
const std::string& FakeApi::token() const { return state_->token; }
const std::string& FakeApi::admin_token() const { return state_->admin_token; }

Reply FakeApi::request(const std::string& method, const std::string& target, const Json& body,
                       const std::string& content_type) {
  HttpRequest request;
  request.method = method;
  request.target = target;
  const std::size_t mark = target.find('?');
  request.path = target.substr(0, mark);
  if (mark != std::string::npos) request.query = query_of(target.substr(mark + 1));
  request.headers["user-agent"] = "test/1";
  if (method == "PATCH") request.headers["content-type"] = content_type;
  if (!body.is_null()) request.body = body.dump();
  KeptExchange exchange;
  state_->serve(request, exchange, true);
  exchange.kept.body = Json::parse(exchange.kept.text, nullptr, false);
  return exchange.kept;
}

Reply FakeApi::serve(const HttpRequest& request) {
  KeptExchange exchange;
  state_->serve(request, exchange, false);
  exchange.kept.body = Json::parse(exchange.kept.text, nullptr, false);
  return exchange.kept;
}

Reply FakeApi::create_pod(const Json& object) {
  const Json& metadata = member(object, "metadata");
  std::string space = text_at(metadata, "namespace");
  if (space.empty()) space = "default";
  Reply created = request("POST", "/api/v1/namespaces/" + space + "/pods", object);
  if (created.status != 201 || !member(object, "status").is_object()) return created;
  return request("PATCH",
                 "/api/v1/namespaces/" + space + "/pods/" +
                     text_at(created.body["metadata"], "name") + "/status",
                 {{"status", object["status"]}});
}

void FakeApi::restore(const std::string& resource, const Json& object) {
  const std::lock_guard lock(state_->service.cluster.mutex);
  state_->service.cluster.store.restore(resource, object);
  state_->service.cluster.changed.notify_all();
}

Json FakeApi::object(const std::string& resource, const std::string& space,
                     const std::string& name) const {
  const std::lock_guard lock(state_->service.cluster.mutex);
  const Object found = state_->service.cluster.store.find(resource, space, name);
  return found ? *found : Json();
}

std::vector<Json> FakeApi::objects(const std::string& resource) const {
  const std::lock_guard lock(state_->service.cluster.mutex);
  std::vector<Json> all;
  for (const Object& object : state_->service.cluster.store.list(resource)) all.push_back(*object);
  return all;
}

void FakeApi::add_fault(Fault fault) { state_->service.faults.add(std::move(fault)); }
void FakeApi::clear_faults() { state_->service.faults.clear(); }
std::vector<RequestRecord> FakeApi::requests() const { return state_->service.traffic.all(); }
void FakeApi::clear_requests() { state_->service.traffic.clear(); }

std::size_t FakeApi::count(const std::string& verb, const std::string& resource) const {
  std::size_t found = 0;
  for (const RequestRecord& record : requests()) {
    if ((verb == "*" || record.access.verb == verb) &&
        (resource == "*" || record.access.resource == resource)) {
      ++found;
    }
  }
  return found;
}

void FakeApi::go() { state_->server->go(); }
void FakeApi::back() { state_->server->back(); }
void FakeApi::break_connections() { state_->server->break_connections(); }

void FakeApi::set_silent(bool silent) {
  state_->server->set_silent(silent);
  state_->server->break_connections();
}

void FakeApi::forget_changes() {
  const std::lock_guard lock(state_->service.cluster.mutex);
  // The version moves on, so that the one that was the newest is too old as well.
  state_->service.cluster.store.skip(1);
  state_->service.cluster.store.forget_changes();
}

void FakeApi::restart() {
  go();
  forget_changes();
  back();
}

void FakeApi::rotate_authority(bool publish) {
  state_->authority = Authority("fake-apiserver-ca-" + random_suffix(5));
  state_->server->set_tls(state_->authority.server(), state_->authority.certificate());
  state_->server->break_connections();
  if (!publish) return;
  state_->directory.publish(state_->authority.certificate(), state_->token,
                            state_->options.agent_namespace);
}

std::string FakeApi::rotate_token() {
  state_->token = "agent-" + random_suffix(24);
  add_token(state_->token, state_->agent());
  const std::string& authority = state_->authority.certificate();
  state_->directory.publish(authority, state_->token, state_->options.agent_namespace);
  state_->directory.publish_kubeconfigs(port(), authority, state_->token,
                                        state_->authority.client("admin", {"system:masters"}));
  return state_->token;
}

void FakeApi::expire_token(const std::string& token) {
  const std::lock_guard lock(state_->service.cluster.mutex);
  state_->service.cluster.gate.expire_token(token);
}

void FakeApi::add_token(const std::string& token, Identity identity,
                        std::optional<std::chrono::steady_clock::duration> valid_for) {
  const std::lock_guard lock(state_->service.cluster.mutex);
  state_->service.cluster.gate.add_token(token, std::move(identity), valid_for);
}

void FakeApi::set_rules(const std::string& user, std::vector<Rule> rules) {
  const std::lock_guard lock(state_->service.cluster.mutex);
  state_->service.cluster.gate.set_rules(user, std::move(rules));
}

void FakeApi::bind_to_node(const std::string& user) {
  const std::lock_guard lock(state_->service.cluster.mutex);
  state_->service.cluster.node_bound_users.push_back(user);
}

}  // namespace plimsoll::test
