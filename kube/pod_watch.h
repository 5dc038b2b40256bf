// SPDX-License-Identifier: Apache-2.0
//
// Keeps a picture of the pods of one node: LIST, then WATCH from where the LIST ended, and again
// after whatever goes wrong. It does no I/O and reads no clock: it says what to ask next and when,
// and is told what came. While a watch is open it asks for nothing.
//
//   sleep until wait(); request = next_request(now);
//   reply = client.stream(request, [&](piece) { return on_data(piece, now()); }, idle_deadline());
//   on_end(reply, now());
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "kube/backoff.h"
#include "kube/client.h"
#include "kube/http.h"
#include "kube/known_pods.h"
#include "kube/pod.h"
#include "kube/pod_json.h"
#include "kube/pod_list.h"
#include "kube/status.h"
#include "kube/watch_reader.h"

namespace plimsoll::kube {

// One piece of news. Whoever applies them in their order has the picture.
struct PodChange {
  enum class Kind : std::uint8_t {
    kPresent,  // `pod` is there, and is like this; said again after a relist, changed or not
    kGone,     // `pod.id` is not there any more
    kSynced,   // a LIST has ended: all pods that the API knows have been told
    kSkipped,  // a pod could not be read: `pod.id` as far as known; what was told of it still holds
    kFailed,   // a request failed, `error` says how; the picture grows old until the next kResumed
    kResumed,  // the first request that went well after a kFailed
  };
  Kind kind = Kind::kPresent;
  Pod pod;
  Error error;                      // kSkipped, kFailed
  Cause cause = Cause::kTransport;  // kFailed

  bool operator==(const PodChange&) const = default;
};
std::string_view to_string(PodChange::Kind kind);

struct PodWatchCounters {
  std::uint64_t lists = 0;    // requests, pages included
  std::uint64_t relists = 0;  // LISTs that ended and were not the first: news had been missed
  std::uint64_t watches = 0;  // requests
  std::uint64_t events = 0;   // ADDED, MODIFIED, DELETED
  std::uint64_t bookmarks = 0;
  std::uint64_t expired = 0;      // 410 of either form
  std::uint64_t skipped = 0;      // pods and lines that could not be read
  std::uint64_t failures = 0;     // requests that did not go well
  std::uint64_t missed_gone = 0;  // deletions that only a relist or a new uid told

  bool operator==(const PodWatchCounters&) const = default;
};

class PodWatch {
 public:
  using OnChange = std::function<void(PodChange&&)>;

  // `seed`: of the jitter, so that the agents of many nodes do not all ask at once.
  PodWatch(std::string node_name, std::uint64_t seed, OnChange on_change);
  PodWatch(const PodWatch&) = delete;
  PodWatch& operator=(const PodWatch&) = delete;
  ~PodWatch() = default;

  // When to ask next; in the past: at once.
  MonotonicTime wait() const { return wait_; }
  Request next_request(MonotonicTime now);

  // After how long a silence the request that was given last has to be ended. A healthy watch
  // brings a bookmark about once a minute; one from a resourceVersion that a restored etcd has not
  // reached yet is silent for good.
  Nanoseconds idle_deadline() const;

  // A piece of a successful reply. False: end the stream.
  bool on_data(std::string_view piece, MonotonicTime now);
  // How the request ended. Every next_request() is followed by one of these.
  void on_end(const Reply& reply, MonotonicTime now);

  // Whether a LIST has ended yet.
  bool synced() const { return synced_; }
  // When the first byte of that LIST came.
  std::optional<MonotonicTime> list_began() const { return list_began_; }
  // Whether the last request failed and none has gone well since.
  bool failing() const { return failing_; }
  std::size_t pods() const { return known_.size(); }
  const PodWatchCounters& counters() const { return counters_; }

 private:
  enum class Asking : std::uint8_t { kNothing, kList, kWatch };
  // Where a LIST reads from.
  enum class From : std::uint8_t {
    kCache,     // whatever the server's cache holds
    kNotOlder,  // its cache, once that is no older than what was seen: time does not go back
    kStore,     // the store itself, in pages: dear, and right whatever has happened
  };

  std::string list_path() const;
  std::string watch_path();
  bool on_event(WatchEvent&& event);
  void on_pod(Pod&& pod);
  void on_skipped(PodIdentity id, Error error);
  void on_gone(std::optional<PodIdentity> id, bool missed);
  void on_list_end(MonotonicTime now);
  void on_watch_end(MonotonicTime now);
  void on_refusal(const Refusal& refusal, Asking asked, MonotonicTime now);
  void on_failure(Error error, Cause cause, MonotonicTime now,
                  std::optional<Nanoseconds> retry_after = {});
  void on_success();
  void wait_longer(MonotonicTime now, std::optional<Nanoseconds> retry_after);

  std::string node_name_;
  OnChange on_change_;
  std::minstd_rand random_;
  // A third of client-go's longest wait: a node is to agree with the API within 10 s of its return.
  Backoff backoff_{{.largest = std::chrono::seconds(8)}};
  KnownPods known_;
  PodWatchCounters counters_;

  Asking asking_ = Asking::kNothing;
  MonotonicTime wait_;
  MonotonicTime asked_at_;
  std::optional<PodListReader> list_;  // of the LIST under way
  std::optional<Error> list_error_;    // why it was ended
  std::optional<WatchReader> watch_;   // of the WATCH under way
  std::optional<Status> error_event_;  // that ended it

  bool relist_ = true;  // LIST next; else WATCH
  From from_ = From::kCache;
  bool synced_ = false;
  std::optional<MonotonicTime> list_began_;
  bool failing_ = false;          // kFailed was told, kResumed not yet
  int refusals_ = 0;              // of the same request, in a row
  std::string continue_token_;    // of the LIST under way
  std::string resource_version_;  // up to where everything has been told
};

}  // namespace plimsoll::kube
