// SPDX-License-Identifier: Apache-2.0
//
// Fault: what goes wrong with which requests of the API fake, and Traffic, the record of all
// requests that came.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "tests/fake_api/identity.h"
#include "tests/fake_api/json.h"
#include "tests/fake_api/status.h"

namespace plimsoll::test {

enum class FaultKind {
  kDelay,        // late, but right
  kStatus,       // refused with `reply`
  kRefusal,      // refused in the words of `refusal`, for the pod that was asked for
  kBlackHole,    // taken and never answered
  kReset,        // the connection breaks instead of an answer
  kLoseReply,    // done, and the connection breaks instead of the answer
  kGarbage,      // bytes that are no HTTP
  kGarbageBody,  // 200 with a body that is no JSON
  kCut,          // the reply breaks off after `bytes` of body
  kGone,         // HTTP 410
  kGoneEvent,    // a watch: 200, then an ERROR event with a Status of code 410
};

struct Fault {
  // Of the requests that it falls on; "*" takes all.
  std::string verb = "*";      // get list watch create patch update delete
  std::string resource = "*";  // "pods", "pods/resize", "events", "version" for what is no resource
  std::string space = "*";
  std::string name = "*";
  std::string user = "*";

  FaultKind kind = FaultKind::kDelay;
  std::chrono::milliseconds delay{0};  // before anything else, of every kind
  Reply reply;
  // quota limitrange rbac node-capacity policy webhook not-ready unauthorized throttled
  // server-error unavailable timeout conflict
  std::string refusal;
  std::optional<int> retry_after;  // seconds
  std::size_t bytes = 0;
  int times = -1;  // so often, then never again; -1: always
  int after = 0;   // so many are let through first
};

// {"verb":"patch","resource":"pods/resize","kind":"refusal","refusal":"quota","delay_ms":5000,…}
Result<Fault> fault_of(const Json& text);

// The refusal of that name as the real server words it.
Result<Reply> refusal_reply(const std::string& refusal, const Access& access,
                            const std::string& user);

class Faults {
 public:
  void add(Fault fault);
  void clear();
  // The first that falls on it; counts it down.
  std::optional<Fault> take(const Access& access, const std::string& user);

 private:
  std::mutex mutex_;
  std::vector<Fault> faults_;
};

struct RequestRecord {
  std::chrono::nanoseconds at{0};  // since the server's start
  std::string method;
  std::string target;
  Access access;
  std::string user;
  std::string body;  // of a PATCH or POST
  int status = 0;    // 0: no answer yet, or none at all
  std::chrono::nanoseconds took{0};
  bool dry_run = false;
};

class Traffic {
 public:
  std::size_t begin(RequestRecord record);
  void end(std::size_t index, int status);
  std::vector<RequestRecord> all() const;
  void clear();

 private:
  mutable std::mutex mutex_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::size_t cleared_ = 0;
  std::vector<RequestRecord> records_;
};

}  // namespace plimsoll::test
