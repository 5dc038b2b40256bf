// SPDX-License-Identifier: Apache-2.0
//
// What the API does with a pod that is there: get, and the changes to it, its status and its size.
// The caller holds the cluster's lock.
#pragma once

#include "tests/fake_api/cluster.h"
#include "tests/fake_api/http_message.h"
#include "tests/fake_api/route.h"
#include "tests/fake_api/status.h"

namespace plimsoll::test {

Reply get_pod(const Cluster& cluster, const HttpRequest& request, const Route& route);
// PATCH and PUT of the pod, its status, its resize and its ephemeralcontainers.
Reply change_pod(Cluster& cluster, const HttpRequest& request, const Route& route,
                 const Identity& identity);

// As the Accept header asks: whole, or metadata only; 406 for what is not served.
Reply shown(const HttpRequest& request, Json object, int status = 200);

// The body as an object; 400 with the server's words.
std::variant<Json, Reply> parsed_body(const HttpRequest& request);

// Who asks, for managedFields: the parameter, else the first word of User-Agent.
std::string field_manager(const HttpRequest& request);

}  // namespace plimsoll::test
