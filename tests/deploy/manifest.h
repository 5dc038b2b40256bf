// SPDX-License-Identifier: Apache-2.0
//
// The manifests of deploy/, and what a request to the API server needs in terms of access rights.
#pragma once

#include <yaml-cpp/yaml.h>

#include <set>
#include <string>
#include <vector>

#include "kube/http.h"

namespace plimsoll::test {

// Every document of deploy/<name>.
std::vector<YAML::Node> manifests(const std::string& name);
// The one of that kind (and that name) in deploy/daemonset.yaml; throws when there is not exactly
// one.
YAML::Node manifest(const std::string& kind, const std::string& name = "");

// One verb on one resource, "patch pods/resize" or "create events.events.k8s.io".
using Right = std::string;
std::set<Right> rights_of(const YAML::Node& rules);
// What the authorizer sees of a request; empty for what every authenticated client may do
// (discovery, /version, asking about itself).
Right right_for(const kube::Request& request);

}  // namespace plimsoll::test
