// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/identity.h"

#include <algorithm>
#include <utility>

namespace plimsoll::test {
namespace {

using Clock = std::chrono::steady_clock;

bool holds(const std::vector<std::string>& list, const std::string& one) {
  return std::any_of(list.begin(), list.end(),
                     [&](const std::string& entry) { return entry == "*" || entry == one; });
}

bool in_group(const Identity& identity, const std::string& group) {
  return std::find(identity.groups.begin(), identity.groups.end(), group) != identity.groups.end();
}

// What the node authorizer lets a kubelet do, as far as the fakes need it.
const std::vector<Rule>& kubelet_rules() {
  static const std::vector<Rule> kRules{
      {{"get", "list", "watch", "create", "delete"}, {"pods"}, ""},
      {{"patch", "update"}, {"pods/status", "nodes/status", "nodes"}, ""},
      {{"get", "create", "list", "watch"}, {"nodes"}, ""},
      {{"create", "patch", "update"}, {"events"}, ""}};
  return kRules;
}

}  // namespace

void Gate::add_token(const std::string& token, Identity identity,
                     std::optional<Clock::duration> valid_for) {
  Token entry{std::move(identity), {}};
  if (valid_for) entry.end = Clock::now() + *valid_for;
  tokens_[token] = std::move(entry);
}

void Gate::expire_token(const std::string& token) {
  const auto found = tokens_.find(token);
  if (found != tokens_.end()) found->second.end = Clock::now();
}

void Gate::set_rules(const std::string& user, std::vector<Rule> rules) {
  rules_[user] = std::move(rules);
}

const std::vector<Rule>& Gate::rules(const std::string& user) const {
  static const std::vector<Rule> kNone;
  const auto found = rules_.find(user);
  return found == rules_.end() ? kNone : found->second;
}

std::variant<Identity, Reply> Gate::authenticate(const HttpRequest& request) const {
  const std::string header = request.header("authorization");
  const std::string token = header.rfind("Bearer ", 0) == 0 ? header.substr(7) : "";
  if (!token.empty()) {
    const auto found = tokens_.find(token);
    if (found == tokens_.end() || (found->second.end && *found->second.end <= Clock::now())) {
      return status_reply(401, "Unauthorized", "Unauthorized");
    }
    return found->second.identity;
  }
  if (!request.client_name.empty()) return Identity{request.client_name, request.client_groups, ""};
  return Identity{"system:anonymous", {"system:unauthenticated"}, ""};
}

bool Gate::allows(const Identity& identity, const Access& access) const {
  if (in_group(identity, "system:masters")) return true;
  // Everybody who is known may ask what they may.
  if (access.resource == "selfsubjectaccessreviews") return identity.user != "system:anonymous";
  const auto grants = [&](const Rule& rule) {
    return holds(rule.verbs, access.verb) && holds(rule.resources, access.resource) &&
           (rule.space.empty() || rule.space == access.space);
  };
  if (in_group(identity, "system:nodes") &&
      std::any_of(kubelet_rules().begin(), kubelet_rules().end(), grants)) {
    return true;
  }
  const std::vector<Rule>& own = rules(identity.user);
  return std::any_of(own.begin(), own.end(), grants);
}

Reply Gate::refusal(const Identity& identity, const Access& access) {
  const std::string plain = access.resource.substr(0, access.resource.find('/'));
  const std::string where =
      access.space.empty() ? "at the cluster scope" : "in the namespace " + in_quotes(access.space);
  const std::string why = "User " + in_quotes(identity.user) + " cannot " + access.verb +
                          " resource " + in_quotes(access.resource) + " in API group " +
                          in_quotes(access.group) + " " + where;
  Reply reply =
      forbidden_reply(access.group.empty() ? plain : plain + "." + access.group, access.name, why);
  if (!access.group.empty()) {
    reply.body["details"]["group"] = access.group;
    reply.body["details"]["kind"] = plain;
  }
  return reply;
}

std::vector<Rule> agent_rules(bool patches_pods) {
  std::vector<Rule> rules{{{"list", "watch"}, {"pods"}, ""},
                          {{"patch"}, {"pods/resize"}, ""},
                          {{"create", "patch"}, {"events"}, ""},
                          {{"get"}, {"nodes"}, ""}};
  if (patches_pods) rules.push_back({{"patch"}, {"pods"}, ""});
  return rules;
}

}  // namespace plimsoll::test
