// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/stats.h"

#include <algorithm>
#include <utility>

namespace plimsoll::agent {
namespace {

// Event to written limit: tens of microseconds on metal, and where a millisecond begins to matter.
constexpr std::array kReactionBounds{10e-6, 20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3,
                                     2e-3,  5e-3,  10e-3, 50e-3,  200e-3, 1.0};
// One exchange with the API server.
constexpr std::array kRequestBounds{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0};
// PATCH to limit: 0.3 to 0.7 s were recorded, a minute is what old kubelets take.
constexpr std::array kPatchBounds{0.05, 0.1, 0.2, 0.3,  0.5,  0.75, 1.0,
                                  1.5,  2.5, 5.0, 10.0, 30.0, 60.0};

constexpr const char* kOther = "other";

double seconds(Nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

std::array<Distribution, kApiVerbs> distributions(std::span<const double> bounds) {
  return {Distribution(bounds), Distribution(bounds), Distribution(bounds),
          Distribution(bounds), Distribution(bounds), Distribution(bounds)};
}

bool is_raise(const ResizeEvent& answer) { return !answer.cpu && answer.to > answer.from; }

}  // namespace

void Distribution::add(double value) {
  const auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  ++counts_[static_cast<std::size_t>(bound - bounds_.begin())];
  sum_ += value;
}

std::string_view to_string(ApiVerb verb) {
  switch (verb) {
    case ApiVerb::kGet:
      return "get";
    case ApiVerb::kList:
      return "list";
    case ApiVerb::kWatch:
      return "watch";
    case ApiVerb::kPatch:
      return "patch";
    case ApiVerb::kDryRun:
      return "dry_run";
    case ApiVerb::kCreate:
      return "create";
  }
  return "unknown";
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

ApiTotals::ApiTotals() : seconds(distributions(kRequestBounds)) {}

void ApiTotals::add(const ApiExchange& exchange) {
  ApiRequestKey key{.verb = exchange.verb, .status_class = exchange.status / 100, .outcome = "ok"};
  // What no server of the API sends is one class: the label stays bounded.
  if (key.status_class < 1 || key.status_class > 5) key.status_class = 0;
  if (exchange.code) key.outcome = plimsoll::to_string(*exchange.code);
  if (exchange.outcome_unknown) key.outcome = "outcome_unknown";
  ++requests[key];
  seconds[static_cast<std::size_t>(exchange.verb)].add(agent::seconds(exchange.took));
}

void ApiTally::add(const ApiExchange& exchange) {
  const std::lock_guard lock(mutex_);
  totals_.add(exchange);
}

ApiTotals ApiTally::totals() const {
  const std::lock_guard lock(mutex_);
  return totals_;
}

Activity::Activity() : reaction_seconds(kReactionBounds), patch_to_limit_seconds(kPatchBounds) {}

CpuActivity::CpuActivity() : reaction_seconds(kReactionBounds) {}

void CpuActivity::add(const Record& record) {
  switch (record.kind) {
    case Record::Kind::kGrant:
      if (record.cpu->burst) {
        ++bursts;
      } else {
        ++grants[record.reason];
      }
      if (record.layer != Layer::kSlowLoop) reaction_seconds.add(seconds(record.reaction));
      break;
    case Record::Kind::kWish:
      ++wishes[record.reason];
      break;
    case Record::Kind::kShrink:
      ++lowerings;
      break;
    case Record::Kind::kDenial:
      ++denials[record.reason];
      break;
    case Record::Kind::kFailure:
      ++failures;
      break;
    case Record::Kind::kReclaim:
    case Record::Kind::kOomKill:
      break;
  }
}

void Activity::add(const Record& record) {
  if (record.cpu) {
    cpu.add(record);
    return;
  }
  switch (record.kind) {
    case Record::Kind::kGrant:
      ++saves[static_cast<std::size_t>(record.layer)];
      ++grants[record.reason];
      granted_bytes += (record.to - record.from).value;
      // A raise of the slow loop answers no event.
      if (record.layer != Layer::kSlowLoop) reaction_seconds.add(seconds(record.reaction));
      break;
    case Record::Kind::kWish:
      ++wishes[record.reason];
      break;
    case Record::Kind::kShrink:
      ++shrinks;
      break;
    case Record::Kind::kReclaim:
      ++reclaims;
      break;
    case Record::Kind::kDenial:
      ++denials[record.reason];
      break;
    case Record::Kind::kFailure:
      ++failures;
      break;
    case Record::Kind::kOomKill:
      ++oom_kills;
      break;
  }
}

void Activity::add(const ResizeEvent& answer) {
  ++answers[static_cast<std::size_t>(answer.kind)];
  if (answer.kind == ResizeEvent::Kind::kApplied) {
    if (answer.patch_to_limit) patch_to_limit_seconds.add(seconds(*answer.patch_to_limit));
    // A bridged raise was counted when it was written.
    if (is_raise(answer) && !answer.bridged) {
      ++saves[static_cast<std::size_t>(answer.layer)];
      granted_bytes += (answer.to - answer.from).value;
    }
  }
  if (answer.kind == ResizeEvent::Kind::kRefused) {
    const bool known = refusals.contains(answer.cause) || refusals.size() + 1 < kMostCauses;
    ++refusals[known && !answer.cause.empty() ? answer.cause : kOther];
  }
}

}  // namespace plimsoll::agent
