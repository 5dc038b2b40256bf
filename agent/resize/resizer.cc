// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/resizer.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/fd.h"
#include "base/wakeup.h"
#include "kube/client.h"
#include "kube/resize.h"
#include "kube/token_bucket.h"

namespace plimsoll::agent {
namespace {

constexpr std::size_t kUrgencies = 3;
// How long the first worker sleeps between two looks at its connection, and the others anyway.
constexpr Nanoseconds kKeepAlive = std::chrono::seconds(10);
constexpr Nanoseconds kSleep = std::chrono::hours(1);

struct Job {
  SendResize request;
  kube::ResizePath path = kube::ResizePath::kSubresource;
};

std::size_t index_of(SendResize::Urgency urgency) { return static_cast<std::size_t>(urgency); }

kube::Refusal transport_refusal(std::string message) {
  return {.code = Code::kUnavailable,
          .cause = kube::Cause::kTransport,
          .message = std::move(message),
          .retry_after = std::nullopt,
          .outcome_unknown = false};
}

}  // namespace

struct Resizer::Impl {
  struct Worker {
    std::unique_ptr<kube::Client> client;
    bool busy = false;
    std::thread thread;
  };

  explicit Impl(ResizerConfig config_in)
      : config(std::move(config_in)),
        bucket(config.requests_per_second, config.burst),
        preflights(config.preflights_per_second, std::max(1.0, config.preflights_per_second)),
        workers(config.workers) {}

  const ResizerConfig config;
  Wakeup outcome_came;

  std::mutex mutex;  // of all below
  std::condition_variable changed;
  bool stopping = false;
  kube::TokenBucket bucket;
  kube::TokenBucket preflights;
  std::array<std::deque<Job>, kUrgencies> queues;
  std::set<std::string> storing;  // uids of pods whose PATCH is under way
  std::vector<ResizerOutcome> outcomes;
  std::size_t outstanding = 0;  // queued, under way, or an outcome not fetched
  std::size_t patient = 0;      // workers that do something other than a rescue
  std::uint64_t dropped = 0;
  std::vector<Worker> workers;

  void run(std::size_t number);
  std::optional<Job> take(std::size_t number, std::unique_lock<std::mutex>& lock);
  std::deque<Job>::iterator ready_job(std::size_t urgency);
  bool may_serve(std::size_t urgency) const;
  void serve(std::size_t number, const Job& job);
  void finish(const Job& job, ResizeOutcome outcome);
};

std::deque<Job>::iterator Resizer::Impl::ready_job(std::size_t urgency) {
  std::deque<Job>& queue = queues[urgency];
  return std::find_if(queue.begin(), queue.end(), [&](const Job& job) {
    return job.request.resize.dry_run || !storing.contains(job.request.resize.pod.uid);
  });
}

bool Resizer::Impl::may_serve(std::size_t urgency) const {
  return urgency == index_of(SendResize::Urgency::kRescue) || patient < workers.size() / 2;
}

// Blocks until there is something for this worker; nullopt: the end, or time to look at the
// connection. The first worker that is free takes what comes, so that in quiet times one connection
// is used and the others do not exist.
std::optional<Job> Resizer::Impl::take(std::size_t number, std::unique_lock<std::mutex>& lock) {
  const MonotonicTime until = monotonic_now() + (number == 0 ? kKeepAlive : kSleep);
  while (!stopping) {
    const MonotonicTime now = monotonic_now();
    MonotonicTime wake = until;
    const bool first_free =
        std::all_of(workers.begin(), workers.begin() + static_cast<std::ptrdiff_t>(number),
                    [](const Worker& worker) { return worker.busy; });
    for (std::size_t urgency = 0; first_free && urgency < kUrgencies; ++urgency) {
      const auto job = ready_job(urgency);
      if (job == queues[urgency].end() || !may_serve(urgency)) continue;
      const bool is_preflight = urgency == index_of(SendResize::Urgency::kPreflight);
      Nanoseconds wait = bucket.wait(now);
      if (is_preflight) wait = std::max(wait, preflights.wait(now));
      if (wait > Nanoseconds{}) {
        wake = std::min(wake, now + wait);
        break;  // what is less urgent waits as well
      }
      bucket.take(now);
      if (is_preflight) preflights.take(now);
      Job taken = std::move(*job);
      queues[urgency].erase(job);
      return taken;
    }
    if (now >= until) return std::nullopt;
    changed.wait_until(lock, wake);
  }
  return std::nullopt;
}

void Resizer::Impl::finish(const Job& job, ResizeOutcome outcome) {
  outcomes.push_back({.uid = job.request.resize.pod.uid,
                      .dry_run = job.request.resize.dry_run,
                      .outcome = std::move(outcome)});
  outcome_came.ring();
}

void Resizer::Impl::serve(std::size_t number, const Job& job) {
  kube::Request request = kube::resize_request(job.request.resize, job.path, config.field_manager);
  request.deadline = job.request.deadline;
  Worker& worker = workers[number];
  if (!worker.client) {
    Result<std::unique_ptr<kube::Client>> made = kube::Client::make(config.client);
    const std::lock_guard guard(mutex);
    if (!made) {
      const MonotonicTime now = monotonic_now();
      finish(job, {.id = job.request.id,
                   .refusal = transport_refusal(made.error().message),
                   .sent = now,
                   .answered = now});
      return;
    }
    worker.client = std::move(*made);
    if (stopping) return;  // nobody would stop it
  }
  const MonotonicTime sent = monotonic_now();
  const kube::Reply reply = worker.client->send(request);
  const MonotonicTime answered = monotonic_now();
  ResizeOutcome outcome = outcome_of(job.request, reply, sent, answered);
  const std::lock_guard guard(mutex);
  finish(job, std::move(outcome));
}

void Resizer::Impl::run(std::size_t number) {
  std::unique_lock lock(mutex);
  while (!stopping) {
    const std::optional<Job> job = take(number, lock);
    if (!job) {
      kube::Client* client = workers[number].client.get();
      lock.unlock();
      // Only the first is kept warm; the others are for crowds.
      if (client != nullptr && number == 0) client->keep_alive();
      lock.lock();
      continue;
    }
    const bool is_patient = job->request.urgency != SendResize::Urgency::kRescue;
    const bool stores = !job->request.resize.dry_run;
    workers[number].busy = true;
    patient += is_patient ? 1 : 0;
    if (stores) storing.insert(job->request.resize.pod.uid);
    lock.unlock();
    changed.notify_all();  // the next worker is the first free one now
    serve(number, *job);
    lock.lock();
    workers[number].busy = false;
    patient -= is_patient ? 1 : 0;
    if (stores) storing.erase(job->request.resize.pod.uid);
    changed.notify_all();
  }
}

Resizer::Resizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<Resizer>> Resizer::start(const ResizerConfig& config) {
  if (config.workers < 2) return fail(Code::kMalformed, "a resizer needs at least two workers");
  auto impl = std::make_unique<Impl>(config);
  auto wakeup = Wakeup::make();
  if (!wakeup) return tl::unexpected(wakeup.error());
  impl->outcome_came = std::move(*wakeup);
  Result<std::unique_ptr<kube::Client>> first = kube::Client::make(config.client);
  if (!first) return tl::unexpected(first.error());
  impl->workers[0].client = std::move(*first);
  auto resizer = std::unique_ptr<Resizer>(new Resizer(std::move(impl)));
  Impl* running = resizer->impl_.get();
  for (std::size_t i = 0; i < running->workers.size(); ++i) {
    running->workers[i].thread = std::thread([running, i] { running->run(i); });
  }
  return resizer;
}

Resizer::~Resizer() {
  {
    const std::lock_guard guard(impl_->mutex);
    impl_->stopping = true;
    for (Impl::Worker& worker : impl_->workers) {
      if (worker.client) worker.client->stop();
    }
  }
  impl_->changed.notify_all();
  for (Impl::Worker& worker : impl_->workers) {
    if (worker.thread.joinable()) worker.thread.join();
  }
}

bool Resizer::submit(const SendResize& request, kube::ResizePath path) {
  {
    const std::lock_guard guard(impl_->mutex);
    if (impl_->outstanding >= impl_->config.queue || path == kube::ResizePath::kNone) {
      ++impl_->dropped;
      return false;
    }
    ++impl_->outstanding;
    impl_->queues[index_of(request.urgency)].push_back({.request = request, .path = path});
  }
  impl_->changed.notify_all();
  return true;
}

std::vector<ResizerOutcome> Resizer::collect() {
  impl_->outcome_came.clear();
  const std::lock_guard guard(impl_->mutex);
  impl_->outstanding -= impl_->outcomes.size();
  return std::exchange(impl_->outcomes, {});
}

int Resizer::outcome_fd() const { return impl_->outcome_came.fd(); }

std::uint64_t Resizer::dropped_total() const {
  const std::lock_guard guard(impl_->mutex);
  return impl_->dropped;
}

ResizerOutcome dropped(const SendResize& request, MonotonicTime now, std::string why) {
  return {.uid = request.resize.pod.uid,
          .dry_run = request.resize.dry_run,
          .outcome = {.id = request.id,
                      .refusal = transport_refusal(std::move(why)),
                      .sent = now,
                      .answered = now}};
}

ResizeOutcome outcome_of(const SendResize& request, const kube::Reply& reply, MonotonicTime sent,
                         MonotonicTime answered) {
  ResizeOutcome outcome{.id = request.id, .sent = sent, .answered = answered};
  if (!reply) {
    outcome.status = reply.error().status;
    outcome.refusal = kube::classify(reply.error());
    return outcome;
  }
  outcome.status = reply->status;
  if (!kube::is_success(reply->status)) {
    outcome.refusal = kube::classify(*reply);
    return outcome;
  }
  Result<kube::Pod> pod = kube::parse_resize_reply(*reply);
  if (pod) {
    outcome.pod = *std::move(pod);
    return outcome;
  }
  // It was taken, but what came back cannot be read: asking again is safe.
  outcome.refusal = transport_refusal(pod.error().message);
  outcome.refusal->outcome_unknown = true;
  return outcome;
}

}  // namespace plimsoll::agent
