// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/stats.h"

#include <array>

namespace plimsoll::agent {
namespace {

// Event to written limit: tens of microseconds on metal, and where a millisecond begins to matter.
constexpr std::array kReactionBounds{10e-6, 20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3,
                                     2e-3,  5e-3,  10e-3, 50e-3,  200e-3, 1.0};
// PATCH to limit: 0.3 to 0.7 s were recorded, a minute is what old kubelets take.
constexpr std::array kPatchBounds{0.05, 0.1, 0.2, 0.3,  0.5,  0.75, 1.0,
                                  1.5,  2.5, 5.0, 10.0, 30.0, 60.0};

constexpr const char* kOther = "other";

double seconds(Nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

ChangeCounts::ChangeCounts() : reaction_seconds(kReactionBounds) {}

Activity::Activity() : patch_to_limit_seconds(kPatchBounds) {}

void Activity::add(const Record& record) {
  const auto* memory_change = std::get_if<MemoryChange>(&record.change);
  ChangeCounts& counts = memory_change == nullptr ? cpu : memory;
  switch (record.kind) {
    case Record::Kind::kGrant:
      if (record.burst) {
        ++cpu_bursts;
      } else {
        ++counts.grants[record.reason];
      }
      if (memory_change != nullptr) {
        ++saves[static_cast<std::size_t>(record.layer)];
        granted_bytes += (memory_change->to - memory_change->from).value;
      }
      // A raise of the slow loop answers no event.
      if (record.layer != Layer::kSlowLoop) counts.reaction_seconds.add(seconds(record.reaction));
      break;
    case Record::Kind::kWish:
      ++counts.wishes[record.reason];
      break;
    case Record::Kind::kShrink:
      ++counts.shrinks;
      break;
    case Record::Kind::kReclaim:
      ++reclaims;
      break;
    case Record::Kind::kDenial:
      ++counts.denials[record.reason];
      break;
    case Record::Kind::kFailure:
      ++counts.failures;
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
    const auto* change = std::get_if<MemoryChange>(&answer.change);
    if (change != nullptr && is_raise(*change) && !answer.bridged) {
      ++saves[static_cast<std::size_t>(answer.layer)];
      granted_bytes += (change->to - change->from).value;
    }
  }
  if (answer.kind == ResizeEvent::Kind::kRefused) {
    const bool known = refusals.contains(answer.cause) || refusals.size() + 1 < kMostCauses;
    ++refusals[known && !answer.cause.empty() ? answer.cause : kOther];
  }
}

}  // namespace plimsoll::agent
