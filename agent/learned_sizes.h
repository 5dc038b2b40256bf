// SPDX-License-Identifier: Apache-2.0
//
// How much memory announced commands have needed, by workload: what the next one is given when
// nobody has said. Values, bounded; kept in the node agent's state file as JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

class LearnedSizes {
 public:
  static constexpr std::size_t kKept = 16;    // the last sizes of one command
  static constexpr std::size_t kMost = 1024;  // commands; the one that was learned longest ago goes
  static constexpr std::size_t kPercent = 90;  // of the kept ones that would have been enough

  void learn(const std::string& workload, const std::string& command, Bytes size);
  // nullopt: it has never ended.
  std::optional<Bytes> size(const std::string& workload, const std::string& command) const;
  std::size_t commands() const { return learned_.size(); }

  // A list, the command that was learned longest ago first.
  std::string to_json() const;
  // More than is kept is left out. kMalformed: not what to_json() writes.
  static Result<LearnedSizes> parse(std::string_view text);

  bool operator==(const LearnedSizes&) const = default;

 private:
  struct Entry {
    std::vector<Bytes> sizes;  // the oldest first
    std::uint64_t learned = 0;
    bool operator==(const Entry&) const = default;
  };
  std::map<std::pair<std::string, std::string>, Entry> learned_;  // by workload and command
  std::uint64_t next_ = 0;
};

}  // namespace plimsoll::agent
