// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api_unit/recorded_world.h"

#include <functional>
#include <map>

#include "tests/fake_api/strategic_merge.h"

namespace plimsoll::test {
namespace {

constexpr const char* kResizer = "system:serviceaccount:demo:resizer";
constexpr const char* kReader = "system:serviceaccount:demo:reader";

struct Bearer {
  std::string header;  // of Authorization; empty: none
};

// By the beginning of the recorded identity.
const std::map<std::string, Bearer>& bearers() {
  static const std::map<std::string, Bearer> kBearers{
      {"system:node:node-a", {"Bearer node-a"}},
      {kResizer, {"Bearer resizer"}},
      {"demo:resizer, token bound to pod agent-a on node-a", {"Bearer resizer"}},
      {"demo:resizer, unbound token", {"Bearer unbound"}},
      {kReader, {"Bearer reader"}},
      {"system:serviceaccount:other:default", {"Bearer other"}},
      {"none", {""}},
      {"bad-signature", {"Bearer nobody"}},
      {"bad", {"Bearer nobody"}},
      {"other-audience", {"Bearer nobody"}},
      {"nbf in future", {"Bearer nobody"}},
      {"expired JWT", {"Bearer expired"}},
      {"resizer, bound to deleted pod", {"Bearer expired"}},
      {"empty bearer", {"Bearer "}}};
  return kBearers;
}

Json patched(const Json& pod, const Json& patch) {
  return std::get<Json>(strategic_merge(pod, patch));
}

// A pod that no recording shows in the state that is needed: that of another, changed.
Json renamed(const char* name, const Json& patch = Json::object()) {
  Json pod = pod_in("01-create-pod-and-status", 2);
  pod["metadata"]["name"] = name;
  pod["metadata"]["uid"] = std::string("00000000-0000-4000-8000-") + std::string(12, '0');
  return patched(pod, patch);
}

Json with_limit(const Json& pod, const char* memory) {
  Json limits{{"limits", {{"memory", memory}}}};
  if (memory == nullptr) limits["limits"] = nullptr;
  Json app{{"name", "app"}, {"resources", limits}};
  return patched(pod, {{"spec", {{"containers", Json::array({app})}}}});
}

using MakePod = std::function<Json()>;

// State that neither the answer nor an earlier recording tells, by the beginning of the name.
const std::map<std::string, MakePod>& other_states() {
  static const auto kTwoContainers = [] { return undone(pod_in("21e-setElementOrder", 0)); };
  static const auto kWeb = [] { return undone(pod_in("29c-right-uid-and-rv", 0)); };
  static const auto kMixedB = [] { return undone(pod_in("34d-sidecar-undeclared", 0)); };
  static const std::map<std::string, MakePod> kStates{
      {"20-guaranteed", [] { return undone(pod_in("20b-guaranteed-both", 0)); }},
      {"20c-",
       [] {
         Json pod = renamed("besteffort", {{"status", {{"qosClass", "BestEffort"}}}});
         pod["spec"]["containers"][0]["resources"] = Json::object();
         return pod;
       }},
      {"20e-",
       [] {
         return renamed("bu",
                        {{"spec",
                          {{"containers",
                            Json::array({{{"name", "app"},
                                          {"resources", {{"requests", {{"cpu", "500m"}}}}}}})}}}});
       }},
      {"21-", kTwoContainers},
      {"21b-", kTwoContainers},
      {"21c-", kTwoContainers},
      {"21d-", kTwoContainers},
      {"25-", [] { return undone(pod_in("25c-limitrange-ok", 0)); }},
      {"25b-", [] { return undone(pod_in("25c-limitrange-ok", 0)); }},
      {"26-", [] { return undone(pod_in("26b-quota-ok", 0)); }},
      {"27", [] { return undone(pod_in("27-rbac-resizer-ok", 0)); }},
      {"29-", kWeb},
      {"29b-", kWeb},
      {"29c-", kWeb},
      {"29d-", kWeb},
      {"29e-", kWeb},
      {"29f-", kWeb},
      {"34c-", kMixedB},
      {"36-", [] { return undone(pod_in("36b-limit-above-node", 0)); }},
      {"37-",
       [] {
         return renamed("lost", {{"spec", {{"nodeName", "node-gone"}}}});
       }},
      {"38-",
       [] {
         Json pod = renamed("oldkubelet");
         pod["status"]["containerStatuses"][0].erase("resources");
         return pod;
       }},
      {"39-", [] { return with_limit(undone(pod_in("39-unbound-pod", 0)), "256Mi"); }},
      {"39b-", [] { return with_limit(undone(pod_in("39b-bound-not-started", 0)), "256Mi"); }},
      {"60b-", [] { return undone(pod_in("90-vap-node-bound-resize", 6)); }},
      {"65-", [] { return undone(pod_in("61-two-resizes-in-flight", 0)); }},
      {"v4-",
       [] {
         Json pod = undone(pod_in("v4b-limit-larger-than-node", 0));
         pod["metadata"]["name"] = "p5";
         return pod;
       }},
      {"70c-",
       [] {
         Json pod = undone(pod_in("70c-podlevel-container-undeclared", 0));
         pod["spec"]["containers"][0]["resources"]["requests"]["memory"] = "64Mi";
         return pod;
       }},
      {"70b-", [] { return undone(pod_in("70c-podlevel-container-undeclared", 0)); }}};
  return kStates;
}

std::optional<Json> state_before(const RecordedExchange& exchange) {
  // What earlier answers of the same recording tell goes before all.
  if (exchange.recording.rfind("90-", 0) == 0 && exchange.status == 403) {
    if (exchange.request.path.find("/nonode/") != std::string::npos) {
      return renamed("nonode", {{"spec", {{"nodeName", nullptr}}}});
    }
    if (exchange.request.path.find("/onb/") != std::string::npos) {
      return undone(pod_in("90-vap-node-bound-resize", 6));
    }
  }
  if (exchange.recording.rfind("27-", 0) != 0) {
    for (const auto& [prefix, make] : other_states()) {
      if (exchange.recording.rfind(prefix, 0) == 0) return make();
    }
  }
  return pod_before(exchange);
}

Json limit_range() {
  return {{"kind", "LimitRange"},
          {"apiVersion", "v1"},
          {"metadata", {{"name", "lr"}, {"namespace", "limited"}}},
          {"spec",
           {{"limits", Json::array({{{"type", "Container"},
                                     {"max", {{"memory", "512Mi"}}},
                                     {"maxLimitRequestRatio", {{"memory", "4"}}}}})}}}};
}

}  // namespace

RecordedWorld::RecordedWorld()
    : api_([] {
        FakeApiOptions options;
        options.future_list_wait = std::chrono::milliseconds(1);
        return options;
      }()) {
  const std::vector<std::string> accounts{"system:serviceaccounts", "system:authenticated"};
  api_.add_token("node-a", {"system:node:node-a", {"system:nodes"}, ""});
  api_.add_token("resizer", {kResizer, accounts, "node-a"});
  api_.add_token("unbound", {kResizer, accounts, ""});
  api_.add_token("reader", {kReader, accounts, ""});
  api_.add_token("other", {"system:serviceaccount:other:default", accounts, ""});
  api_.add_token("expired", {kResizer, accounts, "node-a"}, std::chrono::seconds(0));
  api_.set_rules(kResizer, {{{"get", "list", "watch"}, {"pods"}, ""},
                            {{"patch"}, {"pods/resize"}, ""},
                            {{"create", "patch"}, {"events"}, ""}});
  api_.set_rules(kReader, {{{"get", "list", "watch"}, {"pods"}, ""}});
  for (const char* node : {"00-node-node-a", "00-node-node-b"}) {
    api_.restore("nodes", exchanges_of(node).at(1).body);
  }
  // The real node of the v recordings, from what v4 says that it can allocate.
  Json real = exchanges_of("00-node-node-a").at(1).body;
  real["metadata"]["name"] = "vm1";
  real["status"]["allocatable"]["memory"] = "3070611456";
  api_.restore("nodes", real);
  api_.restore("limitranges", limit_range());
}

void RecordedWorld::prepare(const RecordedExchange& exchange) {
  if (exchange.recording.rfind("90-", 0) == 0) api_.bind_to_node(kResizer);
  if (exchange.recording.rfind("26", 0) == 0 && api_.objects("resourcequotas").empty()) {
    api_.restore("resourcequotas", exchanges_of("26-quota-exceeded").at(0).body);
  }
  if (const auto pod = state_before(exchange)) api_.restore("pods", *pod);
  if (exchange.request.method == "POST" && exchange.request.path == "/api/v1/nodes") {
    const Json node = Json::parse(exchange.request.body);
    api_.request("DELETE", "/api/v1/nodes/" + text_at(node["metadata"], "name"));
  }
  // An Event that is changed has the name that the real server gave it.
  if (exchange.request.path.find("/events/") != std::string::npos) {
    api_.restore("events", exchanges_of(exchange.recording).at(0).body);
  }
}

Reply RecordedWorld::send(const std::string& identity, HttpRequest request) {
  std::string header = "Bearer " + api_.admin_token();
  std::size_t longest = 0;
  for (const auto& [name, bearer] : bearers()) {
    if (identity.rfind(name, 0) != 0 || name.size() < longest) continue;
    longest = name.size();
    header = bearer.header;
  }
  if (!header.empty()) request.headers["authorization"] = header;
  return api_.serve(request);
}

Reply RecordedWorld::send(const RecordedExchange& exchange) {
  return send(exchange.identity, exchange.request);
}

}  // namespace plimsoll::test
