// SPDX-License-Identifier: Apache-2.0
//
// Which pods have been told of, so that a deletion that nobody reported is noticed: by a LIST that
// does not have the pod, or by another pod under its name.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kube/pod.h"

namespace plimsoll::kube {

class KnownPods {
 public:
  // `pod` exists. Returns the one that had its name before, which therefore is gone.
  std::optional<PodIdentity> saw(const PodIdentity& pod);

  // `pod` exists but could not be read: a LIST has not lost it. Returns as saw(), but does not make
  // it known. An empty uid means whichever had the name.
  std::optional<PodIdentity> saw_unread(const PodIdentity& pod);

  // False: it was not known.
  bool forget(const PodIdentity& pod);

  // Whether a pod is known under this name, whatever its uid.
  bool has_name(const PodIdentity& pod) const;

  // A LIST from the beginning, and its end: returns and forgets what was not seen in it.
  void begin_list();
  std::vector<PodIdentity> end_list();

  std::size_t size() const { return pods_.size(); }

 private:
  struct Entry {
    std::string uid;
    bool seen = true;  // in the LIST under way
  };
  using Entries = std::map<std::string, Entry, std::less<>>;

  Entries pods_;  // by "namespace/name"
};

}  // namespace plimsoll::kube
