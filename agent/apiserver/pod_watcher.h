// SPDX-License-Identifier: Apache-2.0
//
// The watcher thread: keeps kube::PodWatch going over a client of its own and hands each change to
// the slow loop through a bounded queue. When the queue is full the thread waits, and so, through
// TCP, does the API server: nothing is dropped. It decides nothing and logs nothing.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "base/wakeup.h"
#include "kube/client.h"
#include "kube/pod_watch.h"

namespace plimsoll::agent {

struct PodWatcherStatus {
  bool synced = false;                      // a LIST has ended
  std::optional<MonotonicTime> list_began;  // when its first byte came
  bool failing = false;                     // the last request failed, and none has gone well since
  std::optional<MonotonicTime> last_contact;  // when the API server last sent something that fits
  std::size_t pods = 0;
  std::size_t waiting = 0;  // changes in the queue
  kube::PodWatchCounters watch;
  kube::ClientCounters client;
};

class PodWatcher {
 public:
  // So many changes wait at most.
  static constexpr std::size_t kMostWaiting = 64;

  // Starts the thread. `seed`: of the jitter.
  static Result<std::unique_ptr<PodWatcher>> start(std::unique_ptr<kube::Client> client,
                                                   std::string node_name, std::uint64_t seed);
  // Ends the request under way, stops and joins the thread.
  ~PodWatcher();
  PodWatcher(const PodWatcher&) = delete;
  PodWatcher& operator=(const PodWatcher&) = delete;

  // Readable while changes wait.
  int change_fd() const { return changed_.fd(); }
  // At most `most` changes, in their order; never blocks.
  std::vector<kube::PodChange> take(std::size_t most = kMostWaiting);

  PodWatcherStatus status() const;

 private:
  PodWatcher(std::unique_ptr<kube::Client> client, std::string node_name, std::uint64_t seed,
             Wakeup changed);
  void run();
  void ask();
  void push(kube::PodChange&& change);
  void publish(std::optional<MonotonicTime> contact);
  void update_status();

  std::unique_ptr<kube::Client> client_;
  kube::PodWatch watch_;  // the thread's
  Wakeup changed_;

  mutable std::mutex mutex_;  // of what follows
  std::condition_variable woken_;
  bool stopping_ = false;
  std::deque<kube::PodChange> changes_;
  PodWatcherStatus status_;

  std::thread thread_;
};

}  // namespace plimsoll::agent
