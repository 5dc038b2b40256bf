// SPDX-License-Identifier: Apache-2.0
#include "agent/reaction/fallback_signals.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "cgroup/memory_events.h"
#include "cgroup/memory_stat.h"

namespace plimsoll::agent {
namespace {

// memory.high slows down by the square of the overage; an eighth of a small limit is enough to
// answer in, and 64 MiB of a large one.
Bytes brake_of(Bytes limit) { return limit - std::min(Bytes{limit.value / 8}, Bytes{64 * kMiB}); }

// The kernel's smallest window, and a stall that a burst at its limit reaches in it.
constexpr Nanoseconds kStall = std::chrono::milliseconds(20);
constexpr Nanoseconds kWindow = std::chrono::milliseconds(500);

// Larger than any memory.stat (about 2 KiB): one pread has it all.
using Text = std::array<char, 8192>;

std::string_view read_into(const Fd& fd, Text& text) noexcept {
  const ssize_t got = ::pread(fd.get(), text.data(), text.size(), 0);
  return {text.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
}

}  // namespace

FallbackSignals::FallbackSignals(Fd events, Fd stat, std::optional<cgroup::PsiTrigger> psi,
                                 cgroup::UsageFile usage, cgroup::LimitFile high, Limit high_before)
    : events_(std::move(events)),
      stat_(std::move(stat)),
      psi_(std::move(psi)),
      usage_(std::move(usage)),
      high_(std::move(high)),
      high_before_(high_before) {}

Result<FallbackSignals> FallbackSignals::open(const cgroup::Group& group, Limit limit) {
  auto events = group.open_file("memory.events", O_RDONLY | O_CLOEXEC);
  if (!events) return tl::unexpected(events.error());
  auto stat = group.open_file("memory.stat", O_RDONLY | O_CLOEXEC);
  if (!stat) return tl::unexpected(stat.error());
  auto usage = cgroup::UsageFile::open(group);
  if (!usage) return tl::unexpected(usage.error());
  auto high = cgroup::LimitFile::open_high(group);
  if (!high) return tl::unexpected(high.error());
  std::optional<cgroup::PsiTrigger> psi;
  if (auto trigger = cgroup::PsiTrigger::open(group, kStall, kWindow)) psi = std::move(*trigger);
  const Limit before = high->read().value_or(kNoLimit);
  FallbackSignals signals(std::move(*events), std::move(*stat), std::move(psi), std::move(*usage),
                          std::move(*high), before);
  if (!limit.is_max()) signals.limit_changed({limit.bytes});
  (void)signals.read({}, {limit.bytes});
  return signals;
}

FallbackSignals::~FallbackSignals() {
  if (events_ && high_) (void)high_->write(high_before_.bytes);
}

void FallbackSignals::watch(const Fd& epoll, std::uint64_t data) const noexcept {
  epoll_event event{.events = EPOLLPRI, .data = {.u64 = data}};
  ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, events_.get(), &event);
  event.events = cgroup::PsiTrigger::kEvents;
  if (psi_) ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, psi_->fd().get(), &event);
}

void FallbackSignals::unwatch(const Fd& epoll) const noexcept {
  ::epoll_ctl(epoll.get(), EPOLL_CTL_DEL, events_.get(), nullptr);
  if (psi_) ::epoll_ctl(epoll.get(), EPOLL_CTL_DEL, psi_->fd().get(), nullptr);
}

std::optional<FallbackSignals::Sign> FallbackSignals::read(MonotonicTime now,
                                                           Bytes limit) noexcept {
  Text text;
  const auto events = cgroup::parse_memory_events(read_into(events_, text));
  if (!events) return std::nullopt;
  const bool at_oom = events->oom > at_oom_;
  const bool at_max = events->max > at_max_;
  at_oom_ = events->oom;
  at_max_ = events->max;
  const auto stat = cgroup::parse_memory_stat(read_into(stat_, text));
  const std::optional<Bytes> usage = usage_.read();
  if (!stat || !usage) return std::nullopt;

  Sign sign{.facts = {.limit = limit,
                      .usage = *usage,
                      .reclaimable = stat->inactive_file + stat->active_file},
            .layer = at_oom   ? Layer::kAtTheDoor
                     : at_max ? Layer::kAtTheLimit
                              : Layer::kPredicted};
  const Bytes needed = unreclaimable(sign.facts);
  const double seconds = std::chrono::duration<double>(now - last_at_).count();
  if (needed > last_needed_ && seconds > 0) {
    sign.facts.rate_per_second = scaled(needed - last_needed_, 1 / seconds);
  }
  last_needed_ = needed;
  last_at_ = now;
  return sign;
}

void FallbackSignals::limit_changed(Bytes limit) noexcept {
  // What the operator set is a bound that stays.
  (void)high_->write(std::min(brake_of(limit).value, high_before_.bytes));
}

}  // namespace plimsoll::agent
