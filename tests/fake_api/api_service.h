// SPDX-License-Identifier: Apache-2.0
//
// ApiService: from a request to its answer: who asks, whether a fault falls on it, what they may,
// which handler answers. FakeApi gives it its two ports.
#pragma once

#include <optional>
#include <variant>

#include "tests/fake_api/cluster.h"
#include "tests/fake_api/faults.h"
#include "tests/fake_api/http_message.h"
#include "tests/fake_api/http_server.h"
#include "tests/fake_api/route.h"

namespace plimsoll::test {

class ApiService {
 public:
  // `trusted`: over the control port, where no fault falls, nothing is put on record, and the
  // caller says who it is (X-Fake-User; an admin without it).
  void serve(const HttpRequest& request, Exchange& exchange, bool trusted);

  Cluster cluster;
  Faults faults;
  Traffic traffic;

 private:
  std::variant<Identity, Reply> who(const HttpRequest& request, bool trusted);
  void answer(const HttpRequest& request, const Route& route, const Identity& identity,
              Exchange& exchange);
  // True when the fault was all the answer there is.
  static bool misbehave(const Fault& fault, const Route& route, const Identity& identity,
                        Exchange& exchange);
};

}  // namespace plimsoll::test
