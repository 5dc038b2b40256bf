// SPDX-License-Identifier: Apache-2.0
//
// What the slow loop tells the CPU thread, and what that tells back: see memory_command.h. A
// CpuTracked is the thread's from Track until CpuReport::kUntracked.
#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>
#include <variant>

#include "agent/policy/cpu.h"
#include "agent/policy/reason.h"
#include "agent/reaction/cpu_tracked.h"
#include "base/mailbox.h"
#include "base/units.h"

namespace plimsoll::agent {

namespace cpu_command {

struct About {
  CpuTracked* tracked = nullptr;
};
struct Track : About {};
struct Untrack : About {};  // answered by CpuReport::kUntracked, after which it may be destroyed
struct Observe : About {};  // somebody has written cpu.max: read it again
struct Watch : About {};    // it was throttled lately; without BPF only
struct Forget : About {};   // what was wished will not come
// How far events may go.
struct Arm {
  CpuTracked* tracked = nullptr;
  CpuArmed armed;
};
// `parent`, or none, is its parent from now on.
struct Parent {
  CpuTracked* tracked = nullptr;
  CpuTracked* parent = nullptr;
};
struct Change {
  CpuTracked* tracked = nullptr;
  MilliCpu limit;
  Reason reason = Reason::kEnoughHeadroom;
};
struct Raise : Change {};  // a decision of the slow loop
struct Lower : Change {};
struct Ahead : Change {};  // raise as far as budget and bounds allow, before it is throttled
struct Keep : Change {};   // raise whatever the budget, and stay there; 0: back to the floor
// What may be given away, all grants up to `granted_before` counted in.
struct Budget {
  MilliCpu left;
  std::int64_t granted_before = 0;
};
// `policy` holds from now on; it may change again when this is obeyed.
struct Configure {
  const CpuPolicy* policy = nullptr;
};

}  // namespace cpu_command

using CpuCommand =
    std::variant<cpu_command::Track, cpu_command::Untrack, cpu_command::Observe, cpu_command::Watch,
                 cpu_command::Forget, cpu_command::Arm, cpu_command::Parent, cpu_command::Raise,
                 cpu_command::Lower, cpu_command::Ahead, cpu_command::Keep, cpu_command::Budget,
                 cpu_command::Configure>;
static_assert(std::is_trivially_copyable_v<CpuCommand>);  // there is always one to visit

// What the CPU thread did.
struct CpuReport {
  enum class Kind : std::uint8_t { kGrant, kLowered, kDenial, kFailure, kWish, kUntracked };
  Kind kind = Kind::kGrant;
  CpuTracked* tracked = nullptr;
  Layer layer = Layer::kAtTheLimit;
  Reason reason = Reason::kThrottled;
  CpuFacts facts;  // as the event had them
  MilliCpu from;
  MilliCpu to;
  std::optional<microseconds> burst;  // kGrant: that was written, and the limit stands
  int error = 0;                      // kFailure: errno of the write
  MonotonicTime event_time;
  MonotonicTime written_time;
};

using CpuMailbox = Mailbox<CpuCommand, CpuReport, 1024, 512>;

}  // namespace plimsoll::agent
