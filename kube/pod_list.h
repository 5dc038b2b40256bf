// SPDX-License-Identifier: Apache-2.0
//
// Reads a PodList as its bytes arrive: each pod is handed on as soon as its last byte is here, so
// that a list of any length costs the memory of one pod. No I/O.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "kube/json_members.h"
#include "kube/pod.h"
#include "kube/pod_json.h"

namespace plimsoll::kube {

// What a whole list says of itself.
struct PodListEnd {
  std::string resource_version;
  std::string continue_token;  // empty: this was the last page

  bool operator==(const PodListEnd&) const = default;
};

class PodListReader {
 public:
  using OnPod = std::function<void(Pod&&)>;
  // A pod that was malformed or too large: which, as far as that can be said, and why.
  using OnSkipped = std::function<void(const PodGlimpse&, const Error&)>;

  PodListReader(OnPod on_pod, OnSkipped on_skipped);
  PodListReader(const PodListReader&) = delete;
  PodListReader& operator=(const PodListReader&) = delete;
  ~PodListReader() = default;

  // kMalformed: this is no PodList.
  Result<void> feed(std::string_view chunk);

  // After the last byte. kMalformed: the list was cut, is none, or has no resourceVersion.
  Result<PodListEnd> end() const;

 private:
  void on_member(const JsonMembers::Member& member);
  void on_item(const JsonMembers::Member& member);

  OnPod on_pod_;
  OnSkipped on_skipped_;
  JsonMembers members_;
  std::string kind_;  // quoted, as it was written
  PodListEnd end_;
};

}  // namespace plimsoll::kube
