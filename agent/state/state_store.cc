// SPDX-License-Identifier: Apache-2.0
#include "agent/state/state_store.h"

#include "agent/state/declared_limits.h"

namespace plimsoll::agent {

Result<StateStore> StateStore::open(const std::string& state_path, const std::string& floors_path) {
  const auto boot_id = read_boot_id();
  if (!boot_id) return tl::unexpected(boot_id.error());
  auto cgroups = StateFile::open(state_path, *boot_id);
  if (!cgroups) return tl::unexpected(cgroups.error());
  auto floors = StateFile::open(floors_path, "", kFloorsCoalesce);
  if (!floors) return tl::unexpected(floors.error());
  return StateStore(std::move(*cgroups), std::move(*floors));
}

std::vector<std::string> StateStore::complaints() const {
  std::vector<std::string> all = cgroups_.file.found().complaints;
  const std::vector<std::string>& more = floors_.file.found().complaints;
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

std::optional<Error> StateStore::Kept::save(NodeState state, MonotonicTime now) {
  const auto saved = file.update(std::move(state), now);
  if (saved) {
    if (*saved) ++writes;
    trouble.clear();
    return std::nullopt;
  }
  ++failures;
  const bool news = trouble.empty();
  trouble = saved.error().message;
  return news ? std::optional(saved.error()) : std::nullopt;
}

std::optional<Error> StateStore::save(NodeState state, NodeState floors, MonotonicTime now) {
  const std::optional<Error> first = cgroups_.save(std::move(state), now);
  const std::optional<Error> second = floors_.save(std::move(floors), now);
  return first ? first : second;
}

void StateStore::flush(NodeState state, NodeState floors, MonotonicTime now) {
  (void)cgroups_.file.flush(std::move(state), now);
  (void)floors_.file.flush(std::move(floors), now);
}

void StateStore::release() {
  floors_.file.release();
  cgroups_.file.release();
}

}  // namespace plimsoll::agent
