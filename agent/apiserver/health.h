// SPDX-License-Identifier: Apache-2.0
//
// What the whole node knows of the API server: what it can do, whether it answers, and how long a
// PATCH takes to reach the cgroup. Fed by the slow loop with what the threads that talk to it
// found; pods see it as ApiStatus. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/apiserver/probe.h"
#include "base/units.h"
#include "kube/resize.h"
#include "kube/status.h"

namespace plimsoll::agent {

// No use of the API for now, by no decision of it: unreachable, 5xx, 429.
bool means_away(const kube::Refusal& refusal);

// How long its sender is to wait before it asks again: what the answer says, within reason, for it
// is one answer, and may be of something in between.
Nanoseconds wait_asked_for(const kube::Refusal& refusal);

struct ApiHealth {
  bool away = false;
  bool slow = false;        // rescue deadlines were missed
  MonotonicTime since;      // it is away or back
  MonotonicTime next_turn;  // away: when one pod may try
  MonotonicTime slow_until;
  std::uint32_t failures = 0;  // since it was last heard
  // What failed first since then: a namespace, or "" for what is of none.
  std::optional<std::string> failing;

  bool operator==(const ApiHealth&) const = default;
};

// After each exchange of whatever thread, about `name_space` or "": `refusal` is absent after a
// success. It goes away when it cannot be reached, or fails for more than one of these: whatever
// stands in the way of one namespace, a webhook say, is no reason to do without it elsewhere.
void note_exchange(ApiHealth& health, const std::optional<kube::Refusal>& refusal,
                   std::string_view name_space, MonotonicTime now);

// Whether a pod may ask. While the API is away only one may at a time; the caller that then asked
// says so with took_turn().
bool has_turn(const ApiHealth& health, MonotonicTime now);
void took_turn(ApiHealth& health, MonotonicTime now);

// PATCH sent to limit in force: what it takes nine times of ten. Of the last kSamples measured
// ones; until there are so many, the configured guess counts as one of them.
class PatchLatency {
 public:
  explicit PatchLatency(Nanoseconds guess) : samples_{guess} {}

  void add(Nanoseconds sample);
  Nanoseconds nine_of_ten() const;

 private:
  static constexpr std::size_t kSamples = 20;
  std::vector<Nanoseconds> samples_;  // the guess first, until it gives way
  std::size_t next_ = 0;
};

// The API server as all pods see it.
struct ApiStatus {
  kube::ResizeAbility ability;
  bool away = false;                    // the last exchanges failed: unreachable, 5xx, 429
  bool may_ask = true;                  // false while it is away, but for the one that tries
  std::optional<MonotonicTime> ask_at;  // else: when somebody may try
  bool slow = false;                    // rescue deadlines were missed lately: take the long one
  Nanoseconds patch_to_limit = std::chrono::seconds(1);  // what that takes, nine times of ten

  bool operator==(const ApiStatus&) const = default;
};

class ApiServerHealth {
 public:
  // `patch_to_limit`: until it has been measured often enough.
  explicit ApiServerHealth(Nanoseconds patch_to_limit) : latency_(patch_to_limit) {}

  // What the probe found. False: nothing new.
  bool learn(const ApiFacts& facts);
  // Absent until the first learn(): until then the API counts as away.
  const std::optional<ApiFacts>& facts() const { return facts_; }

  // As note_exchange(). Whether it has gone away or come back by this.
  bool note(const std::optional<kube::Refusal>& refusal, std::string_view name_space,
            MonotonicTime now);
  bool away() const { return health_.away; }
  // A pod has asked; while the API is away, the next one waits.
  void asked(MonotonicTime now) { took_turn(health_, now); }

  void note_patch_to_limit(Nanoseconds took) { latency_.add(took); }
  Nanoseconds patch_to_limit() const { return latency_.nine_of_ten(); }

  ApiStatus status(MonotonicTime now) const;

 private:
  std::optional<ApiFacts> facts_;
  ApiHealth health_;
  PatchLatency latency_;
};

}  // namespace plimsoll::agent
