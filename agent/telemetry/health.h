// SPDX-License-Identifier: Apache-2.0
//
// Whether the agent lives (/healthz) and whether it does its work (/readyz), from plain values.
// Pure: the server passes the time at which it was asked, so that a loop that hangs shows.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"

namespace plimsoll::agent {

struct Condition {
  std::string name;  // "programs", "pods", "config": one word
  bool good = false;
  std::string why;  // what is so; when it is not good: and what to do

  bool operator==(const Condition&) const = default;
};

// As the slow loop set it at its last tick.
struct Health {
  std::optional<MonotonicTime> ticked;  // absent: not yet
  // The reaction thread's last sign of life that this tick knew of.
  std::optional<MonotonicTime> beat;
  // What readiness needs; the order is that of the body.
  std::vector<Condition> conditions;
  // Worth saying there, but no reason to be called unready: "api", say.
  std::vector<Condition> remarks;

  bool operator==(const Health&) const = default;
};

struct HealthBounds {
  // A tick may take as long as reclaim does.
  Nanoseconds tick = std::chrono::seconds(15);
  Nanoseconds beat = std::chrono::seconds(5);  // at the time of the tick
};

struct HealthAnswer {
  bool good = false;
  std::string body;  // one line per condition: "[+] name: why" or "[-] name: why"

  bool operator==(const HealthAnswer&) const = default;
};

HealthAnswer alive(const Health& health, const HealthBounds& bounds, MonotonicTime now);
// Alive, and every condition is good.
HealthAnswer ready(const Health& health, const HealthBounds& bounds, MonotonicTime now);

}  // namespace plimsoll::agent
