// SPDX-License-Identifier: Apache-2.0
//
// FakeApi: an API server on loopback with the semantics that an agent meets, over TLS, and a plain
// control port. For tests in one process and behind the program fake-apiserver. What it claims is
// compared with recordings of a real server by tests/fake_api_unit.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/fake_api/faults.h"
#include "tests/fake_api/http_message.h"
#include "tests/fake_api/identity.h"
#include "tests/fake_api/json.h"
#include "tests/fake_api/status.h"

namespace plimsoll::test {

struct FakeApiOptions {
  std::string version = "1.36";
  // Of InPlacePodVerticalScaling up to 1.34; without it neither way to resize is there.
  bool resize_enabled = true;
  std::uint16_t port = 0;          // 0: any
  std::uint16_t control_port = 0;  // 0: any
  std::string directory;           // of the credentials; empty: a temporary one
  std::string node = "node-a";     // that the agent's token is bound to
  std::string agent = "system:serviceaccount:plimsoll-system:plimsoll";
  std::string agent_namespace = "plimsoll-system";
  std::chrono::milliseconds bookmark_interval = std::chrono::seconds(60);
  std::chrono::milliseconds future_list_wait = std::chrono::seconds(3);
};

class FakeApi {
 public:
  // Listens when it is made. Throws std::runtime_error when the world does not let it.
  explicit FakeApi(FakeApiOptions options = {});
  ~FakeApi();
  FakeApi(const FakeApi&) = delete;
  FakeApi& operator=(const FakeApi&) = delete;

  std::uint16_t port() const;
  std::uint16_t control_port() const;
  std::string url() const;  // https://127.0.0.1:<port>
  // ca.crt, token, namespace as in a pod; kubeconfig, kubeconfig-certificate.
  const std::string& directory() const;
  const std::string& token() const;        // of the agent
  const std::string& admin_token() const;  // of system:masters

  // A request without the network, as admin. `content_type` of a PATCH.
  Reply request(const std::string& method, const std::string& target, const Json& body = nullptr,
                const std::string& content_type = "application/strategic-merge-patch+json");
  // The same with all that a request over TLS meets (tokens, rules, faults, the record), except
  // that waiting takes no time.
  Reply serve(const HttpRequest& request);
  // A pod as admin, by POST; then its status, when `object` has one.
  Reply create_pod(const Json& object);
  // As it is, with its uid, resourceVersion and status.
  void restore(const std::string& resource, const Json& object);
  // Null when there is none.
  Json object(const std::string& resource, const std::string& space, const std::string& name) const;
  std::vector<Json> objects(const std::string& resource) const;

  void add_fault(Fault fault);
  void clear_faults();
  std::vector<RequestRecord> requests() const;
  // Of the agent and whoever else came over TLS; "*" takes all.
  std::size_t count(const std::string& verb, const std::string& resource) const;
  void clear_requests();

  // Connections are refused and open ones break, until back().
  void go();
  void back();
  // Connections are accepted and get nothing; open ones break.
  void set_silent(bool silent);
  void break_connections();
  // As a restart: the watch cache begins anew, so that older versions are 410.
  void restart();
  void forget_changes();
  // Another authority signs from here on. With `publish` the agent's ca.crt follows.
  void rotate_authority(bool publish = true);
  // A new token in the agent's file; the old one works until expire_token().
  std::string rotate_token();
  void expire_token(const std::string& token);
  // For the contract suite and for agents of other names.
  void add_token(const std::string& token, Identity identity,
                 std::optional<std::chrono::steady_clock::duration> valid_for = {});
  void set_rules(const std::string& user, std::vector<Rule> rules);
  // Their tokens let them resize pods of their own node only.
  void bind_to_node(const std::string& user);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace plimsoll::test
