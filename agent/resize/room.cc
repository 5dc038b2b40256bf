// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/room.h"

#include <algorithm>

#include "agent/policy/memory.h"
#include "kube/quantity.h"

namespace plimsoll::agent {
namespace {

// What follows `prefix` up to one of `ends` or the end; nullopt: there is no such prefix.
std::optional<std::string_view> text_after(std::string_view text, std::string_view prefix,
                                           std::string_view ends) {
  const std::size_t at = text.find(prefix);
  if (at == std::string_view::npos) return std::nullopt;
  text.remove_prefix(at + prefix.size());
  return text.substr(0, text.find_first_of(ends));
}

// How the API server calls a resource, and how it writes amounts of it.
template <class Amount>
constexpr std::string_view kName = "memory";
template <>
constexpr std::string_view kName<MilliCpu> = "cpu";

Result<Bytes> parse(std::string_view text, Bytes) { return kube::parse_memory(text); }
Result<MilliCpu> parse(std::string_view text, MilliCpu) { return kube::parse_cpu(text); }

template <class Amount>
std::optional<Amount> amount_after(std::string_view text, std::string_view prefix,
                                   std::string_view ends) {
  const std::optional<std::string_view> amount = text_after(text, prefix, ends);
  if (!amount) return std::nullopt;
  const Result<Amount> parsed = parse(*amount, Amount{});
  if (!parsed) return std::nullopt;
  return *parsed;
}

// A blank or a comma stands before each: "requests.memory=" does not match inside another name.
template <class Amount>
std::optional<Amount> amount_in_list(std::string_view list, const std::string& resource) {
  const auto amount = amount_after<Amount>(list, ' ' + resource, ", ");
  return amount ? amount : amount_after<Amount>(list, ',' + resource, ", ");
}

template <class Amount>
void keep_smaller(std::optional<Amount>& into, std::optional<Amount> other) {
  if (other && (!into || *other < *into)) into = other;
}

// "limits.memory=512Mi,requests.memory=1Gi" after "requested: ", "used: " and "limited: ".
template <class Amount>
Room<Amount> quota_room(std::string_view message) {
  const std::size_t requested_at = message.find("requested: ");
  const std::size_t used_at = message.find("used: ");
  const std::size_t limited_at = message.find("limited: ");
  if (used_at == std::string_view::npos || limited_at == std::string_view::npos ||
      limited_at < used_at) {
    return {};
  }
  const std::string_view requested = requested_at < used_at
                                         ? message.substr(requested_at + 10, used_at - requested_at)
                                         : std::string_view();
  const std::string_view used = message.substr(used_at + 5, limited_at - used_at - 5);
  const std::string_view limited = message.substr(limited_at + 8);
  Room<Amount> room;
  for (const std::string_view of : {"limits.", "requests.", ""}) {
    const std::string resource = std::string(of).append(kName<Amount>).append("=");
    const auto top = amount_in_list<Amount>(limited, resource);
    const auto now = amount_in_list<Amount>(used, resource);
    if (!top || !now) continue;
    keep_smaller<Amount>(room.increase, *top - *now);
    const auto more = amount_in_list<Amount>(requested, resource);
    if (more) room.excess = std::max(room.excess, std::optional(*more - (*top - *now)));
  }
  return room;
}

std::optional<double> ratio_after(std::string_view message, std::string_view prefix) {
  const std::optional<std::string_view> text = text_after(message, prefix, ", ");
  if (!text) return std::nullopt;
  // As Kubernetes spells a quantity: "2", or "2500m".
  const Result<MilliCpu> thousandths = kube::parse_cpu(*text);
  if (!thousandths || thousandths->value < 1000) return std::nullopt;
  return static_cast<double>(thousandths->value) / 1000;
}

template <class Amount>
Room<Amount> limit_range_room(std::string_view message) {
  const std::string name(kName<Amount>);
  const std::string maximum = "maximum " + name + " usage per ";
  return {
      .increase = std::nullopt,
      .excess = std::nullopt,
      .container_max = amount_after<Amount>(message, maximum + "Container is ", ", "),
      .limit_ratio = ratio_after(message, name + " max limit to request ratio per Container is "),
      .pod_max = amount_after<Amount>(message, maximum + "Pod is ", ", ")};
}

std::optional<Bytes> node_room(std::string_view message) {
  const std::size_t at = message.find("memory, requested: ");
  if (at == std::string_view::npos) return std::nullopt;
  // "requested" is the sum of the pod's requests, "allocatable" the node's.
  return amount_after<Bytes>(message.substr(at), "allocatable: ", ", ");
}

template <class Amount>
Amount part_of(Amount whole, double part) {
  return {scaled_to_fit(Bytes{whole.value}, part).value};
}

}  // namespace

template <class Amount>
Room<Amount> room_of(const kube::Refusal& refusal) {
  switch (refusal.cause) {
    case kube::Cause::kQuota:
      return quota_room<Amount>(refusal.message);
    case kube::Cause::kLimitRange:
      return limit_range_room<Amount>(refusal.message);
    case kube::Cause::kNodeCapacity:
      if constexpr (kIsMemory<Amount>) return {.pod_max = node_room(refusal.message)};
      return {};
    default:
      return {};
  }
}

template <class Amount>
std::vector<Amount> fit(const Room<Amount>& room, const std::vector<Claim<Amount>>& claims,
                        Amount pod_total) {
  constexpr std::uint64_t kUnit = kIsMemory<Amount> ? kMiB : 1;
  std::vector<Amount> to;
  Amount asked;
  Amount wanted;
  for (const Claim<Amount>& claim : claims) {
    Amount most = claim.to;
    if (room.container_max) most = std::min(most, *room.container_max);
    if (room.limit_ratio && claim.request) {
      most = std::min(most, part_of(*claim.request, *room.limit_ratio));
    }
    to.push_back(std::max(most, claim.from));
    asked += to.back() - claim.from;
    wanted += claim.to - claim.from;
  }
  std::optional<Amount> together = room.increase;
  // Somebody else may have changed what is stored: the API server has counted from there.
  if (room.excess) keep_smaller<Amount>(together, wanted - *room.excess);
  if (room.pod_max) keep_smaller<Amount>(together, *room.pod_max - pod_total);
  const double part = !together || asked <= *together
                          ? 1
                          : static_cast<double>(together->value) / static_cast<double>(asked.value);
  for (std::size_t i = 0; i < claims.size(); ++i) {
    const Amount grown = part < 1 ? claims[i].from + part_of(to[i] - claims[i].from, part) : to[i];
    to[i] = std::max(Amount{grown.value / kUnit * kUnit}, claims[i].from);
  }
  return to;
}

template Room<Bytes> room_of(const kube::Refusal&);
template Room<MilliCpu> room_of(const kube::Refusal&);
template std::vector<Bytes> fit(const Room<Bytes>&, const std::vector<Claim<Bytes>>&, Bytes);
template std::vector<MilliCpu> fit(const Room<MilliCpu>&, const std::vector<Claim<MilliCpu>>&,
                                   MilliCpu);

}  // namespace plimsoll::agent
