// SPDX-License-Identifier: Apache-2.0
//
// How far one limit of a container may go beyond what is stored: who has said so, since when, and
// until when what was refused is not asked for again. Fed by the answers of dry runs and by what
// stored replies say, never by what was asked. agent/resize/lane reads it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/units.h"
#include "kube/status.h"

namespace plimsoll::agent {

// By the API server or by the kubelet.
template <class Amount>
struct Refused {
  // What may be asked for meanwhile; absent: anything, since only the most of all was refused.
  std::optional<Amount> ask_upto;
  kube::Cause cause = kube::Cause::kInvalid;
  bool by_kubelet = false;
  std::string message;
  MonotonicTime retry_at;
  Nanoseconds backoff{};  // how long that is

  bool operator==(const Refused&) const = default;
};

enum class SaidBy : std::uint8_t { kNobody, kDryRun, kStoredReply, kRefusal, kKubelet };

template <class Amount>
struct Allowance {
  Amount upto;  // the spec is allowed in any case
  SaidBy by = SaidBy::kNobody;
  MonotonicTime since;
  std::optional<Amount> asked;   // the most that a dry run was about, and was answered
  std::optional<Amount> asking;  // that the round under way is about, as it was at its beginning
  std::optional<Refused<Amount>> refused;

  void say(Amount amount, SaidBy who, MonotonicTime now) {
    upto = amount;
    by = who;
    since = now;
  }
  bool operator==(const Allowance&) const = default;
};

}  // namespace plimsoll::agent
