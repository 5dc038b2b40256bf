// SPDX-License-Identifier: Apache-2.0
//
// `plimsoll explain NAMESPACE/POD`: asks the agent of this node what it did to a pod and why, and
// prints it as a table or as the JSON that it got.
#pragma once

#include <chrono>
#include <iosfwd>
#include <string>

#include "agent/telemetry/explain_server.h"
#include "base/units.h"

namespace plimsoll::agent {

struct ExplainOptions {
  std::string pod;  // NAMESPACE/POD
  std::string container;
  std::string socket = kExplainSocket;
  bool json = false;
  Nanoseconds within = std::chrono::seconds(5);
};

// Exit codes.
inline constexpr int kExplainFound = 0;
inline constexpr int kExplainNoSuchPod = 1;
inline constexpr int kExplainUsage = 2;
inline constexpr int kExplainNoAgent = 3;

int explain(const ExplainOptions& options, std::ostream& out, std::ostream& err);

}  // namespace plimsoll::agent
