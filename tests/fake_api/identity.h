// SPDX-License-Identifier: Apache-2.0
//
// Who asks, and what they may: bearer tokens, client certificates and rules in the manner of RBAC.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "tests/fake_api/http_message.h"
#include "tests/fake_api/status.h"

namespace plimsoll::test {

struct Identity {
  std::string user;
  std::vector<std::string> groups;
  std::string node;  // authentication.kubernetes.io/node-name, "" in a token bound to nothing
};

struct Rule {
  std::vector<std::string> verbs;      // "get", "patch" …, "*"
  std::vector<std::string> resources;  // "pods", "pods/resize" …, "*"
  std::string space;                   // "" for all
};

// What is asked for. `group` is "" for core.
struct Access {
  std::string verb;
  std::string group;
  std::string resource;
  std::string space;
  std::string name;
};

class Gate {
 public:
  // `valid_for`: none for ever.
  void add_token(const std::string& token, Identity identity,
                 std::optional<std::chrono::steady_clock::duration> valid_for = {});
  void expire_token(const std::string& token);
  // The rules of a user ("system:serviceaccount:ns:name") replace those it had.
  void set_rules(const std::string& user, std::vector<Rule> rules);
  const std::vector<Rule>& rules(const std::string& user) const;

  // 401, also for a token that expired; no token and no certificate is system:anonymous.
  std::variant<Identity, Reply> authenticate(const HttpRequest& request) const;
  bool allows(const Identity& identity, const Access& access) const;
  // 403 in the words of RBAC.
  static Reply refusal(const Identity& identity, const Access& access);

 private:
  struct Token {
    Identity identity;
    std::optional<std::chrono::steady_clock::time_point> end;
  };
  std::map<std::string, Token> tokens_;
  std::map<std::string, std::vector<Rule>> rules_;
};

// What deploy/ grants to the agent; with deploy/legacy, for servers before 1.32, it patches pods.
std::vector<Rule> agent_rules(bool patches_pods);

}  // namespace plimsoll::test
