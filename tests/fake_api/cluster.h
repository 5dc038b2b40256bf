// SPDX-License-Identifier: Apache-2.0
//
// Cluster: the state behind the API fake. Everything in it is guarded by `mutex`; `changed` tells
// watchers of a change. The handlers (pod_api, list_api, object_api) are functions on it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "tests/fake_api/identity.h"
#include "tests/fake_api/store.h"
#include "tests/fake_api/version.h"

namespace plimsoll::test {

struct Cluster {
  std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false;

  VersionRules rules;
  Store store;
  Gate gate;
  std::vector<std::string> node_bound_users;  // of the ValidatingAdmissionPolicy
  // Between bookmarks; the server sends one about each minute.
  std::chrono::milliseconds bookmark_interval = std::chrono::seconds(60);
  // How long a LIST from the future waits before its 504.
  std::chrono::milliseconds future_list_wait = std::chrono::seconds(3);
};

}  // namespace plimsoll::test
