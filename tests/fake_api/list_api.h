// SPDX-License-Identifier: Apache-2.0
//
// LIST and WATCH of pods, in the ways of the watch cache: resourceVersion=0 ignores a limit, a
// version from the future is 504 for a LIST and silence for a WATCH, an old one is an ERROR event.
#pragma once

#include <chrono>
#include <string>

#include "tests/fake_api/cluster.h"
#include "tests/fake_api/http_message.h"
#include "tests/fake_api/http_server.h"
#include "tests/fake_api/route.h"
#include "tests/fake_api/status.h"

namespace plimsoll::test {

// Takes the cluster's lock itself; may wait.
Reply list_objects(Cluster& cluster, const HttpRequest& request, const Route& route);

// Until timeoutSeconds, or until the client or the server goes.
void watch_objects(Cluster& cluster, const HttpRequest& request, const Route& route,
                   Exchange& exchange);

// The whole of a reply; long bodies go in chunks.
bool send(Exchange& exchange, const Reply& reply);

}  // namespace plimsoll::test
