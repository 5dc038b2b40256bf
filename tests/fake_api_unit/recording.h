// SPDX-License-Identifier: Apache-2.0
//
// The recordings of tests/contract/kube as values, and what state the recorded server was in
// before each exchange.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fake_api/http_message.h"
#include "tests/fake_api/json.h"

namespace plimsoll::test {

struct RecordedExchange {
  std::string recording;  // "10-resize-smp-memory-up"
  std::size_t index = 0;
  std::string identity;
  HttpRequest request;  // without Authorization
  int status = 0;
  Json headers;
  Json body;    // of the response; null for a stream
  Json stream;  // [{"t_ms", "event"}], null for a body
  std::string note;
};

// Names of all recordings, sorted.
std::vector<std::string> recording_names();
Json recording(const std::string& name);
const std::vector<RecordedExchange>& exchanges_of(std::string_view name);

// The pod that the exchange was about, as it was before it: from other recordings, else from the
// answer, undone. None when there is no such pod or nothing tells.
std::optional<Json> pod_before(const RecordedExchange& exchange);

// The pod in the answer to that exchange.
Json pod_in(const std::string& name, std::size_t index);
// The pod that runs what the status of `pod` says, one generation earlier: the state before the
// resize that `pod` is the answer to.
Json undone(Json pod);

}  // namespace plimsoll::test
