// SPDX-License-Identifier: Apache-2.0
#include "kube/pod_watch.h"

#include <array>
#include <utility>

namespace plimsoll::kube {
namespace {

using std::chrono::seconds;

// A server that is overrun lets a LIST wait; the first byte comes after all of it was found.
constexpr Nanoseconds kListDeadline = seconds(60);
constexpr Nanoseconds kListSilence = seconds(30);
// Two bookmarks and a half.
constexpr Nanoseconds kWatchSilence = seconds(150);
// The server ends a watch after a time that we choose, so that not all agents come at once.
constexpr int kShortestWatch = 300;
constexpr int kLongestWatch = 600;
// A watch that ends sooner is no success, however it ended.
constexpr Nanoseconds kTooShort = seconds(1);
// The same refusal again so many times: ask otherwise.
constexpr int kMostRefusals = 3;
constexpr std::size_t kMostPods = 10'000;
constexpr std::string_view kPageSize = "500";

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      encoded += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded += {'%', kHex[byte / 16], kHex[byte % 16]};
    }
  }
  return encoded;
}

// Refusals that say nothing of the resourceVersion: another request would fare no better.
bool is_about_us(Cause cause) {
  return cause == Cause::kUnauthorized || cause == Cause::kRbac || cause == Cause::kForbidden ||
         cause == Cause::kThrottled || cause == Cause::kTransport;
}

}  // namespace

std::string_view to_string(PodChange::Kind kind) {
  constexpr std::array<std::string_view, 6> kNames{"present", "gone",   "synced",
                                                   "skipped", "failed", "resumed"};
  return kNames.at(static_cast<std::size_t>(kind));
}

PodWatch::PodWatch(std::string node_name, std::uint64_t seed, OnChange on_change)
    : node_name_(std::move(node_name)),
      on_change_(std::move(on_change)),
      random_(static_cast<std::minstd_rand::result_type>(seed ^ (seed >> 32))) {}

std::string PodWatch::list_path() const {
  std::string path = "/api/v1/pods?fieldSelector=spec.nodeName%3D" + percent_encoded(node_name_);
  if (!continue_token_.empty()) {
    return path.append("&limit=").append(kPageSize).append("&continue=") +
           percent_encoded(continue_token_);
  }
  switch (from_) {
    case From::kCache:
      return path + "&resourceVersion=0";
    case From::kNotOlder:
      return path + "&resourceVersion=" + percent_encoded(resource_version_) +
             "&resourceVersionMatch=NotOlderThan";
    case From::kStore:
      break;
  }
  return path.append("&limit=").append(kPageSize);
}

std::string PodWatch::watch_path() {
  std::uniform_int_distribution<int> timeout(kShortestWatch, kLongestWatch);
  return "/api/v1/pods?fieldSelector=spec.nodeName%3D" + percent_encoded(node_name_) +
         "&watch=true&allowWatchBookmarks=true&resourceVersion=" +
         percent_encoded(resource_version_) + "&timeoutSeconds=" + std::to_string(timeout(random_));
}

Request PodWatch::next_request(MonotonicTime now) {
  asked_at_ = now;
  list_.reset();
  list_error_.reset();
  watch_.reset();
  error_event_.reset();
  if (!relist_) {
    asking_ = Asking::kWatch;
    ++counters_.watches;
    watch_.emplace([this](WatchEvent&& event) { return on_event(std::move(event)); });
    return {.path = watch_path(), .deadline = kWatchSilence};
  }
  asking_ = Asking::kList;
  ++counters_.lists;
  if (continue_token_.empty()) known_.begin_list();
  if (continue_token_.empty() && !synced_) list_began_.reset();
  list_.emplace(
      [this](Pod&& pod) { on_pod(std::move(pod)); },
      [this](const PodGlimpse& glimpse, const Error& error) { on_skipped(glimpse.id, error); });
  return {.path = list_path(), .deadline = kListDeadline};
}

Nanoseconds PodWatch::idle_deadline() const {
  return asking_ == Asking::kWatch ? kWatchSilence : kListSilence;
}

bool PodWatch::on_data(std::string_view piece, MonotonicTime now) {
  if (asking_ == Asking::kWatch) {
    on_success();
    return watch_->feed(piece);
  }
  if (asking_ != Asking::kList) return false;
  if (!list_began_) list_began_ = now;
  if (auto fed = list_->feed(piece); !fed) {
    list_error_ = fed.error();
    return false;
  }
  return true;
}

void PodWatch::on_end(const Reply& reply, MonotonicTime now) {
  const Asking asked = std::exchange(asking_, Asking::kNothing);
  // What ended the exchange from our side comes before how it then ended.
  if (error_event_) return on_refusal(classify(*error_event_), asked, now);
  if (list_error_) return on_failure(*list_error_, Cause::kUnexpected, now);
  if (!reply) {
    if (reply.error().kind == TransportError::Kind::kStopped) return;
    // The silent watch may be one from the future, where no event will ever come.
    if (reply.error().kind == TransportError::Kind::kIdle) relist_ = true;
    return on_failure(reply.error().error, Cause::kTransport, now);
  }
  if (!is_success(reply->status)) return on_refusal(classify(*reply), asked, now);
  if (asked == Asking::kList) on_list_end(now);
  if (asked == Asking::kWatch) on_watch_end(now);
}

bool PodWatch::on_event(WatchEvent&& event) {
  switch (event.kind) {
    case WatchEvent::Kind::kError:
      error_event_ = std::move(event.status);
      return false;
    case WatchEvent::Kind::kSkipped:
      on_skipped(std::move(event.pod.id), std::move(event.error));
      return true;
    case WatchEvent::Kind::kBookmark:
      ++counters_.bookmarks;
      resource_version_ = std::move(event.pod.resource_version);
      return true;
    case WatchEvent::Kind::kDeleted:
    case WatchEvent::Kind::kAdded:
    case WatchEvent::Kind::kModified:
      break;
  }
  ++counters_.events;
  if (!event.pod.resource_version.empty()) resource_version_ = event.pod.resource_version;
  if (event.kind == WatchEvent::Kind::kDeleted) {
    if (known_.forget(event.pod.id)) on_gone(std::move(event.pod.id), false);
  } else {
    on_pod(std::move(event.pod));
  }
  return true;
}

void PodWatch::on_pod(Pod&& pod) {
  // The API server sees to both; we act on what it says, so it is looked at.
  if (pod.node_name != node_name_) {
    return on_skipped(std::move(pod.id),
                      {Code::kMalformed, "a pod of node \"" + pod.node_name + "\""});
  }
  if (known_.size() >= kMostPods && !known_.has_name(pod.id)) {
    return on_skipped(std::move(pod.id), {Code::kMalformed, "one pod too many"});
  }
  on_gone(known_.saw(pod.id), true);
  on_change_({.kind = PodChange::Kind::kPresent, .pod = std::move(pod)});
}

void PodWatch::on_skipped(PodIdentity id, Error error) {
  ++counters_.skipped;
  on_gone(known_.saw_unread(id), true);
  // Nobody knows what a watch has missed then; in a LIST there is nothing more to learn.
  if (asking_ == Asking::kWatch && id.uid.empty()) relist_ = true;
  PodChange change{.kind = PodChange::Kind::kSkipped, .error = std::move(error)};
  change.pod.id = std::move(id);
  on_change_(std::move(change));
}

void PodWatch::on_gone(std::optional<PodIdentity> id, bool missed) {
  if (!id) return;
  if (missed) ++counters_.missed_gone;
  PodChange change{.kind = PodChange::Kind::kGone};
  change.pod.id = std::move(*id);
  on_change_(std::move(change));
}

void PodWatch::on_list_end(MonotonicTime now) {
  const auto end = list_->end();
  if (!end) return on_failure(end.error(), Cause::kUnexpected, now);
  wait_ = now;
  refusals_ = 0;
  continue_token_ = end->continue_token;
  on_success();
  if (!continue_token_.empty()) return;
  for (PodIdentity& id : known_.end_list()) on_gone(std::move(id), true);
  resource_version_ = end->resource_version;
  relist_ = false;
  from_ = From::kNotOlder;
  if (synced_) ++counters_.relists;
  synced_ = true;
  on_change_({.kind = PodChange::Kind::kSynced});
}

void PodWatch::on_watch_end(MonotonicTime now) {
  refusals_ = 0;
  if (now - asked_at_ < kTooShort) {
    return on_failure({Code::kUnavailable, "the watch ended as soon as it had begun"},
                      Cause::kServer, now);
  }
  on_success();
  wait_ = now;
}

void PodWatch::on_refusal(const Refusal& refusal, Asking asked, MonotonicTime now) {
  ++refusals_;
  if (refusal.cause == Cause::kExpired) {
    // It happens to every agent when the API server has started anew: no failure, but a wait.
    ++counters_.expired;
    if (asked == Asking::kList) from_ = From::kStore;
    relist_ = true;
    continue_token_.clear();
    return wait_longer(now, refusal.retry_after);
  }
  if (refusals_ >= kMostRefusals && !is_about_us(refusal.cause)) {
    if (asked == Asking::kList) from_ = From::kStore;
    relist_ = true;
  }
  on_failure({refusal.code, refusal.message}, refusal.cause, now, refusal.retry_after);
}

void PodWatch::on_failure(Error error, Cause cause, MonotonicTime now,
                          std::optional<Nanoseconds> retry_after) {
  ++counters_.failures;
  failing_ = true;
  continue_token_.clear();  // the LIST begins anew
  wait_longer(now, retry_after);
  on_change_({.kind = PodChange::Kind::kFailed, .error = std::move(error), .cause = cause});
}

void PodWatch::on_success() {
  if (!failing_) return;
  failing_ = false;
  on_change_({.kind = PodChange::Kind::kResumed});
}

void PodWatch::wait_longer(MonotonicTime now, std::optional<Nanoseconds> retry_after) {
  std::uniform_real_distribution<double> random(0, 1);
  wait_ = now + backoff_.next(now, random(random_), retry_after);
}

}  // namespace plimsoll::kube
