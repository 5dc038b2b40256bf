// SPDX-License-Identifier: Apache-2.0
#include "agent/apiserver/pod_watcher.h"
#include "base/clock.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

namespace plimsoll::agent {
namespace {

// Often enough for the pings of an idle connection.
constexpr Nanoseconds kKeepAlive = std::chrono::seconds(5);

}  // namespace

Result<std::unique_ptr<PodWatcher>> PodWatcher::start(std::unique_ptr<kube::Client> client,
                                                      std::string node_name, std::uint64_t seed) {
  auto changed = Wakeup::make();
  if (!changed) return tl::unexpected(changed.error());
  std::unique_ptr<PodWatcher> watcher(
      new PodWatcher(std::move(client), std::move(node_name), seed, std::move(*changed)));
  watcher->thread_ = std::thread([raw = watcher.get()] { raw->run(); });
  return watcher;
}

PodWatcher::PodWatcher(std::unique_ptr<kube::Client> client, std::string node_name,
                       std::uint64_t seed, Wakeup changed)
    : client_(std::move(client)),
      watch_(std::move(node_name), seed,
             [this](kube::PodChange&& change) { push(std::move(change)); }),
      changed_(std::move(changed)) {}

PodWatcher::~PodWatcher() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  woken_.notify_all();
  client_->stop();
  if (thread_.joinable()) thread_.join();
}

std::vector<kube::PodChange> PodWatcher::take(std::size_t most) {
  std::vector<kube::PodChange> taken;
  {
    const std::lock_guard lock(mutex_);
    const std::size_t count = std::min(most, changes_.size());
    taken.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      taken.push_back(std::move(changes_.front()));
      changes_.pop_front();
    }
    if (changes_.empty()) changed_.clear();
  }
  woken_.notify_all();
  return taken;
}

PodWatcherStatus PodWatcher::status() const {
  const std::lock_guard lock(mutex_);
  PodWatcherStatus status = status_;
  status.waiting = changes_.size();
  return status;
}

void PodWatcher::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const MonotonicTime wait = watch_.wait();
    if (monotonic_now() >= wait) {
      lock.unlock();
      ask();
      lock.lock();
    } else if (!woken_.wait_until(lock, std::min(wait, monotonic_now() + kKeepAlive),
                                  [this] { return stopping_; })) {
      lock.unlock();
      client_->keep_alive();
      lock.lock();
    }
  }
}

void PodWatcher::ask() {
  const kube::Request request = watch_.next_request(monotonic_now());
  const auto reply = client_->stream(
      request,
      [this](std::string_view piece) {
        const bool more = watch_.on_data(piece, monotonic_now());
        publish(monotonic_now());
        return more;
      },
      watch_.idle_deadline());
  watch_.on_end(reply, monotonic_now());
  publish(reply ? std::optional(monotonic_now()) : std::nullopt);
}

// Waits while the queue is full.
void PodWatcher::push(kube::PodChange&& change) {
  std::unique_lock lock(mutex_);
  woken_.wait(lock, [this] { return stopping_ || changes_.size() < kMostWaiting; });
  if (stopping_) return;
  update_status();  // is never behind what it tells
  changes_.push_back(std::move(change));
  changed_.ring();
}

void PodWatcher::publish(std::optional<MonotonicTime> contact) {
  const std::lock_guard lock(mutex_);
  update_status();
  if (contact) status_.last_contact = contact;
}

// With the mutex held.
void PodWatcher::update_status() {
  status_.synced = watch_.synced();
  status_.list_began = watch_.list_began();
  status_.failing = watch_.failing();
  status_.pods = watch_.pods();
  status_.watch = watch_.counters();
  status_.client = client_->counters();
}

}  // namespace plimsoll::agent
