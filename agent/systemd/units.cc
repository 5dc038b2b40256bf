// SPDX-License-Identifier: Apache-2.0
#include "agent/systemd/units.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <deque>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "agent/systemd/bus.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/wakeup.h"

namespace plimsoll::agent {
namespace {

constexpr Nanoseconds kLongestBackoff = std::chrono::seconds(30);
constexpr Nanoseconds kBetweenLooks = std::chrono::milliseconds(100);
constexpr std::size_t kMostOutcomes = 1024;

// Whether a raise that happens while systemd writes an older value has time to be written again.
enum class Room : std::uint8_t { kEnough, kTooLittle, kGone };

Room room_of(const cgroup::Root& root, const UnitLimits& limits, Bytes headroom) {
  if (!limits.memory_max || limits.memory_max->is_max()) return Room::kEnough;
  const auto group = root.open_group(limits.path);
  const auto current = group ? group->read_memory_current() : tl::unexpected(group.error());
  const auto stat = group ? group->read_memory_stat() : tl::unexpected(group.error());
  if (!current || !stat) {
    const Code code = !current ? current.error().code : stat.error().code;
    return code == Code::kGone ? Room::kGone : Room::kTooLittle;
  }
  const Bytes limit{limits.memory_max->bytes};
  const Bytes working = *current - (stat->inactive_file + stat->active_file);
  const Bytes wanted{std::min(headroom.value, limit.value / 4)};
  return working + wanted <= limit ? Room::kEnough : Room::kTooLittle;
}

}  // namespace

class SystemdUnits::Thread {
 public:
  Thread(const cgroup::Root& root, SystemdUnitsConfig config)
      : root_(root), config_(std::move(config)) {}
  ~Thread() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.ring();
    if (thread_.joinable()) thread_.join();
  }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;

  Result<void> start() {
    auto wake = Wakeup::make();
    auto told = Wakeup::make();
    if (!wake || !told) return tl::unexpected(wake ? told.error() : wake.error());
    wake_ = std::move(*wake);
    told_ = std::move(*told);
    thread_ = std::thread([this] { run(); });
    return {};
  }

  bool tell(const UnitLimits& limits) {
    {
      const std::lock_guard lock(mutex_);
      const auto known = waiting_.find(limits.unit);
      if (known == waiting_.end() && waiting_.size() >= config_.most_waiting) {
        ++counters_.dropped;
        return false;
      }
      if (known != waiting_.end()) ++counters_.superseded;
      waiting_.insert_or_assign(limits.unit, Waiting{limits, monotonic_now() + config_.settle});
    }
    wake_.ring();
    return true;
  }

  void forget(const std::string& unit) {
    const std::lock_guard lock(mutex_);
    waiting_.erase(unit);
  }

  std::vector<UnitOutcome> collect() {
    const std::lock_guard lock(mutex_);
    told_.clear();
    std::vector<UnitOutcome> outcomes(std::make_move_iterator(outcomes_.begin()),
                                      std::make_move_iterator(outcomes_.end()));
    outcomes_.clear();
    return outcomes;
  }

  int outcome_fd() const { return told_.fd(); }
  SystemdUnitsCounters counters() const {
    const std::lock_guard lock(mutex_);
    return counters_;
  }
  bool idle() const {
    const std::lock_guard lock(mutex_);
    return waiting_.empty() && !under_way_;
  }

 private:
  struct Waiting {
    UnitLimits limits;
    MonotonicTime due;
  };

  void run();
  // The next one that is due and has room; `wait_until` is when to look again.
  std::optional<UnitLimits> take_due(MonotonicTime at, MonotonicTime& wait_until);
  void send(const UnitLimits& limits);
  void finish(const UnitLimits& limits, std::optional<Error> error);
  void report(const UnitLimits& limits, std::optional<Error> error);
  void wait(MonotonicTime until) const;

  const cgroup::Root& root_;
  const SystemdUnitsConfig config_;
  Wakeup wake_;
  Wakeup told_;
  std::thread thread_;

  mutable std::mutex mutex_;  // for what follows
  std::map<std::string, Waiting> waiting_;
  std::deque<UnitOutcome> outcomes_;
  SystemdUnitsCounters counters_;
  bool under_way_ = false;
  bool stopping_ = false;

  // The thread's own.
  std::unique_ptr<SystemdConnection> connection_;
  Nanoseconds backoff_ = config_.backoff;
  MonotonicTime not_before_;  // after a failure of the connection
};

void SystemdUnits::Thread::run() {
  // Signals are the main thread's.
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
  ::pthread_setname_np(::pthread_self(), "systemd-units");
  while (true) {
    MonotonicTime until = MonotonicTime::max();
    std::optional<UnitLimits> next;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) break;
      if (!under_way_) next = take_due(monotonic_now(), until);
    }
    if (next) {
      send(*next);
      continue;
    }
    wait(until);
    wake_.clear();
    if (connection_ && !connection_->process()) connection_.reset();
  }
  connection_.reset();
}

std::optional<UnitLimits> SystemdUnits::Thread::take_due(MonotonicTime at,
                                                         MonotonicTime& wait_until) {
  for (auto each = waiting_.begin(); each != waiting_.end();) {
    Waiting& one = each->second;
    const MonotonicTime due = std::max(one.due, not_before_);
    if (due <= at) {
      const Room room = room_of(root_, one.limits, config_.headroom);
      if (room == Room::kGone) {
        ++counters_.failed;
        report(one.limits, Error{Code::kGone, "cgroup /" + one.limits.path + " is gone"});
        each = waiting_.erase(each);
        continue;
      }
      if (room == Room::kEnough) {
        UnitLimits limits = std::move(one.limits);
        waiting_.erase(each);
        under_way_ = true;
        return limits;
      }
      ++counters_.deferred;
      one.due = at + std::max(config_.settle, kBetweenLooks);
    }
    wait_until = std::min(wait_until, std::max(one.due, not_before_));
    ++each;
  }
  return std::nullopt;
}

void SystemdUnits::Thread::send(const UnitLimits& limits) {
  if (!connection_) {
    auto connection = SystemdConnection::open(config_.bus);
    if (!connection) return finish(limits, std::move(connection).error());
    connection_ = std::move(*connection);
    const std::lock_guard lock(mutex_);
    ++counters_.connects;
  }
  const auto sent = connection_->set_properties(
      limits, config_.timeout, [this, limits](auto error) { finish(limits, std::move(error)); });
  if (!sent) {
    connection_.reset();
    finish(limits, sent.error());
  } else if (!connection_->process()) {
    connection_.reset();
  }
}

void SystemdUnits::Thread::finish(const UnitLimits& limits, std::optional<Error> error) {
  const std::lock_guard lock(mutex_);
  under_way_ = false;
  ++(error ? counters_.failed : counters_.told);
  if (error && error->code == Code::kUnavailable) {
    // The value still has to be told, unless a newer one waits already.
    not_before_ = monotonic_now() + backoff_;
    backoff_ = std::min(2 * backoff_, kLongestBackoff);
    waiting_.try_emplace(limits.unit, Waiting{limits, not_before_});
  } else {
    backoff_ = config_.backoff;
  }
  report(limits, std::move(error));
}

// With the lock held.
void SystemdUnits::Thread::report(const UnitLimits& limits, std::optional<Error> error) {
  if (outcomes_.size() >= kMostOutcomes) {
    outcomes_.pop_front();
    ++counters_.outcomes_lost;
  }
  outcomes_.push_back({limits, std::move(error)});
  told_.ring();
}

void SystemdUnits::Thread::wait(MonotonicTime until) const {
  std::array<pollfd, 2> fds{pollfd{wake_.fd(), POLLIN, 0}, pollfd{-1, 0, 0}};
  if (connection_) {
    fds[1] = {connection_->fd(), connection_->events(), 0};
    if (const auto deadline = connection_->deadline()) until = std::min(until, *deadline);
  }
  int timeout = -1;
  if (until != MonotonicTime::max()) {
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(until - monotonic_now()).count();
    constexpr std::int64_t kLongest = 60'000;
    timeout = static_cast<int>(std::clamp<std::int64_t>(rest, 0, kLongest));
  }
  ::poll(fds.data(), fds.size(), timeout);
}

SystemdUnits::SystemdUnits(std::unique_ptr<Thread> thread) : thread_(std::move(thread)) {}

SystemdUnits::~SystemdUnits() = default;

Result<std::unique_ptr<SystemdUnits>> SystemdUnits::start(const cgroup::Root& root,
                                                          const SystemdUnitsConfig& config) {
  auto thread = std::make_unique<Thread>(root, config);
  const auto started = thread->start();
  if (!started) return tl::unexpected(started.error());
  return std::unique_ptr<SystemdUnits>(new SystemdUnits(std::move(thread)));
}

bool SystemdUnits::tell(const UnitLimits& limits) { return thread_->tell(limits); }
void SystemdUnits::forget(const std::string& unit) { thread_->forget(unit); }
std::vector<UnitOutcome> SystemdUnits::collect() { return thread_->collect(); }
int SystemdUnits::outcome_fd() const { return thread_->outcome_fd(); }
SystemdUnitsCounters SystemdUnits::counters() const { return thread_->counters(); }
bool SystemdUnits::idle() const { return thread_->idle(); }

}  // namespace plimsoll::agent
