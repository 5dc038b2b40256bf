// SPDX-License-Identifier: Apache-2.0
//
// Record: something that the engine has done or refused, with its reason. One line of the log, one
// item of the report.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "agent/policy/cpu.h"
#include "agent/policy/limit_change.h"
#include "agent/policy/memory.h"
#include "agent/policy/reason.h"
#include "agent/policy/snapshot.h"
#include "base/units.h"

namespace plimsoll::agent {

struct Record {
  // kGrant: a limit was raised. kWish: somebody else has to change the limit `from` to `to`; comes
  // again when more is needed, or a second later if it still is. Both when a part was written.
  enum class Kind : std::uint8_t { kGrant, kShrink, kReclaim, kDenial, kFailure, kOomKill, kWish };
  Kind kind = Kind::kGrant;
  Slot slot = 0;
  CgroupId id{};
  MonotonicTime at;
  Layer layer = Layer::kSlowLoop;
  Reason reason = Reason::kEnoughHeadroom;
  std::variant<MemoryFacts, CpuFacts> facts;  // of the resource of `change`
  LimitChange change;
  Nanoseconds reaction{};             // event to written limit
  std::string error;                  // kFailure only
  std::optional<microseconds> burst;  // of CPU: was given, and the limit stands
};
std::string_view to_string(Record::Kind kind);

}  // namespace plimsoll::agent
