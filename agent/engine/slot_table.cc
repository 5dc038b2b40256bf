// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/slot_table.h"

namespace plimsoll::agent {

std::optional<Slot> SlotTable::free_slot() const {
  const auto free = std::find(slots_.begin(), slots_.end(), nullptr);
  if (free == slots_.end()) return std::nullopt;
  return static_cast<Slot>(free - slots_.begin());
}

TrackedCgroup& SlotTable::put(std::unique_ptr<TrackedCgroup> tracked) {
  auto& slot = slots_[tracked->slot];
  slot = std::move(tracked);
  return *slot;
}

TrackedCgroup* SlotTable::find(Slot slot) const {
  TrackedCgroup* tracked = slot < slots_.size() ? slots_[slot].get() : nullptr;
  return tracked == nullptr || tracked->leaving ? nullptr : tracked;
}

TrackedCgroup* SlotTable::find(const Tenant& tenant) const {
  TrackedCgroup* tracked = slots_[tenant.slot].get();
  return tracked == nullptr || tracked->epoch != tenant.epoch ? nullptr : tracked;
}

void SlotTable::free_if_let_go(const TrackedCgroup& tracked) {
  if (tracked.let_go && tracked.cpu == nullptr) slots_[tracked.slot].reset();
}

std::size_t SlotTable::in_use() const {
  return slots_.size() -
         static_cast<std::size_t>(std::count(slots_.begin(), slots_.end(), nullptr));
}

}  // namespace plimsoll::agent
