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

#include "base/units.h"

namespace plimsoll::agent {

class LearnedSizes {
 public:
  static constexpr std::size_t kKept = 16;    // the last sizes of one command
  static constexpr std::size_t kMost = 512;   // commands; the one that was learned longest ago goes
  static constexpr std::uint32_t kDays = 90;  // after which one that was not learned again is old
  static constexpr std::size_t kPercent = 90;  // of the kept ones that would have been enough

  // Commands are told apart as the kernel does (kCommandNameBytes). `day`: since 1970.
  void learn(const std::string& workload, std::string_view command, Bytes size, std::uint32_t day);
  // nullopt: it has never ended.
  std::optional<Bytes> size(const std::string& workload, std::string_view command) const;
  void forget_old(std::uint32_t today);
  std::size_t commands() const { return learned_.size(); }

  struct Learned {
    std::string workload;
    std::string command;
    std::uint32_t day = 0;
    std::vector<Bytes> sizes;  // the oldest first
  };
  // The command that was learned longest ago first.
  std::vector<Learned> all() const;

  bool operator==(const LearnedSizes& other) const { return learned_ == other.learned_; }

 private:
  struct Entry {
    std::vector<Bytes> sizes;  // the oldest first
    std::uint32_t day = 0;
    std::uint64_t learned = 0;
    // The order in which they were learned is what a text says of `learned`.
    bool operator==(const Entry& other) const { return sizes == other.sizes && day == other.day; }
  };
  using Key = std::pair<std::string, std::string>;
  static Key key_of(const std::string& workload, std::string_view command);

  std::map<Key, Entry> learned_;  // by workload and command
  std::uint64_t next_ = 0;
};

}  // namespace plimsoll::agent
