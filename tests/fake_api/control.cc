// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/control.h"

#include <functional>
#include <map>
#include <utility>

namespace plimsoll::test {
namespace {

using std::chrono::milliseconds;

Json record_json(const RequestRecord& record) {
  return {{"at_ms", static_cast<double>(record.at.count()) / 1e6},
          {"took_ms", static_cast<double>(record.took.count()) / 1e6},
          {"method", record.method},
          {"target", record.target},
          {"verb", record.access.verb},
          {"resource", record.access.resource},
          {"namespace", record.access.space},
          {"name", record.access.name},
          {"user", record.user},
          {"status", record.status},
          {"dry_run", record.dry_run},
          {"body", record.body}};
}

// "patch pods/resize" → how often.
Json counts(const FakeApi& api) {
  std::map<std::string, int> found;
  for (const RequestRecord& record : api.requests()) {
    const std::string dry = record.dry_run ? " dry-run" : "";
    ++found[record.access.verb + " " + record.access.resource + dry];
  }
  Json answer = Json::object();
  for (const auto& [what, count] : found) answer[what] = count;
  return answer;
}

Reply bad(const std::string& why) { return status_reply(400, "BadRequest", why); }

Reply done(Json body = {{"done", true}}) {
  Reply reply;
  reply.body = std::move(body);
  return reply;
}

// {"count": 5, "template": {…}}: name, name-1 … of one template.
Reply create_pods(FakeApi& api, const Json& body) {
  const Json& pod = body.contains("template") ? body["template"] : body;
  const int count = body.value("count", 1);
  Json created = Json::array();
  for (int i = 0; i < count; ++i) {
    Json one = pod;
    if (count > 1) {
      one["metadata"]["name"] = text_at(pod["metadata"], "name") + "-" + std::to_string(i);
    }
    const Reply reply = api.create_pod(one);
    if (reply.status >= 300) return reply;
    created.push_back({{"namespace", reply.body["metadata"]["namespace"]},
                       {"name", reply.body["metadata"]["name"]},
                       {"uid", reply.body["metadata"]["uid"]}});
  }
  return done(created);
}

Reply set_fault(FakeApi& api, const Json& body) {
  const Result<Fault> fault = fault_of(body);
  if (!fault) return bad(fault.error().message);
  api.add_fault(*fault);
  return done();
}

Reply set_rules(FakeApi& api, const Json& body) {
  std::vector<Rule> rules;
  for (const Json& entry : member(body, "rules")) {
    rules.push_back({entry.value("verbs", std::vector<std::string>{}),
                     entry.value("resources", std::vector<std::string>{}),
                     text_at(entry, "namespace")});
  }
  api.set_rules(text_at(body, "user"), std::move(rules));
  return done();
}

Reply add_token(FakeApi& api, const Json& body) {
  std::optional<std::chrono::steady_clock::duration> valid;
  if (member(body, "valid_ms").is_number()) valid = milliseconds(body["valid_ms"].get<int>());
  api.add_token(text_at(body, "token"),
                {text_at(body, "user"), body.value("groups", std::vector<std::string>{}),
                 text_at(body, "node")},
                valid);
  return done();
}

Reply all_requests(const FakeApi& api) {
  Json records = Json::array();
  for (const RequestRecord& record : api.requests()) records.push_back(record_json(record));
  return done(records);
}

using Action = std::function<Reply(FakeApi&, const Json&)>;

// A step without an answer of its own.
Action step(std::function<void(FakeApi&)> what) {
  return [what = std::move(what)](FakeApi& api, const Json& /*body*/) {
    what(api);
    return done();
  };
}

const std::map<std::string, Action>& actions() {
  static const std::map<std::string, Action> kActions{
      {"pods", create_pods},
      {"fault", set_fault},
      {"rules", set_rules},
      {"token", add_token},
      {"requests", [](FakeApi& api, const Json&) { return all_requests(api); }},
      {"counts", [](FakeApi& api, const Json&) { return done(counts(api)); }},
      {"clear-faults", step([](FakeApi& api) { api.clear_faults(); })},
      {"clear-requests", step([](FakeApi& api) { api.clear_requests(); })},
      {"go", step([](FakeApi& api) { api.go(); })},
      {"back", step([](FakeApi& api) { api.back(); })},
      {"silent", step([](FakeApi& api) { api.set_silent(true); })},
      {"speak", step([](FakeApi& api) { api.set_silent(false); })},
      {"break", step([](FakeApi& api) { api.break_connections(); })},
      {"restart", step([](FakeApi& api) { api.restart(); })},
      {"forget-changes", step([](FakeApi& api) { api.forget_changes(); })},
      {"rotate-authority", step([](FakeApi& api) { api.rotate_authority(); })},
      {"rotate-authority-unseen", step([](FakeApi& api) { api.rotate_authority(false); })},
      {"rotate-token", step([](FakeApi& api) {
         const std::string old = api.token();
         api.rotate_token();
         api.expire_token(old);
       })},
      {"expire-token", step([](FakeApi& api) { api.expire_token(api.token()); })},
      {"bind-to-node", [](FakeApi& api, const Json& body) {
         api.bind_to_node(text_at(body, "user"));
         return done();
       }}};
  return kActions;
}

}  // namespace

Reply control_reply(FakeApi& api, const HttpRequest& request) {
  const auto action = actions().find(request.path.substr(std::string_view("/fake/").size()));
  if (action == actions().end()) return status_reply(404, "NotFound", "no such control path");
  Json body = Json::object();
  if (!request.body.empty()) {
    Result<Json> parsed = parse_json_or_yaml(request.body);
    if (!parsed) return bad(parsed.error().message);
    body = std::move(*parsed);
  }
  try {
    return action->second(api, body);
  } catch (const Json::exception& error) {
    return bad(error.what());
  }
}

}  // namespace plimsoll::test
