// SPDX-License-Identifier: Apache-2.0
#include "agent/apiserver/access.h"

#include "kube/kubeconfig.h"

namespace plimsoll::agent {

Result<kube::ClientConfig> client_config(const ApiAccess& access) {
  auto config =
      access.kubeconfig.empty()
          ? kube::in_cluster(access.service_host, access.service_port, access.service_account)
          : kube::load_kubeconfig(access.kubeconfig);
  if (config) config->user_agent = "plimsoll/" PLIMSOLL_VERSION;
  return config;
}

}  // namespace plimsoll::agent
