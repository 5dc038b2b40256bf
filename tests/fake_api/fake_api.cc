// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/fake_api.h"

#include <stdexcept>
#include <utility>

#include "tests/fake_api/certificates.h"
#include "tests/fake_api/cluster.h"
#include "tests/fake_api/control.h"
#include "tests/fake_api/credentials_directory.h"
#include "tests/fake_api/http_server.h"
#include "tests/fake_api/list_api.h"
#include "tests/fake_api/object_api.h"
#include "tests/fake_api/pod_api.h"
#include "tests/fake_api/route.h"

namespace plimsoll::test {
namespace {

using std::chrono::hours;

constexpr std::string_view kGarbage = "\x15\x03\x01 this is no HTTP \xff\xfe\r\n\r\n";

VersionRules rules_of(const FakeApiOptions& options) {
  Result<VersionRules> rules = version_rules(options.version);
  if (!rules) throw std::runtime_error(rules.error().message);
  rules->resize_enabled = options.resize_enabled || rules->minor >= 35;
  return *rules;
}

Reply refused_route(const Route& route) {
  if (route.kind == Route::Kind::kWrongMethod) {
    return status_reply(405, "MethodNotAllowed",
                        "the server does not allow this method on the requested resource",
                        Json::object());
  }
  return status_reply(404, "NotFound", "the server could not find the requested resource",
                      Json::object());
}

Reply object_reply(Cluster& cluster, const HttpRequest& request, const Route& route,
                   const Identity& identity) {
  const std::string& verb = route.access.verb;
  const bool pods = route.resource == "pods";
  if (verb == "get") {
    return pods ? get_pod(cluster, request, route) : get_object(cluster, request, route);
  }
  if (verb == "create") {
    return pods ? create_pod(cluster, request, route)
                : create_object(cluster, request, route, identity);
  }
  if (verb == "delete") {
    return pods ? delete_pod(cluster, request, route) : delete_object(cluster, request, route);
  }
  return pods ? change_pod(cluster, request, route, identity)
              : change_object(cluster, request, route);
}

Reply gone_reply() {
  return status_reply(410, "Expired", "The resourceVersion for the provided watch is too old.");
}

}  // namespace

struct FakeApi::State {
  FakeApiOptions options;
  Cluster cluster;
  Faults faults;
  Traffic traffic;
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
  // `trusted`: it came over the control port, where no fault falls and the caller says who it is.
  void serve(const HttpRequest& request, Exchange& exchange, bool trusted);
  void answer(const HttpRequest& request, const Route& route, const Identity& identity,
              Exchange& exchange, int& status);
  bool misbehave(const Fault& fault, const Route& route, const Identity& identity,
                 Exchange& exchange, int& status);
  std::variant<Identity, Reply> who(const HttpRequest& request, bool trusted);
};

std::variant<Identity, Reply> FakeApi::State::who(const HttpRequest& request, bool trusted) {
  const std::lock_guard lock(cluster.mutex);
  if (!trusted) return cluster.gate.authenticate(request);
  const std::string user = request.header("x-fake-user");
  if (user.empty()) return Identity{"admin", {"system:masters"}, ""};
  return Identity{user, {user.rfind("system:node:", 0) == 0 ? "system:nodes" : ""}, ""};
}

// True when the fault was all the answer there is.
bool FakeApi::State::misbehave(const Fault& fault, const Route& route, const Identity& identity,
                               Exchange& exchange, int& status) {
  if (fault.delay.count() > 0 && !exchange.pause(fault.delay)) return true;
  Reply reply = fault.reply;
  switch (fault.kind) {
    case FaultKind::kDelay:
    case FaultKind::kLoseReply:
      return false;
    case FaultKind::kCut:
      exchange.cut_after(fault.bytes);
      return false;
    case FaultKind::kBlackHole:
      exchange.pause(hours(24));
      return true;
    case FaultKind::kReset:
      exchange.reset();
      return true;
    case FaultKind::kGarbage:
      exchange.raw(kGarbage);
      return true;
    case FaultKind::kGarbageBody:
      status = 200;
      exchange.reply(200, {{"Content-Type", "application/json"}}, "{\"kind\":\"Po\x01 <html>");
      return true;
    case FaultKind::kRefusal:
      reply = *refusal_reply(fault.refusal, route.access, identity.user);
      break;
    case FaultKind::kStatus:
      break;
    case FaultKind::kGone:
      reply = gone_reply();
      break;
    case FaultKind::kGoneEvent:
      status = 200;
      exchange.start(200, {{"Content-Type", "application/json"}});
      exchange.write(Json{{"type", "ERROR"}, {"object", gone_reply().body}}.dump() + "\n");
      exchange.finish();
      return true;
  }
  if (fault.retry_after) reply.headers["Retry-After"] = std::to_string(*fault.retry_after);
  status = reply.status;
  send(exchange, reply);
  return true;
}

void FakeApi::State::answer(const HttpRequest& request, const Route& route,
                            const Identity& identity, Exchange& exchange, int& status) {
  const auto say = [&](const Reply& reply) {
    status = reply.status;
    send(exchange, reply);
  };
  if (route.kind == Route::Kind::kOther) {
    std::unique_lock lock(cluster.mutex);
    const Reply reply = get_other(cluster, request);
    lock.unlock();
    return say(reply);
  }
  if (route.kind != Route::Kind::kResource) return say(refused_route(route));
  {
    std::unique_lock lock(cluster.mutex);
    if (!cluster.gate.allows(identity, route.access)) {
      lock.unlock();
      return say(Gate::refusal(identity, route.access));
    }
  }
  if (route.access.verb == "watch") {
    status = 200;
    status = watch_objects(cluster, request, route, exchange);
    return;
  }
  if (route.access.verb == "list") return say(list_objects(cluster, request, route));
  std::unique_lock lock(cluster.mutex);
  const Reply reply = object_reply(cluster, request, route, identity);
  lock.unlock();
  say(reply);
}

void FakeApi::State::serve(const HttpRequest& request, Exchange& exchange, bool trusted) {
  const Route route = route_of(request, cluster.rules.has_resize_subresource());
  const auto identity = who(request, trusted);
  const auto* known = std::get_if<Identity>(&identity);
  const std::string user = known != nullptr ? known->user : "";
  Access access = route.access;
  if (access.resource.empty()) access.resource = request.path.substr(1);
  if (access.verb.empty()) access.verb = "get";
  std::size_t record = 0;
  if (!trusted) {
    RequestRecord entry{{},
                        request.method,
                        request.target,
                        access,
                        user,
                        request.body,
                        0,
                        {},
                        request.parameter("dryRun") == "All"};
    record = traffic.begin(std::move(entry));
  }
  const std::optional<Fault> fault = trusted ? std::nullopt : faults.take(access, user);
  int status = 0;
  if (!fault || !misbehave(*fault, route, known ? *known : Identity{}, exchange, status)) {
    if (const auto* refused = std::get_if<Reply>(&identity)) {
      status = refused->status;
      send(exchange, *refused);
    } else if (fault && fault->kind == FaultKind::kLoseReply) {
      exchange.cut_after(0);
      answer(request, route, *known, exchange, status);
      status = 0;
    } else {
      answer(request, route, *known, exchange, status);
    }
  }
  if (!trusted) traffic.end(record, status);
}

FakeApi::FakeApi(FakeApiOptions options) : state_(std::make_unique<State>(std::move(options))) {
  State& state = *state_;
  state.cluster.rules = rules_of(state.options);
  state.cluster.bookmark_interval = state.options.bookmark_interval;
  state.cluster.future_list_wait = state.options.future_list_wait;
  state.cluster.gate.set_rules(state.options.agent, agent_rules());
  state.cluster.gate.add_token(state.admin_token, {"admin", {"system:masters"}, ""});
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
    const std::lock_guard lock(state_->cluster.mutex);
    state_->cluster.stopping = true;
  }
  state_->cluster.changed.notify_all();
  state_->server->stop();
  state_->control->stop();
}

std::uint16_t FakeApi::port() const { return state_->server->port(); }
std::uint16_t FakeApi::control_port() const { return state_->control->port(); }
std::string FakeApi::url() const { return "https://127.0.0.1:" + std::to_string(port()); }
const std::string& FakeApi::directory() const { return state_->directory.path(); }
const std::string& FakeApi::token() const { return state_->token; }
const std::string& FakeApi::admin_token() const { return state_->admin_token; }

namespace {

// Keeps what would be sent.
class KeptExchange : public Exchange {
 public:
  bool reply(int status, const Headers& headers, std::string_view body) override {
    start(status, headers);
    return write(body);
  }
  bool start(int status, const Headers& headers) override {
    kept.status = status;
    kept.headers = headers;
    return true;
  }
  bool write(std::string_view piece) override {
    kept.text += piece;
    return true;
  }
  bool finish() override { return true; }
  void cut_after(std::size_t /*bytes*/) override {}
  void raw(std::string_view /*bytes*/) override {}
  void reset() override {}
  bool pause(std::chrono::nanoseconds /*time*/) override { return true; }

  Reply kept;
};

}  // namespace

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
  const std::lock_guard lock(state_->cluster.mutex);
  state_->cluster.store.restore(resource, object);
  state_->cluster.changed.notify_all();
}

Json FakeApi::object(const std::string& resource, const std::string& space,
                     const std::string& name) const {
  const std::lock_guard lock(state_->cluster.mutex);
  const Object found = state_->cluster.store.find(resource, space, name);
  return found ? *found : Json();
}

std::vector<Json> FakeApi::objects(const std::string& resource) const {
  const std::lock_guard lock(state_->cluster.mutex);
  std::vector<Json> all;
  for (const Object& object : state_->cluster.store.list(resource)) all.push_back(*object);
  return all;
}

void FakeApi::add_fault(Fault fault) { state_->faults.add(std::move(fault)); }
void FakeApi::clear_faults() { state_->faults.clear(); }
std::vector<RequestRecord> FakeApi::requests() const { return state_->traffic.all(); }
void FakeApi::clear_requests() { state_->traffic.clear(); }

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
  const std::lock_guard lock(state_->cluster.mutex);
  // The version moves on, so that the one that was the newest is too old as well.
  state_->cluster.store.skip(1);
  state_->cluster.store.forget_changes();
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
  const std::lock_guard lock(state_->cluster.mutex);
  state_->cluster.gate.expire_token(token);
}

void FakeApi::add_token(const std::string& token, Identity identity,
                        std::optional<std::chrono::steady_clock::duration> valid_for) {
  const std::lock_guard lock(state_->cluster.mutex);
  state_->cluster.gate.add_token(token, std::move(identity), valid_for);
}

void FakeApi::set_rules(const std::string& user, std::vector<Rule> rules) {
  const std::lock_guard lock(state_->cluster.mutex);
  state_->cluster.gate.set_rules(user, std::move(rules));
}

void FakeApi::bind_to_node(const std::string& user) {
  const std::lock_guard lock(state_->cluster.mutex);
  state_->cluster.node_bound_users.push_back(user);
}

}  // namespace plimsoll::test
