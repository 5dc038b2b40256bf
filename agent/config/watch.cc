// SPDX-License-Identifier: Apache-2.0
#include "agent/config/watch.h"

#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "agent/config/parse.h"
#include "base/clock.h"
#include "base/file.h"

namespace plimsoll::agent {
namespace {

// A file that is written without end is read after so many times `settle` all the same.
constexpr int kMostSettles = 10;

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

Result<ConfigWatch> ConfigWatch::open(std::string path, Nanoseconds settle) {
  ConfigWatch watch;
  watch.path_ = std::move(path);
  // 0 would stop the timer instead.
  watch.settle_ = std::max(settle, Nanoseconds{1});
  watch.inotify_ = Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch.inotify_) return errno_error(errno, "watch files");
  auto timer = Timer::make();
  if (!timer) return tl::unexpected(timer.error());
  watch.timer_ = std::move(*timer);
  watch.epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!watch.epoll_) return errno_error(errno, "make an epoll instance");
  for (const int fd : {watch.inotify_.get(), watch.timer_.fd()}) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    if (::epoll_ctl(watch.epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      return errno_error(errno, "wait for changes of files");
    }
  }
  // Before the file is read, so that no change falls between the two.
  if (auto watched = watch.watch_directory(); !watched) return tl::unexpected(watched.error());
  auto text = read_file(watch.path_);
  if (!text) return tl::unexpected(text.error());
  auto config = parse_config(*text, watch.path_);
  if (!config) return tl::unexpected(config.error());
  watch.text_ = std::move(*text);
  watch.config_ = std::move(*config);
  return watch;
}

Result<void> ConfigWatch::watch_directory() {
  const std::string directory = directory_of(path_);
  constexpr std::uint32_t kMask =
      IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR;
  if (::inotify_add_watch(inotify_.get(), directory.c_str(), kMask) < 0) {
    return errno_error(errno, "watch " + directory);
  }
  return {};
}

// Which file it was does not matter: the text tells whether anything has changed.
bool ConfigWatch::drain_events() {
  alignas(inotify_event) std::array<char, 16 * (sizeof(inotify_event) + NAME_MAX + 1)> buffer{};
  bool any = false;
  bool removed = false;
  ssize_t size = 0;
  while ((size = ::read(inotify_.get(), buffer.data(), buffer.size())) > 0) {
    any = true;
    for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof(event));
      if ((event.mask & IN_IGNORED) != 0) removed = true;
      at += sizeof(event) + event.len;
    }
  }
  // The directory itself was removed, or replaced by another one.
  if (removed) blind_ = !watch_directory();
  return any;
}

std::optional<Result<Config>> ConfigWatch::take() {
  const bool settled = timer_.clear();
  if (drain_events()) {
    if (!changing_since_) changing_since_ = monotonic_now();
    if (monotonic_now() - *changing_since_ < kMostSettles * settle_) {
      timer_.set(settle_);
      return std::nullopt;
    }
  } else if (!settled) {
    return std::nullopt;
  }
  timer_.set({});
  changing_since_.reset();
  return read_again();
}

std::optional<Result<Config>> ConfigWatch::read_again() {
  auto text = read_file(path_);
  if (!text) {
    Error error = text.error();
    if (blind_) error.message += "; its directory is gone, so the next start will see it again";
    if (error_ == error) return std::nullopt;
    text_.reset();
    error_ = std::move(error);
    return tl::unexpected(*error_);
  }
  if (*text == text_) return std::nullopt;
  text_ = std::move(*text);
  auto config = parse_config(*text_, path_);
  if (!config) {
    error_ = config.error();
    return tl::unexpected(*error_);
  }
  error_.reset();
  config_ = std::move(*config);
  ++generation_;
  return config_;
}

}  // namespace plimsoll::agent
