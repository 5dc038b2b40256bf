// SPDX-License-Identifier: Apache-2.0
//
// One exchange with the API server as values: what kube/client sends and gets, and what the other
// files here build and read. No transport in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/units.h"

namespace plimsoll::kube {

enum class Method : std::uint8_t { kGet, kPost, kPatch };
std::string_view to_string(Method method);

struct Request {
  Method method = Method::kGet;
  std::string path;          // with the query, percent-encoded: "/api/v1/pods?limit=500"
  std::string content_type;  // of the body; empty: no body
  std::string body;
  std::string accept = "application/json";
  Nanoseconds deadline = std::chrono::seconds(10);  // for the whole exchange; 0: none (a watch)
  std::size_t largest_body = 4 * kMiB;              // a longer reply is kMalformed
};

struct Response {
  int status = 0;
  std::string content_type;
  std::string body;  // empty for a stream, whose body went to its reader
  std::optional<Nanoseconds> retry_after;

  bool operator==(const Response&) const = default;
};

}  // namespace plimsoll::kube
