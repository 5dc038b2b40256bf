// SPDX-License-Identifier: Apache-2.0
//
// What the slow loop tells the reaction thread, and what that tells back. Values without memory of
// their own, so that a queue carries them; commands are obeyed in the order in which they are sent.
#pragma once

#include <cstdint>
#include <optional>
#include <type_traits>
#include <variant>

#include "agent/policy/memory.h"
#include "agent/policy/snapshot.h"
#include "agent/reaction/fallback_signals.h"
#include "base/mailbox.h"
#include "base/units.h"
#include "cgroup/limit_file.h"

namespace plimsoll::agent {

// A tracked cgroup: its slot, and which of those that had it. What is meant for a former one does
// nothing.
struct Tenant {
  Slot slot = 0;
  std::uint32_t epoch = 0;
};

namespace memory_command {

// From now on `limit_file` is the way to its limit.
struct Track {
  Tenant tenant;
  const cgroup::LimitFile* limit_file = nullptr;
  FallbackSignals* signals = nullptr;  // tier C: what stands in for the hold; else null
  std::optional<Slot> parent;
  Armed armed;
};
struct Untrack : Tenant {};  // answered by Report::kUntracked, after which the file may be closed
struct Rewrite : Tenant {};  // put the last raise back: a lowering of the slow loop ran over it
// How far events may go.
struct Arm {
  Tenant tenant;
  Armed armed;
};
// Write `limit` now, a decision of the slow loop.
struct Raise {
  Tenant tenant;
  Bytes limit;
  MonotonicTime at;
  Reason reason = Reason::kEnoughHeadroom;
  bool promised = false;  // the budget has paid for it already
};
// `parent` is its parent from now on.
struct Parent {
  Tenant tenant;
  std::optional<Slot> parent;
};
struct Need {
  Tenant tenant;
  Bytes limit;
  MonotonicTime at;
};
struct Announce : Need {};  // for announced work: as far as ceiling and budgets go
struct Wish : Need {};      // `limit` was wished; 0: what was wished will not come
// What the node or, with a group, that may give away, all grants up to `granted_before` counted in.
struct Budget {
  BudgetGroup group = kNoGroup;
  Bytes left;
  Bytes granted_before;

  bool operator==(const Budget&) const = default;
};
// `policy` holds from now on; it may change again when this is obeyed.
struct Configure {
  const MemoryPolicy* policy = nullptr;
};

}  // namespace memory_command

using MemoryCommand =
    std::variant<memory_command::Track, memory_command::Untrack, memory_command::Arm,
                 memory_command::Raise, memory_command::Announce, memory_command::Rewrite,
                 memory_command::Parent, memory_command::Wish, memory_command::Budget,
                 memory_command::Configure>;
// So that no copy can fail half-way: there is always one of them to visit.
static_assert(std::is_trivially_copyable_v<MemoryCommand>);

// What the reaction thread did.
struct Report {
  enum class Kind : std::uint8_t { kGrant, kDenial, kFailure, kUntracked, kWish };
  Kind kind = Kind::kGrant;
  Tenant tenant;
  Layer layer = Layer::kPredicted;
  Reason reason = Reason::kEnoughHeadroom;
  MemoryFacts facts;           // as the event had them
  Bytes from;                  // the limit before; kWish: the limit that stands
  Bytes to;                    // kGrant: the new limit; kWish: the limit that is needed
  int error = 0;               // kFailure: errno of the write
  MonotonicTime event_time;    // when the kernel saw the need
  MonotonicTime written_time;  // when the write had returned
};

using MemoryMailbox = Mailbox<MemoryCommand, Report, 2048, 1024>;

}  // namespace plimsoll::agent
