// SPDX-License-Identifier: Apache-2.0
//
// A plain HTTP client for loopback: what tests and the fake kubelet talk to a fake's control port
// with. Blocking; one connection per request.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tests/fake_api/http_message.h"
#include "tests/fake_api/json.h"

namespace plimsoll::test {

struct PlainRequest {
  std::string method = "GET";
  std::string target;
  std::string body;
  std::map<std::string, std::string> headers;
};

// kUnavailable: nobody answers, or not to the end.
Result<HttpResponse> plain_exchange(std::uint16_t port, const PlainRequest& request);

// The body line by line as it comes, until the end, or until `on_line` or `stop` says so.
Result<HttpResponse> plain_lines(std::uint16_t port, const PlainRequest& request,
                                 const std::atomic<bool>& stop,
                                 const std::function<bool(std::string_view)>& on_line);

// The reply's JSON, of any status; kMalformed when it is none.
Result<Json> plain_json(std::uint16_t port, const PlainRequest& request);

}  // namespace plimsoll::test
