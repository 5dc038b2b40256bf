// SPDX-License-Identifier: Apache-2.0
//
// KubeletApi: what the fake kubelet says to the API fake, as system:node:<node>, over its control
// port: the faults of the API do not fall on it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "tests/fake_api/json.h"
#include "tests/fake_kubelet/pod_state.h"

namespace plimsoll::test {

class KubeletApi {
 public:
  KubeletApi(std::uint16_t port, std::string node) : port_(port), node_(std::move(node)) {}

  // Made, or brought up to date; of the features of a 1.36 node.
  Result<void> register_node(const std::string& cpu, const std::string& memory) const;
  // Lines of a watch of the node's pods until `stop`; again from the beginning when it ends.
  void watch(const std::atomic<bool>& stop, const std::function<void(Json)>& on_line) const;
  int minor() const;
  void publish(const PodState& pod, const Json& status) const;
  void event(const PodState& pod, bool warning, const std::string& reason,
             const std::string& message) const;
  void confirm_deletion(const PodState& pod) const;

 private:
  Result<Json> send(const std::string& method, const std::string& target, const Json& body) const;

  std::uint16_t port_;
  std::string node_;
};

}  // namespace plimsoll::test
