// SPDX-License-Identifier: Apache-2.0
#include "agent/preflight.h"

#include <algorithm>
#include <charconv>

#include "agent/memory_policy.h"
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

std::optional<Bytes> memory_after(std::string_view text, std::string_view prefix,
                                  std::string_view ends) {
  const std::optional<std::string_view> amount = text_after(text, prefix, ends);
  if (!amount) return std::nullopt;
  const Result<Bytes> bytes = kube::parse_memory(*amount);
  if (!bytes) return std::nullopt;
  return *bytes;
}

void keep_smaller(std::optional<Bytes>& into, std::optional<Bytes> other) {
  if (other && (!into || *other < *into)) into = other;
}

// "limits.memory=512Mi,requests.memory=1Gi" after "used: " and after "limited: ".
std::optional<Bytes> quota_room(std::string_view message) {
  const std::size_t used_at = message.find("used: ");
  const std::size_t limited_at = message.find("limited: ");
  if (used_at == std::string_view::npos || limited_at == std::string_view::npos ||
      limited_at < used_at) {
    return std::nullopt;
  }
  const std::string_view used = message.substr(used_at + 5, limited_at - used_at - 5);
  const std::string_view limited = message.substr(limited_at + 8);
  std::optional<Bytes> room;
  // A blank or a comma stands before each: "requests.memory=" does not match inside another name.
  for (const std::string_view resource : {"limits.memory=", "requests.memory=", "memory="}) {
    for (const char before : {' ', ','}) {
      const std::string name = before + std::string(resource);
      const std::optional<Bytes> top = memory_after(limited, name, ", ");
      if (!top) continue;
      for (const char used_before : {' ', ','}) {
        const std::string used_name = used_before + std::string(resource);
        const std::optional<Bytes> now = memory_after(used, used_name, ", ");
        if (now) keep_smaller(room, *top - *now);
      }
    }
  }
  return room;
}

std::optional<double> ratio_of(std::string_view message) {
  const std::optional<std::string_view> text =
      text_after(message, "memory max limit to request ratio per Container is ", ", ");
  if (!text) return std::nullopt;
  double ratio = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), ratio);
  if (error != std::errc{} || end != text->data() + text->size() || !(ratio >= 1)) {
    return std::nullopt;
  }
  return ratio;
}

std::optional<Bytes> node_room(std::string_view message) {
  const std::size_t at = message.find("memory, requested: ");
  if (at == std::string_view::npos) return std::nullopt;
  // "requested" is the sum of the pod's requests, "allocatable" the node's.
  return memory_after(message.substr(at), "allocatable: ", ", ");
}

}  // namespace

Room room_of(const kube::Refusal& refusal) {
  const std::string_view message = refusal.message;
  Room room;
  switch (refusal.cause) {
    case kube::Cause::kQuota:
      room.increase = quota_room(message);
      break;
    case kube::Cause::kLimitRange:
      room.container_max = memory_after(message, "maximum memory usage per Container is ", ", ");
      room.pod_max = memory_after(message, "maximum memory usage per Pod is ", ", ");
      room.limit_ratio = ratio_of(message);
      break;
    case kube::Cause::kNodeCapacity:
      room.pod_max = node_room(message);
      break;
    default:
      break;
  }
  return room;
}

std::vector<Bytes> fit(const Room& room, const std::vector<RoomClaim>& claims, Bytes pod_total,
                       Bytes unit) {
  std::vector<Bytes> to;
  Bytes asked;
  for (const RoomClaim& claim : claims) {
    Bytes most = claim.to;
    if (room.container_max) most = std::min(most, *room.container_max);
    if (room.limit_ratio && claim.request) {
      most = std::min(most, scaled_to_fit(*claim.request, *room.limit_ratio));
    }
    to.push_back(std::max(most, claim.from));
    asked += to.back() - claim.from;
  }
  std::optional<Bytes> together = room.increase;
  if (room.pod_max) keep_smaller(together, *room.pod_max - pod_total);
  const double part = !together || asked <= *together
                          ? 1
                          : static_cast<double>(together->value) / static_cast<double>(asked.value);
  for (std::size_t i = 0; i < claims.size(); ++i) {
    const Bytes grown = part < 1 ? claims[i].from + scaled(to[i] - claims[i].from, part) : to[i];
    to[i] = std::max(round_down(grown, unit), claims[i].from);
  }
  return to;
}

}  // namespace plimsoll::agent
