// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/health.h"

#include <algorithm>
#include <string_view>

namespace plimsoll::agent {
namespace {

std::string line(std::string_view mark, const Condition& condition) {
  std::string text = std::string(mark) + " " + condition.name;
  if (!condition.why.empty()) text += ": " + condition.why;
  return text + "\n";
}

// `since` the last sign of life.
Condition sign_of(std::string name, std::optional<Nanoseconds> since, Nanoseconds bound) {
  if (!since) return {std::move(name), false, "no sign of life yet"};
  const bool good = *since <= bound;
  return {std::move(name), good,
          "last sign of life " + to_string(*since) + " ago" +
              (good ? std::string() : ", allowed are " + to_string(bound))};
}

HealthAnswer judged(const std::vector<Condition>& conditions,
                    const std::vector<Condition>& remarks) {
  HealthAnswer answer{.good = std::all_of(conditions.begin(), conditions.end(),
                                          [](const Condition& each) { return each.good; })};
  for (const Condition& each : conditions) answer.body += line(each.good ? "[+]" : "[-]", each);
  for (const Condition& each : remarks) answer.body += line(each.good ? "[ ]" : "[!]", each);
  answer.body += answer.good ? "ok\n" : "not ok\n";
  return answer;
}

std::vector<Condition> signs_of_life(const Health& health, const HealthBounds& bounds,
                                     MonotonicTime now) {
  std::optional<Nanoseconds> tick_age;
  std::optional<Nanoseconds> beat_age;
  if (health.ticked) tick_age = std::max(now - *health.ticked, Nanoseconds(0));
  // Against the tick and not against now: a slow loop that hangs says nothing about the other.
  if (health.ticked && health.beat) {
    beat_age = std::max(*health.ticked - *health.beat, Nanoseconds(0));
  }
  return {sign_of("slow-loop", tick_age, bounds.tick), sign_of("reaction", beat_age, bounds.beat)};
}

}  // namespace

HealthAnswer alive(const Health& health, const HealthBounds& bounds, MonotonicTime now) {
  return judged(signs_of_life(health, bounds, now), {});
}

HealthAnswer ready(const Health& health, const HealthBounds& bounds, MonotonicTime now) {
  std::vector<Condition> conditions = signs_of_life(health, bounds, now);
  conditions.insert(conditions.end(), health.conditions.begin(), health.conditions.end());
  return judged(conditions, health.remarks);
}

}  // namespace plimsoll::agent
