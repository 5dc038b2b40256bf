// SPDX-License-Identifier: Apache-2.0
//
// How often the API server is asked for what, how it answers, and how long that takes. Every client
// whose configuration names a tally is counted by it (kube::ClientConfig::observer), so that no
// thread that makes requests can be forgotten.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string_view>

#include "base/histogram.h"
#include "base/result.h"
#include "base/units.h"
#include "kube/client.h"

namespace plimsoll::agent {

enum class ApiVerb : std::uint8_t { kGet, kList, kWatch, kPatch, kDryRun, kCreate };
inline constexpr std::size_t kApiVerbs = 6;
std::string_view to_string(ApiVerb verb);

// What `request` asks for, by its method and query.
ApiVerb verb_of(const kube::Request& request);

// One exchange with the API server, as the thread that made it saw it.
struct ApiExchange {
  ApiVerb verb = ApiVerb::kGet;
  int status = 0;            // HTTP; 0: none came
  std::optional<Code> code;  // what the failure means to us; absent: a success
  bool outcome_unknown = false;
  Nanoseconds took{};  // of a list or a watch: until its reply began

  bool operator==(const ApiExchange&) const = default;
};
ApiExchange exchange_of(ApiVerb verb, const kube::Reply& reply, Nanoseconds took);

struct ApiRequestKey {
  ApiVerb verb = ApiVerb::kGet;
  int status_class = 0;      // 2 for 2xx, ...; 0: no reply
  std::string_view outcome;  // "ok", "unknown" or the code's name

  auto operator<=>(const ApiRequestKey&) const = default;
};

// Totals of all exchanges. Bounded: verbs times status classes times outcomes.
struct ApiTotals {
  ApiTotals();
  void add(const ApiExchange& exchange);

  std::map<ApiRequestKey, std::uint64_t> requests;
  std::array<Distribution, kApiVerbs> seconds;
};

// ApiTotals that all threads with a client share. Takes a lock, so it is nothing for the reaction
// threads.
class ApiTally final : public kube::ExchangeObserver {
 public:
  void on_exchange(const kube::Request& request, const kube::Reply& reply,
                   Nanoseconds took) override;
  ApiTotals totals() const;

 private:
  mutable std::mutex mutex_;
  ApiTotals totals_;
};

}  // namespace plimsoll::agent
