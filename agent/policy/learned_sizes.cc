// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/learned_sizes.h"

#include <algorithm>

#include "agent/policy/announced_work.h"

namespace plimsoll::agent {
LearnedSizes::Key LearnedSizes::key_of(const std::string& workload, std::string_view command) {
  return {workload, std::string(command.substr(0, kCommandNameBytes))};
}

void LearnedSizes::learn(const std::string& workload, std::string_view command, Bytes size,
                         std::uint32_t day) {
  Entry& entry = learned_[key_of(workload, command)];
  if (entry.sizes.size() >= kKept) entry.sizes.erase(entry.sizes.begin());
  entry.sizes.push_back(size);
  entry.day = day;
  entry.learned = next_++;
  if (learned_.size() <= kMost) return;
  learned_.erase(std::min_element(learned_.begin(), learned_.end(), [](auto& a, auto& b) {
    return a.second.learned < b.second.learned;
  }));
}

std::optional<Bytes> LearnedSizes::size(const std::string& workload,
                                        std::string_view command) const {
  const auto found = learned_.find(key_of(workload, command));
  if (found == learned_.end()) return std::nullopt;
  std::vector<Bytes> sizes = found->second.sizes;
  std::sort(sizes.begin(), sizes.end());
  return sizes[(sizes.size() * kPercent + 99) / 100 - 1];
}

void LearnedSizes::forget_old(std::uint32_t today) {
  std::erase_if(learned_, [&](const auto& each) {
    const std::uint32_t day = each.second.day;
    return today > day && today - day > kDays;
  });
}

std::vector<LearnedSizes::Learned> LearnedSizes::all() const {
  std::vector<std::pair<std::uint64_t, Learned>> order;
  for (const auto& [key, entry] : learned_) {
    order.push_back({entry.learned, {key.first, key.second, entry.day, entry.sizes}});
  }
  std::sort(order.begin(), order.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Learned> all;
  all.reserve(order.size());
  for (auto& [number, learned] : order) all.push_back(std::move(learned));
  return all;
}

}  // namespace plimsoll::agent
