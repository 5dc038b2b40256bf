// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/event_poster.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "kube/backoff.h"
#include "kube/status.h"

namespace plimsoll::agent {
namespace {

// A qualified name of ours, as the API wants the reporting controller to be.

kube::WallTime wall_now() {
  return std::chrono::time_point_cast<kube::WallTime::duration>(std::chrono::system_clock::now());
}

struct Queued {
  Notice notice;
  kube::WallTime at;
};

}  // namespace

struct EventPoster::Impl {
  Impl(EventPosterOptions given, Send way)
      : options(std::move(given)), send(std::move(way)), policy(options.limits) {}

  void run() {
    while (!stopping()) {
      if (const auto queued = next()) {
        if (const auto write = policy.take(queued->notice, monotonic_now(), queued->at)) {
          deliver(*write);
        }
      }
      for (const EventWrite& write : policy.due(monotonic_now())) deliver(write);
      suppressed.store(policy.suppressed(), std::memory_order_relaxed);
    }
  }

  bool stopping() const {
    const std::lock_guard lock(mutex);
    return stop;
  }

  // Waits for a notice, the end of a window or the end.
  std::optional<Queued> next() {
    std::unique_lock lock(mutex);
    const auto woken = [this] { return stop || !queue.empty(); };
    if (const auto until = policy.next()) {
      changed.wait_until(lock, *until, woken);
    } else {
      changed.wait(lock, woken);
    }
    if (stop || queue.empty()) return std::nullopt;
    Queued first = std::move(queue.front());
    queue.pop_front();
    return first;
  }

  // False: the end came first.
  bool pause(Nanoseconds duration) {
    std::unique_lock lock(mutex);
    return !changed.wait_for(lock, duration, [this] { return stop; });
  }

  // Writes until it is stored, refused or given up.
  void deliver(EventWrite write) {
    kube::Backoff backoff({.first = options.pause, .largest = options.pause_max});
    // The same for every attempt, so that a second one finds what the first had stored unheard.
    const std::string fresh = fresh_name(write);
    for (std::uint32_t attempt = 1; monotonic_now() >= silent_until && !stopping(); ++attempt) {
      const std::string& name = write.series_of.empty() ? fresh : write.series_of;
      const kube::Reply reply = send(request_of(write, name));
      if (reply && kube::is_success(reply->status)) return stored(write, name);
      const kube::Refusal refusal = reply ? kube::classify(*reply) : kube::classify(reply.error());
      if (refusal.cause == kube::Cause::kAlreadyExists) return stored(write, name);
      if (refusal.cause == kube::Cause::kRbac) {
        silent_until = monotonic_now() + options.silence_when_denied;
      }
      if (refusal.code == Code::kGone && !write.series_of.empty()) {
        write.series_of.clear();  // Events live for an hour or so
        continue;
      }
      if (refusal.code != Code::kUnavailable || attempt >= options.attempts) break;
      const double share = std::uniform_real_distribution<double>(0, 1)(random);
      if (!pause(backoff.next(monotonic_now(), share, refusal.retry_after))) break;
    }
    failed.fetch_add(1, std::memory_order_relaxed);
  }

  void stored(const EventWrite& write, const std::string& name) {
    if (write.series_of.empty()) policy.stored(write, name);
    posted.fetch_add(1, std::memory_order_relaxed);
  }

  kube::Request request_of(const EventWrite& write, const std::string& name) const {
    if (!write.series_of.empty()) {
      return kube::update_series(kube::event_namespace(write.subject), name, write.count,
                                 write.time);
    }
    return kube::create_event({.name = name,
                               .subject = write.subject,
                               .reason = std::string(to_string(write.reason)),
                               .action = std::string(action_of(write.reason)),
                               .note = write.note,
                               .warning = is_warning(write.reason),
                               .time = write.time,
                               .controller = kReportingController,
                               .instance = options.instance});
  }

  std::string fresh_name(const EventWrite& write) {
    const auto micros = static_cast<std::uint64_t>(write.time.time_since_epoch().count());
    return kube::event_name(write.subject.name, micros * 1000 + serial++ % 1000);
  }

  const EventPosterOptions options;
  const Send send;

  mutable std::mutex mutex;
  std::condition_variable changed;
  std::deque<Queued> queue;
  bool stop = false;

  // The thread's own.
  EventPolicy policy;
  MonotonicTime silent_until;
  std::uint64_t serial = 0;
  std::minstd_rand random{std::random_device{}()};

  std::atomic<std::uint64_t> posted{0};
  std::atomic<std::uint64_t> suppressed{0};
  std::atomic<std::uint64_t> dropped{0};
  std::atomic<std::uint64_t> failed{0};
  std::thread thread;
};

EventPoster::EventPoster(EventPosterOptions options, Send send)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(send))) {
  impl_->thread = std::thread([&running = *impl_] { running.run(); });
}

EventPoster::~EventPoster() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
  }
  impl_->changed.notify_all();
  impl_->thread.join();
}

void EventPoster::post(Notice notice) {
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->queue.size() >= std::max<std::size_t>(impl_->options.queue, 1)) {
      impl_->queue.pop_front();
      impl_->dropped.fetch_add(1, std::memory_order_relaxed);
    }
    impl_->queue.push_back({std::move(notice), wall_now()});
  }
  impl_->changed.notify_all();
}

EventPoster::Totals EventPoster::totals() const {
  return {.posted = impl_->posted.load(std::memory_order_relaxed),
          .suppressed = impl_->suppressed.load(std::memory_order_relaxed),
          .dropped = impl_->dropped.load(std::memory_order_relaxed),
          .failed = impl_->failed.load(std::memory_order_relaxed)};
}

}  // namespace plimsoll::agent
