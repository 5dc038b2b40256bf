// SPDX-License-Identifier: Apache-2.0
//
// The API server: what it has stored of each pod and what its admission says to a resize, in the
// words that were recorded (tests/contract/kube). Values only; when an answer comes, and whether at
// all, is the world's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "kube/http.h"
#include "kube/pod.h"
#include "kube/resize.h"
#include "tests/sim/act.h"

namespace plimsoll::sim {

// What admission says in one namespace.
struct Admission {
  std::optional<Bytes> quota;  // of the memory limits of its pods together
  std::optional<MilliCpu> cpu_quota;
  std::optional<Bytes> range;  // of each container's memory limit
  Webhook webhook = kNoWebhook;
  std::int64_t webhook_value = 0;

  bool operator==(const Admission&) const = default;
};

// Either the pod as it is now, or the answer that says no.
struct Answer {
  std::optional<kube::Pod> pod;
  kube::Response response;
};

class ApiServer {
 public:
  Admission& admission(const std::string& space) { return admission_[space]; }

  // As created: with a uid, generation 1 and no status.
  const kube::Pod& create(kube::Pod pod);
  void remove(const std::string& uid) { version_ += pods_.erase(uid); }
  const kube::Pod* find(const std::string& uid) const;
  const std::map<std::string, kube::Pod>& pods() const { return pods_; }

  // By `manager`, through the subresource.
  Answer resize(const kube::Resize& resize, std::string_view manager, MonotonicTime now);
  // The same question, without an answer to anybody: whether it would be stored as it is.
  bool would_store(const kube::Resize& resize) const;
  // Labels, annotations, status: of the stored pod, under a new resourceVersion.
  template <typename Change>
  void change(const std::string& uid, Change&& change) {
    const auto found = pods_.find(uid);
    if (found == pods_.end()) return;
    change(found->second);
    found->second.resource_version = std::to_string(++version_);
  }
  // Puts an older state in the place of this one, as a backup of etcd does.
  void restore(const kube::Pod& pod);
  std::uint64_t version() const { return version_; }

 private:
  Answer judge(const kube::Resize& resize) const;

  std::uint64_t version_ = 100;
  std::map<std::string, kube::Pod> pods_;
  std::map<std::string, Admission> admission_;
};

kube::Response status_of(int code, std::string_view reason, const std::string& message,
                         std::string_view pod);

}  // namespace plimsoll::sim
