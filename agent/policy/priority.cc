// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/priority.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "agent/policy/memory.h"

namespace plimsoll::agent {
namespace {

struct Above {
  Bytes largest;
  Bytes hot;

  void add(const Demand& demand) {
    largest = std::max(largest, demand.next);
    if (demand.hot) hot += demand.next;
  }
  Bytes kept() const { return std::max(largest, hot); }
};

}  // namespace

std::vector<Reserved> reserved_for_higher(std::span<const Demand> demands) {
  std::vector<std::size_t> order(demands.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return demands[a].rank > demands[b].rank; });
  std::vector<Reserved> kept(demands.size());
  Above node;
  std::map<BudgetGroup, Above> groups;
  for (auto first = order.begin(); first != order.end();) {
    const auto last = std::find_if(first, order.end(), [&](std::size_t index) {
      return demands[index].rank != demands[*first].rank;
    });
    // Equals keep nothing for each other.
    std::for_each(first, last, [&](std::size_t index) {
      const BudgetGroup group = demands[index].group;
      kept[index] = {node.kept(), group == kNoGroup ? Bytes{} : groups[group].kept()};
    });
    std::for_each(first, last, [&](std::size_t index) {
      node.add(demands[index]);
      groups[demands[index].group].add(demands[index]);
    });
    first = last;
  }
  return kept;
}

std::vector<Spare> take_back(std::vector<Missing> missing, std::vector<Spare> spares, Bytes unit) {
  std::stable_sort(missing.begin(), missing.end(),
                   [](const Missing& a, const Missing& b) { return a.rank > b.rank; });
  std::stable_sort(spares.begin(), spares.end(), [](const Spare& a, const Spare& b) {
    return a.rank != b.rank ? a.rank < b.rank : a.bytes > b.bytes;
  });
  std::vector<Spare> taken;
  taken.reserve(spares.size());
  for (const Spare& spare : spares) {
    taken.push_back({spare.index, spare.rank, spare.group, {}});
  }
  for (const Missing& need : missing) {
    Bytes left = need.bytes;
    for (std::size_t i = 0; i < spares.size() && left > Bytes{}; ++i) {
      Spare& spare = spares[i];
      const bool elsewhere = need.group && *need.group != spare.group;
      if (spare.rank > need.rank || spare.index == need.index || elsewhere) continue;
      const Bytes bytes = std::min(spare.bytes, round_up(left, unit));
      spare.bytes -= bytes;
      taken[i].bytes += bytes;
      left -= bytes;
    }
  }
  std::erase_if(taken, [](const Spare& spare) { return spare.bytes == Bytes{}; });
  return taken;
}

}  // namespace plimsoll::agent
