// SPDX-License-Identifier: Apache-2.0
//
// /metrics, /healthz and /readyz over HTTP, on a thread of its own. The slow loop publishes values
// to a StatusBoard; they become text when somebody asks. Nobody can hold the server up: at most so
// many connections, each within a fixed time, whatever it sends or does not send.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "agent/telemetry/health.h"
#include "agent/telemetry/stats.h"
#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

// The latest values, swapped whole. The lock is held for the copy of a pointer; the reaction thread
// never takes it.
class StatusBoard {
 public:
  struct Page {
    AgentStats stats{};
    Health health;
  };

  void publish(Page page);
  std::shared_ptr<const Page> page() const;  // never null

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Page> page_ = std::make_shared<Page>();
};

struct StatusServerOptions {
  std::string host;        // empty: every address of the machine; IPv6 without brackets
  std::uint16_t port = 0;  // 0: any free one, see port()
  std::size_t most_connections = 32;
  Nanoseconds exchange_within = std::chrono::seconds(5);
  HealthBounds health;
};

class StatusServer {
 public:
  // Listens when this returns; `board` must outlive the server. kMalformed: the address; others:
  // why it cannot be listened on.
  static Result<std::unique_ptr<StatusServer>> start(const StatusServerOptions& options,
                                                     const StatusBoard& board);
  // Closes every connection and joins the thread.
  ~StatusServer();
  StatusServer(const StatusServer&) = delete;
  StatusServer& operator=(const StatusServer&) = delete;

  std::uint16_t port() const;

 private:
  struct Impl;
  explicit StatusServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace plimsoll::agent
