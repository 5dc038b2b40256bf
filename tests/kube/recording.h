// SPDX-License-Identifier: Apache-2.0
//
// Recorded exchanges with a real API server (tests/contract/kube), as the bytes that came. What is
// missing or no recording throws, and so fails the test.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace plimsoll::test {

struct RecordedReply {
  std::string method;
  std::string path;
  std::string request_body;  // JSON; "null" where there was none
  int status = 0;
  std::string body;  // of a watch: one event per line
};

// The exchanges of tests/contract/kube/<name>.json.
std::vector<RecordedReply> recorded(const std::string& name);

// The pod updates of a recording with a real kubelet, as a watch would have sent them.
std::string recorded_watch_events(const std::string& name);

// Every text of a pod in every recording: replies, lists, watch events.
std::vector<std::string> recorded_pods();

// The names of all recordings, without ".json".
std::vector<std::string> recordings();

}  // namespace plimsoll::test
