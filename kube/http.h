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
  // For the whole exchange; of a stream, until the head of the reply. 0: none.
  Nanoseconds deadline = std::chrono::seconds(10);
  // A longer reply is kMalformed. Of a stream, only a reply that is no success is bounded by it:
  // what a success sends goes to the reader as it comes.
  std::size_t largest_body = 4 * kMiB;
};

struct Response {
  int status = 0;
  std::string content_type;
  std::string body;  // empty for a stream, whose body went to its reader
  std::optional<Nanoseconds> retry_after;

  bool operator==(const Response&) const = default;
};

}  // namespace plimsoll::kube
