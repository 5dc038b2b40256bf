// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/api_service.h"

#include <chrono>
#include <string_view>
#include <utility>

#include "tests/fake_api/exchanges.h"
#include "tests/fake_api/list_api.h"
#include "tests/fake_api/object_api.h"
#include "tests/fake_api/pod_api.h"
#include "tests/fake_api/pod_life.h"

namespace plimsoll::test {
namespace {

constexpr std::string_view kGarbage = "\x15\x03\x01 this is no HTTP \xff\xfe\r\n\r\n";

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

std::variant<Identity, Reply> ApiService::who(const HttpRequest& request, bool trusted) {
  const std::lock_guard lock(cluster.mutex);
  if (!trusted) return cluster.gate.authenticate(request);
  const std::string user = request.header("x-fake-user");
  if (user.empty()) return Identity{"admin", {"system:masters"}, ""};
  return Identity{user, {user.rfind("system:node:", 0) == 0 ? "system:nodes" : ""}, ""};
}

bool ApiService::misbehave(const Fault& fault, const Route& route, const Identity& identity,
                           Exchange& exchange) {
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
      exchange.pause(std::chrono::hours(24));
      return true;
    case FaultKind::kReset:
      exchange.reset();
      return true;
    case FaultKind::kGarbage:
      exchange.raw(kGarbage);
      return true;
    case FaultKind::kGarbageBody:
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
      exchange.start(200, {{"Content-Type", "application/json"}});
      exchange.write(Json{{"type", "ERROR"}, {"object", gone_reply().body}}.dump() + "\n");
      exchange.finish();
      return true;
  }
  if (fault.retry_after) reply.headers["Retry-After"] = std::to_string(*fault.retry_after);
  send(exchange, reply);
  return true;
}

void ApiService::answer(const HttpRequest& request, const Route& route, const Identity& identity,
                        Exchange& exchange) {
  std::unique_lock lock(cluster.mutex);
  Reply reply;
  if (route.kind == Route::Kind::kOther) {
    reply = get_other(cluster, request);
  } else if (route.kind != Route::Kind::kResource) {
    reply = refused_route(route);
  } else if (!cluster.gate.allows(identity, route.access)) {
    reply = Gate::refusal(identity, route.access);
  } else if (route.access.verb == "watch") {
    lock.unlock();
    watch_objects(cluster, request, route, exchange);
    return;
  } else if (route.access.verb == "list") {
    lock.unlock();
    send(exchange, list_objects(cluster, request, route));
    return;
  } else {
    reply = object_reply(cluster, request, route, identity);
  }
  lock.unlock();
  send(exchange, reply);
}

void ApiService::serve(const HttpRequest& request, Exchange& plain, bool trusted) {
  const Route route = route_of(request, cluster.rules.has_resize_subresource());
  const auto identity = who(request, trusted);
  const auto* known = std::get_if<Identity>(&identity);
  const std::string user = known != nullptr ? known->user : "";
  Access access = route.access;
  if (access.resource.empty()) access.resource = request.path.substr(1);
  if (access.verb.empty()) access.verb = "get";
  std::optional<std::size_t> record;
  std::optional<Fault> fault;
  if (!trusted) {
    record = traffic.begin({{},
                            request.method,
                            request.target,
                            access,
                            user,
                            request.body,
                            0,
                            {},
                            request.parameter("dryRun") == "All"});
    fault = faults.take(access, user);
  }
  const bool lost = fault && fault->kind == FaultKind::kLoseReply;
  ToldExchange exchange(plain, [&](int status) {
    // A lost answer is none.
    if (record) traffic.end(*record, lost ? 0 : status);
  });
  if (fault && misbehave(*fault, route, known != nullptr ? *known : Identity{}, exchange)) return;
  if (lost) exchange.cut_after(0);
  if (const auto* refused = std::get_if<Reply>(&identity)) {
    send(exchange, *refused);
  } else {
    answer(request, route, *known, exchange);
  }
}

}  // namespace plimsoll::test
