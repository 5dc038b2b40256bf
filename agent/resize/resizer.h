// SPDX-License-Identifier: Apache-2.0
//
// The resizer: sends PATCHes for the slow loop, which never waits for the network. A few workers
// with a connection each share one bounded queue: rescues go before shrinks, shrinks before
// preflights, and at least half of the workers take rescues only, so that a server that needs five
// seconds per answer does not keep one pod's rescue behind another's preflight. Each request is
// tried once: values are absolute and may be out of date by the next try, so trying again is
// agent/resize/plan's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "agent/pods/ownership.h"
#include "agent/resize/plan.h"
#include "base/result.h"
#include "kube/client_config.h"
#include "kube/discovery.h"

namespace plimsoll::agent {

struct ResizerConfig {
  kube::ClientConfig client;
  std::string field_manager = kFieldManager;
  std::size_t workers = 4;          // 2 or more
  std::size_t queue = 1024;         // requests that have no fetched outcome yet
  double requests_per_second = 10;  // of the node, whatever they are for
  double burst = 20;
  double preflights_per_second = 5;
};

struct ResizerOutcome {
  std::string uid;  // of the pod
  bool dry_run = false;
  ResizeOutcome outcome;
};

class Resizer {
 public:
  // Starts the workers; a connection is opened with the first request. kMalformed: the client's
  // configuration, or no credentials.
  static Result<std::unique_ptr<Resizer>> start(const ResizerConfig& config);
  // Ends what is under way at once, without an outcome, and joins.
  ~Resizer();
  Resizer(const Resizer&) = delete;
  Resizer& operator=(const Resizer&) = delete;

  // The slow loop's side. Every request that is taken has exactly one outcome. False: the queue is
  // full, and the caller answers with dropped(…, kQueueFull).
  bool submit(const SendResize& request, kube::ResizePath path);
  std::vector<ResizerOutcome> collect();
  // Readable when an outcome waits; collect() clears it.
  int outcome_fd() const;
  std::uint64_t dropped_total() const;

 private:
  struct Impl;
  explicit Resizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The outcome of a request that was not sent, in a sentence.
inline constexpr const char* kQueueFull = "the queue of the resizer is full";
ResizerOutcome dropped(const SendResize& request, MonotonicTime now, std::string why);

// What a reply, or the lack of one, means for `request`.
ResizeOutcome outcome_of(const SendResize& request, const kube::Reply& reply, MonotonicTime sent,
                         MonotonicTime answered);

}  // namespace plimsoll::agent
