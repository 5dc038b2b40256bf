// SPDX-License-Identifier: Apache-2.0
//
// Where the API server is and who we are there, as the command line and the environment say it: of
// the agent and of `plimsoll restore`.
#pragma once

#include <string>

#include "base/result.h"
#include "kube/client_config.h"

namespace plimsoll::agent {

struct ApiAccess {
  // Outside of a cluster; empty: the pod's own service account.
  std::string kubeconfig;
  std::string service_host;  // KUBERNETES_SERVICE_HOST
  std::string service_port;  // KUBERNETES_SERVICE_PORT
  std::string service_account = std::string(kube::kServiceAccountDirectory);
};

// kMalformed: the kubeconfig, or neither of both ways is there.
Result<kube::ClientConfig> client_config(const ApiAccess& access);

}  // namespace plimsoll::agent
