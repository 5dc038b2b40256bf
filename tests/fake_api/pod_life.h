// SPDX-License-Identifier: Apache-2.0
//
// How a pod comes and goes: POST and DELETE, and what a quota counts of it on the way. The caller
// holds the cluster's lock.
#pragma once

#include <string>

#include "tests/fake_api/cluster.h"
#include "tests/fake_api/http_message.h"
#include "tests/fake_api/route.h"
#include "tests/fake_api/status.h"

namespace plimsoll::test {

Reply create_pod(Cluster& cluster, const HttpRequest& request, const Route& route);
Reply delete_pod(Cluster& cluster, const HttpRequest& request, const Route& route);

// {"kind", "apiVersion", "metadata", "spec", "status"}, in this order and nothing else.
Json pod_in_order(const Json& pod);
// What the quotas of the namespace count moves with the pod; null for none.
void account_pod(Cluster& cluster, const std::string& space, const Json& old, const Json& changed);

}  // namespace plimsoll::test
