// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_kubelet/readiness.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace plimsoll::test {
namespace {

int whole_or(const Json& probe, const char* key, int otherwise) {
  const Json& value = member(probe, key);
  return value.is_number_integer() ? std::max(0, value.get<int>()) : otherwise;
}

}  // namespace

Readiness::Readiness(const Json& container_spec, std::vector<std::string> environment,
                     Clock::time_point now)
    : environment_(std::move(environment)) {
  const Json& probe = member(container_spec, "readinessProbe");
  command_ = texts(member(member(probe, "exec"), "command"));
  // A cluster's default is ten; no test wants to wait for so long.
  period_ = std::chrono::seconds(std::max(1, whole_or(probe, "periodSeconds", 1)));
  timeout_ = std::chrono::seconds(std::max(1, whole_or(probe, "timeoutSeconds", 1)));
  successes_needed_ = std::max(1, whole_or(probe, "successThreshold", 1));
  failures_needed_ = std::max(1, whole_or(probe, "failureThreshold", 3));
  next_ = now + std::chrono::seconds(whole_or(probe, "initialDelaySeconds", 0));
}

bool Readiness::take(bool success) {
  successes_ = success ? successes_ + 1 : 0;
  failures_ = success ? 0 : failures_ + 1;
  const bool before = ready_;
  if (successes_ >= successes_needed_) ready_ = true;
  if (failures_ >= failures_needed_) ready_ = false;
  return ready_ != before;
}

bool Readiness::turn(Clock::time_point now, const std::string& cgroup, const std::string& log) {
  if (command_.empty()) return false;
  if (probe_) {
    if (const auto state = probe_->ended()) {
      probe_.reset();
      return take(state->code == 0);
    }
    if (now < late_) return false;
    stop();
    return take(false);
  }
  if (now < next_) return false;
  next_ = now + period_;
  late_ = now + timeout_;
  probe_ = ContainerProcess::start(command_, environment_, cgroup, log);
  return !probe_ && take(false);
}

void Readiness::stop() {
  if (!probe_) return;
  probe_->kill();
  // It ends at once, and must not stay a zombie.
  while (!probe_->ended()) std::this_thread::yield();
  probe_.reset();
}

}  // namespace plimsoll::test
