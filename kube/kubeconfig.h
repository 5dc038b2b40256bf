// SPDX-License-Identifier: Apache-2.0
//
// A kubeconfig file, for an agent that runs outside a cluster: the cluster and the user of its
// current context. What would need another program, a password or trust without proof is refused
// with a word on what works instead.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "kube/client_config.h"

namespace plimsoll::kube {

// `directory` is the file's own, which relative paths in it start from. Reads no other file.
// kUnsupported: exec, auth-provider, passwords, impersonation, a proxy, TLS without verification.
// kMalformed: what is missing or wrong, and where.
Result<ClientConfig> parse_kubeconfig(std::string_view text, std::string_view directory);

// Blocks on the file.
Result<ClientConfig> load_kubeconfig(const std::string& path);

}  // namespace plimsoll::kube
