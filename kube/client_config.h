// SPDX-License-Identifier: Apache-2.0
//
// How one kube::Client reaches one API server, and how it is known inside a cluster. From
// outside, kube/kubeconfig builds the same. The environment is the caller's to read.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "kube/credentials.h"

namespace plimsoll::kube {

class ExchangeObserver;

struct ClientConfig {
  std::string server;           // "https://10.96.0.1:443", maybe with a path; never plain http
  std::string tls_server_name;  // the name that the certificate must have; empty: the server's
  CredentialSources credentials;
  std::string user_agent = "plimsoll";
  Nanoseconds connect_deadline = std::chrono::seconds(5);  // TCP and TLS together
  Nanoseconds ping_interval = std::chrono::seconds(30);    // of an idle HTTP/2 connection
  Nanoseconds credentials_age = std::chrono::seconds(60);  // files older than this are read again
  ExchangeObserver* observer = nullptr;  // outlives the clients; null: nobody counts

  bool operator==(const ClientConfig&) const = default;
};

// Where the kubelet mounts a service account.
inline constexpr std::string_view kServiceAccountDirectory =
    "/var/run/secrets/kubernetes.io/serviceaccount";

// The pod's own service account: `host` and `port` are KUBERNETES_SERVICE_HOST and
// KUBERNETES_SERVICE_PORT (an IPv6 address without brackets), `directory` holds `token` and
// `ca.crt`. Reads nothing. kMalformed: not a host, not a port.
Result<ClientConfig> in_cluster(std::string_view host, std::string_view port,
                                std::string_view directory = kServiceAccountDirectory);

}  // namespace plimsoll::kube
