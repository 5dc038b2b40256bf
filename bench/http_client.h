// SPDX-License-Identifier: Apache-2.0
//
// An open-loop HTTP client: requests are sent when they are due, whether or not earlier ones were
// answered, and their latency counts from when they were due.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace plimsoll::bench {

// Cycles of a busy part and a quiet one, each with its requests at even distances.
struct HttpRate {
  std::uint16_t port = 8080;
  unsigned cycles = 3;
  std::chrono::milliseconds busy{1000};
  std::chrono::milliseconds quiet{3000};
  double busy_per_second = 25;
  double quiet_per_second = 2;
};

struct HttpRun {
  double begin_ns = 0;
  double end_ns = 0;  // when the last answer was there
  std::vector<double> latencies_ms;
  unsigned failed = 0;  // no answer, or another than 200
};

// Blocks until every request was answered.
HttpRun send_requests(const HttpRate& rate);

}  // namespace plimsoll::bench
