// SPDX-License-Identifier: Apache-2.0
#include "agent/state/learned_sizes_json.h"

#include <cstdint>
#include <nlohmann/json.hpp>

namespace plimsoll::agent {
namespace {

using nlohmann::json;

tl::unexpected<Error> malformed(const std::string& what) {
  return fail(Code::kMalformed, "learned sizes: " + what);
}

}  // namespace

std::string to_json(const LearnedSizes& learned) {
  json list = json::array();
  for (const LearnedSizes::Learned& each : learned.all()) {
    json sizes = json::array();
    for (const Bytes size : each.sizes) sizes.push_back(size.value);
    list.push_back({{"workload", each.workload},
                    {"command", each.command},
                    {"day", each.day},
                    {"sizes_bytes", std::move(sizes)}});
  }
  // A name may be any bytes.
  return list.dump(-1, ' ', false, json::error_handler_t::replace);
}

Result<LearnedSizes> parse_learned_sizes(std::string_view text) {
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
