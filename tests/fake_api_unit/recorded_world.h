// SPDX-License-Identifier: Apache-2.0
//
// RecordedWorld: an API fake in the state that the recorded server was in, and the recorded
// identities as its users.
#pragma once

#include <string>

#include "tests/fake_api/fake_api.h"
#include "tests/fake_api_unit/recording.h"

namespace plimsoll::test {

class RecordedWorld {
 public:
  RecordedWorld();

  // What the exchange needs is put there: the pod as it was, the node, the limits of its namespace.
  void prepare(const RecordedExchange& exchange);
  // Sends the recorded request as the recorded identity.
  Reply send(const RecordedExchange& exchange);
  // The same with another request.
  Reply send(const std::string& identity, HttpRequest request);

  FakeApi& api() { return api_; }

 private:
  FakeApi api_;
};

}  // namespace plimsoll::test
