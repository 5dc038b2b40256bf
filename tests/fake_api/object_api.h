// SPDX-License-Identifier: Apache-2.0
//
// Everything that is not a pod: version and discovery, nodes, Events, access reviews, and the
// objects that admission reads. The caller holds the cluster's lock.
#pragma once

#include "tests/fake_api/cluster.h"
#include "tests/fake_api/http_message.h"
#include "tests/fake_api/route.h"
#include "tests/fake_api/status.h"

namespace plimsoll::test {

// /version, /api, /apis …, /healthz; 404 for the rest.
Reply get_other(const Cluster& cluster, const HttpRequest& request);

Reply get_object(const Cluster& cluster, const HttpRequest& request, const Route& route);
Reply create_object(Cluster& cluster, const HttpRequest& request, const Route& route,
                    const Identity& identity);
Reply change_object(Cluster& cluster, const HttpRequest& request, const Route& route);
Reply delete_object(Cluster& cluster, const HttpRequest& request, const Route& route);

}  // namespace plimsoll::test
