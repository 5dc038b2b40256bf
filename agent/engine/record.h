// SPDX-License-Identifier: Apache-2.0
//
// Record: something that the engine has done or refused, with its reason. One line of the log, one
// item of the report.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/policy/cpu.h"
#include "agent/policy/memory.h"
#include "agent/policy/reason.h"
#include "agent/policy/snapshot.h"
#include "base/units.h"

namespace plimsoll::agent {

// What a record tells of a CPU limit.
struct CpuChange {
  CpuFacts facts;
  MilliCpu from;
  MilliCpu to;
  std::optional<microseconds> burst;  // was given, and the limit stands

  bool operator==(const CpuChange&) const = default;
};

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
  MemoryFacts facts;
  Bytes from;
  Bytes to;
  Nanoseconds reaction{};  // event to written limit
  std::string error;       // kFailure only
  // Set: this is about the CPU limit, and facts, from and to mean nothing.
  std::optional<CpuChange> cpu;
};
std::string_view to_string(Record::Kind kind);

}  // namespace plimsoll::agent
