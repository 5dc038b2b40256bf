// SPDX-License-Identifier: Apache-2.0
#include "agent/apiserver/request_stats.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "base/enum_table.h"
#include "kube/status.h"

namespace plimsoll::agent {
namespace {

constexpr auto kVerbs = std::to_array<EnumWord<ApiVerb>>({
    {ApiVerb::kGet, "get"},
    {ApiVerb::kList, "list"},
    {ApiVerb::kWatch, "watch"},
    {ApiVerb::kPatch, "patch"},
    {ApiVerb::kDryRun, "dry_run"},
    {ApiVerb::kCreate, "create"},
});
static_assert(has_row_for_each(kVerbs, ApiVerb::kCreate));

constexpr std::array kSecondsBounds{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0};

}  // namespace

std::string_view to_string(ApiVerb verb) { return word_of(kVerbs, verb); }

ApiVerb verb_of(const kube::Request& request) {
  const std::string_view path = request.path;
  const std::string_view query = path.substr(std::min(path.find('?'), path.size()));
  const auto asks = [&](std::string_view parameter) {
    return query.find(parameter) != std::string_view::npos;
  };
  switch (request.method) {
    case kube::Method::kGet:
      if (asks("watch=true")) return ApiVerb::kWatch;
      return asks("fieldSelector=") ? ApiVerb::kList : ApiVerb::kGet;
    case kube::Method::kPost:
      return ApiVerb::kCreate;
    case kube::Method::kPatch:
      return asks("dryRun=All") ? ApiVerb::kDryRun : ApiVerb::kPatch;
  }
  return ApiVerb::kGet;
}

ApiExchange exchange_of(ApiVerb verb, const kube::Reply& reply, Nanoseconds took) {
  ApiExchange exchange{.verb = verb, .took = took};
  if (reply && kube::is_success(reply->status)) {
    exchange.status = reply->status;
    return exchange;
  }
  const kube::Refusal refusal = reply ? kube::classify(*reply) : kube::classify(reply.error());
  exchange.status = reply ? reply->status : reply.error().status;
  exchange.code = refusal.code;
  exchange.outcome_unknown = refusal.outcome_unknown;
  return exchange;
}

ApiTotals::ApiTotals()
    : seconds{Distribution(kSecondsBounds), Distribution(kSecondsBounds),
              Distribution(kSecondsBounds), Distribution(kSecondsBounds),
              Distribution(kSecondsBounds), Distribution(kSecondsBounds)} {}

void ApiTotals::add(const ApiExchange& exchange) {
  ApiRequestKey key{.verb = exchange.verb, .status_class = exchange.status / 100, .outcome = "ok"};
  // What no server of the API sends is one class: the label stays bounded.
  if (key.status_class < 1 || key.status_class > 5) key.status_class = 0;
  if (exchange.code) key.outcome = plimsoll::to_string(*exchange.code);
  if (exchange.outcome_unknown) key.outcome = "outcome_unknown";
  ++requests[key];
  seconds[static_cast<std::size_t>(exchange.verb)].add(
      std::chrono::duration<double>(exchange.took).count());
}

void ApiTally::on_exchange(const kube::Request& request, const kube::Reply& reply,
                           Nanoseconds took) {
  const ApiExchange exchange = exchange_of(verb_of(request), reply, took);
  const std::lock_guard lock(mutex_);
  totals_.add(exchange);
}

ApiTotals ApiTally::totals() const {
  const std::lock_guard lock(mutex_);
  return totals_;
}

}  // namespace plimsoll::agent
