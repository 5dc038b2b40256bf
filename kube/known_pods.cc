// SPDX-License-Identifier: Apache-2.0
#include "kube/known_pods.h"

#include <utility>

namespace plimsoll::kube {
namespace {

// Neither part can hold a slash.
std::string key_of(const PodIdentity& pod) { return pod.namespace_name + "/" + pod.name; }

PodIdentity identity_of(std::string_view key, std::string uid) {
  const std::size_t slash = key.find('/');
  return {.uid = std::move(uid),
          .namespace_name = std::string(key.substr(0, slash)),
          .name = std::string(key.substr(slash + 1))};
}

}  // namespace

std::optional<PodIdentity> KnownPods::saw(const PodIdentity& pod) {
  auto [entry, is_new] = pods_.try_emplace(key_of(pod), Entry{.uid = pod.uid});
  entry->second.seen = true;
  if (is_new || entry->second.uid == pod.uid) return std::nullopt;
  return identity_of(entry->first, std::exchange(entry->second.uid, pod.uid));
}

std::optional<PodIdentity> KnownPods::saw_unread(const PodIdentity& pod) {
  const auto entry = pods_.find(key_of(pod));
  if (entry == pods_.end()) return std::nullopt;
  if (pod.uid.empty() || pod.uid == entry->second.uid) {
    entry->second.seen = true;
    return std::nullopt;
  }
  PodIdentity before = identity_of(entry->first, std::move(entry->second.uid));
  pods_.erase(entry);
  return before;
}

bool KnownPods::forget(const PodIdentity& pod) {
  const auto entry = pods_.find(key_of(pod));
  if (entry == pods_.end() || entry->second.uid != pod.uid) return false;
  pods_.erase(entry);
  return true;
}

bool KnownPods::has_name(const PodIdentity& pod) const { return pods_.contains(key_of(pod)); }

void KnownPods::begin_list() {
  for (auto& [key, entry] : pods_) entry.seen = false;
}

std::vector<PodIdentity> KnownPods::end_list() {
  std::vector<PodIdentity> gone;
  for (auto entry = pods_.begin(); entry != pods_.end();) {
    if (entry->second.seen) {
      ++entry;
    } else {
      gone.push_back(identity_of(entry->first, std::move(entry->second.uid)));
      entry = pods_.erase(entry);
    }
  }
  return gone;
}

}  // namespace plimsoll::kube
