// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/learned_sizes.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/policy/announced_work.h"

namespace plimsoll::agent {
namespace {

using nlohmann::json;

tl::unexpected<Error> malformed(const std::string& what) {
  return fail(Code::kMalformed, "learned sizes: " + what);
}

}  // namespace

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

std::string LearnedSizes::to_json() const {
  std::vector<std::pair<std::uint64_t, json>> entries;
  for (const auto& [key, entry] : learned_) {
    json sizes = json::array();
    for (const Bytes size : entry.sizes) sizes.push_back(size.value);
    entries.emplace_back(entry.learned, json{{"workload", key.first},
                                             {"command", key.second},
                                             {"day", entry.day},
                                             {"sizes_bytes", std::move(sizes)}});
  }
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  json list = json::array();
  for (auto& [order, entry] : entries) list.push_back(std::move(entry));
  // A name may be any bytes.
  return list.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<LearnedSizes> LearnedSizes::parse(std::string_view text) {
  const json list = json::parse(text, nullptr, false);
  if (!list.is_array()) return malformed("not a list");
  LearnedSizes learned;
  for (const json& entry : list) {
    if (!entry.is_object()) return malformed("not an object");
    const auto workload = entry.find("workload");
    const auto command = entry.find("command");
    const auto day = entry.find("day");
    const auto sizes = entry.find("sizes_bytes");
    if (workload == entry.end() || !workload->is_string() || command == entry.end() ||
        !command->is_string() || day == entry.end() || !day->is_number_unsigned() ||
        sizes == entry.end() || !sizes->is_array() || sizes->empty()) {
      return malformed("a workload, a command, a day and its sizes are needed");
    }
    for (const json& size : *sizes) {
      if (!size.is_number_unsigned()) return malformed("a size is not a number of bytes");
      learned.learn(*workload, command->get<std::string>(), Bytes{size.get<std::uint64_t>()},
                    day->get<std::uint32_t>());
    }
  }
  return learned;
}

}  // namespace plimsoll::agent
