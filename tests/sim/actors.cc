// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/actors.h"

#include <algorithm>
#include <initializer_list>
#include <random>

namespace plimsoll::sim {
namespace {

class Actors {
 public:
  explicit Actors(std::uint64_t seed) : random_(seed) {}

  History play() {
    length_ms_ = between(20, 120) * 1000;
    pods_ = static_cast<int>(between(1, 3));
    for (int pod = 0; pod < pods_; ++pod) author(pod);
    for (int pod = 0; pod < pods_; ++pod) program(pod);
    if (one_in(2)) resizers();
    if (one_in(2)) administrator();
    if (one_in(3)) control_plane();
    if (one_in(3)) node();
    if (one_in(3)) operators();
    if (one_in(6)) calm();
    if (one_in(4)) misfortune();
    if (one_in(4)) colleagues();
    std::stable_sort(history_.begin(), history_.end(),
                     [](const Act& a, const Act& b) { return a.at_ms < b.at_ms; });
    return std::move(history_);
  }

 private:
  std::int64_t between(std::int64_t least, std::int64_t most) {
    return least +
           static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(most - least + 1));
  }
  bool one_in(std::int64_t n) { return between(1, n) == 1; }
  std::int64_t any(std::initializer_list<std::int64_t> of) {
    return *(of.begin() + between(0, static_cast<std::int64_t>(of.size()) - 1));
  }
  std::int64_t some_time() { return between(100, length_ms_); }
  int some_pod() { return static_cast<int>(between(0, pods_ - 1)); }
  int some_container() { return one_in(4) ? 1 : 0; }
  void add(std::int64_t at, ActKind kind, int pod, int container, std::int64_t a,
           std::int64_t b = 0) {
    history_.push_back(
        {.at_ms = at, .kind = kind, .pod = pod, .container = container, .a = a, .b = b});
  }

  // Creates a pod, and changes its mind about it.
  void author(int pod) {
    std::int64_t shape = one_in(8) ? 0 : std::int64_t{kOptedIn};
    if (one_in(3)) shape |= kTwoContainers;
    if (one_in(5)) shape |= kGuaranteed;
    if (one_in(6)) shape |= kRestartsOnResize;
    if (one_in(12)) shape |= kClaims;
    if (one_in(6)) shape |= kPodLevel;
    if (one_in(2)) shape |= kHasCpu;
    if (one_in(3)) shape |= kOtherNamespace;
    add(between(0, 3000), ActKind::kCreate, pod, 0, any({64, 128, 128, 256, 512}), shape);
    if (one_in(4)) add(some_time(), ActKind::kOptIn, pod, 0, any({0, 0, 1}));
    if (one_in(6)) add(some_time(), ActKind::kOptIn, pod, 0, 1);
    if (one_in(6)) add(some_time(), ActKind::kCeiling, pod, 0, any({96, 256, 1024}));
    if (one_in(40)) add(some_time(), ActKind::kAnnotate, pod, 0, 400);
    if (one_in(10)) add(some_time(), one_in(2) ? ActKind::kDelete : ActKind::kEnd, pod, 0, 0);
  }

  void program(int pod) {
    for (std::int64_t i = between(1, 4); i > 0; --i) {
      add(some_time(), ActKind::kNeed, pod, some_container(),
          any({16, 100, 150, 250, 300, 400, 700}), any({5, 20, 50, 200}));
    }
    if (!one_in(3)) return;
    add(some_time(), ActKind::kBusy, pod, 0, any({300, 900, 2000}));
    add(some_time(), ActKind::kBusy, pod, 0, 0);
  }

  void resizers() {
    for (std::int64_t i = between(1, 3); i > 0; --i) {
      const int pod = some_pod();
      const std::int64_t who = between(kKubectl, kGitOps);
      if (who == kBoost || one_in(2)) {
        add(some_time(), ActKind::kCpu, pod, some_container(), any({60, 250, 600, 1000}), who);
      } else {
        add(some_time(), ActKind::kMemory, pod, some_container(), any({32, 128, 200, 600, 2048}),
            who);
      }
    }
  }

  // Quotas, ranges and webhooks that come and go.
  void administrator() {
    for (std::int64_t i = between(1, 3); i > 0; --i) {
      const int space = static_cast<int>(between(0, 1));
      const auto at = one_in(2) ? between(0, 500) : some_time();
      switch (between(0, 3)) {
        case 0:
          add(at, ActKind::kQuota, space, 0, any({-1, 200, 400, 700}));
          break;
        case 1:
          add(at, ActKind::kRange, space, 0, any({-1, 128, 256, 400}));
          break;
        default:
          add(at, ActKind::kWebhook, space, 0, between(kNoWebhook, kDeniesContainer),
              any({0, 1, 200, 256}));
          break;
      }
    }
  }

  void control_plane() {
    for (std::int64_t i = between(1, 2); i > 0; --i) {
      const auto at = one_in(3) ? between(0, 1000) : some_time();
      switch (between(0, 4)) {
        case 0:
          add(at, ActKind::kWatch, 0, 0, 1);
          add(at + between(1000, 40000), ActKind::kWatch, 0, 0, 0, any({30, 2000}));
          break;
        case 1:
          add(at, ActKind::kRestore, some_pod(), 0, 0);
          break;
        default:
          add(at, ActKind::kApi, 0, 0, between(kRefusesConnections, kHalfUpgraded),
              any({1, 2, 3000, 12000}));
          add(at + between(1000, 60000), ActKind::kApi, 0, 0, kHealthy);
          break;
      }
    }
  }

  void node() {
    for (std::int64_t i = between(1, 2); i > 0; --i) {
      const auto at = some_time();
      switch (between(0, 3)) {
        case 0:
          add(at, ActKind::kReload, some_pod(), 0, 0);
          break;
        case 1:
          add(at, ActKind::kRestart, some_pod(), some_container(), 0);
          break;
        default:
          add(at, ActKind::kKubelet, 0, 0, between(kApplies, kDead), any({400, 3000, 20000}));
          add(at + between(1000, 60000), ActKind::kKubelet, 0, 0, kApplies, 400);
          break;
      }
    }
  }

  // Of the agent: updates, crashes, other configurations, a full disk.
  void operators() {
    for (std::int64_t i = between(1, 3); i > 0; --i) {
      const auto at = some_time();
      switch (between(0, 4)) {
        case 0:
          add(at, ActKind::kDisk, 0, 0, 1);
          add(at + between(1000, 40000), ActKind::kDisk, 0, 0, 0);
          break;
        case 1:
          add(at, ActKind::kFactor, 0, 0, any({1, 2, 4, 8}));
          break;
        default:
          add(at, ActKind::kAgent, 0, 0, any({kKilled, kStopped}));
          add(at + any({10, 1000, 20000}), ActKind::kAgent, 0, 0, kStarted);
          break;
      }
    }
  }

  // What comes in between: somebody else's write, a CPU quota, an agent that dies at any of its
  // turns.
  void misfortune() {
    for (std::int64_t i = between(1, 3); i > 0; --i) {
      const auto at = some_time();
      switch (between(0, 2)) {
        case 0:
          add(at, ActKind::kApi, 0, 0, kConflicts, any({1, 3, 20}));
          add(at + between(1000, 60000), ActKind::kApi, 0, 0, kHealthy);
          break;
        case 1:
          add(one_in(2) ? between(0, 500) : at, ActKind::kCpuQuota, static_cast<int>(between(0, 1)),
              0, any({-1, 1000, 2500, 6000}));
          break;
        default:
          add(at, ActKind::kAgent, some_pod(), 0, kKilled, between(1, 40));
          break;
      }
    }
  }

  // Who works at the same time: GitOps, an agent that takes over, requests that are done late.
  void colleagues() {
    for (std::int64_t i = between(1, 2); i > 0; --i) {
      const auto at = some_time();
      switch (between(0, 2)) {
        case 0:
          add(one_in(2) ? between(0, 500) : at, ActKind::kPutBack, some_pod(), 0,
              any({700, 3000, 15000}), kGitOps);
          add(at + between(1000, 60000), ActKind::kPutBack, some_pod(), 0, 0);
          break;
        case 1:
          add(at, ActKind::kApi, 0, 0, kQueues, any({300, 3000, 12000, 40000}));
          add(at + between(1000, 60000), ActKind::kApi, 0, 0, kHealthy);
          break;
        default:
          add(at, ActKind::kAgent, 0, 0, kHandedOver);
          break;
      }
    }
  }

  // Long enough for every lease to end.
  void calm() {
    for (int pod = 0; pod < pods_; ++pod) {
      for (int container = 0; container < 2; ++container) {
        add(length_ms_ + 1000, ActKind::kNeed, pod, container, 16);
        add(length_ms_ + 1000, ActKind::kBusy, pod, container, 0);
      }
    }
    add(length_ms_ + 20 * 60 * 1000, ActKind::kNeed, 0, 0, 16);
  }

  std::mt19937_64 random_;
  History history_;
  std::int64_t length_ms_ = 0;
  int pods_ = 1;
};

}  // namespace

History make_history(std::uint64_t seed) { return Actors(seed).play(); }

}  // namespace plimsoll::sim
