// SPDX-License-Identifier: Apache-2.0
#include "bench/bare_reader.h"

#include <bpf/libbpf.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>

#include "bench/figures.h"
#include "bpf/memory_records.h"

namespace plimsoll::bench {
namespace {

// That of the agent's reaction thread.
constexpr int kPriority = 10;
// As long as the numbers that the agent writes in the same run.
constexpr std::string_view kText = "21474836480";

}  // namespace

Result<std::unique_ptr<BareReader>> BareReader::start(int ring_fd, Fd file, std::size_t most_events,
                                                      Nanoseconds delay) {
  std::unique_ptr<BareReader> reader(new BareReader);
  reader->file_ = std::move(file);
  reader->delay_ = delay;
  reader->latencies_.resize(most_events);
  reader->epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  reader->stop_ = Fd(::eventfd(0, EFD_CLOEXEC));
  reader->ring_ = ring_buffer__new(
      ring_fd,
      [](void* self, void* data, std::size_t) {
        return static_cast<BareReader*>(self)->on_record(data);
      },
      reader.get(), nullptr);
  if (reader->ring_ == nullptr) return errno_error(errno, "map the bare ring buffer");
  for (const int fd : {ring_fd, reader->stop_.get()}) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    if (::epoll_ctl(reader->epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      return errno_error(errno, "wait for the bare ring buffer");
    }
  }
  reader->thread_ = std::thread([self = reader.get()] { self->run(); });
  const sched_param parameters{.sched_priority = kPriority};
  reader->realtime_ =
      ::pthread_setschedparam(reader->thread_.native_handle(), SCHED_FIFO, &parameters) == 0;
  return reader;
}

BareReader::~BareReader() {
  stopping_.store(true);
  const std::uint64_t one = 1;
  if (thread_.joinable()) {
    [[maybe_unused]] const auto put = ::write(stop_.get(), &one, sizeof(one));
    thread_.join();
  }
  ring_buffer__free(ring_);
}

void BareReader::run() {
  std::array<epoll_event, 4> ready{};
  while (!stopping_.load(std::memory_order_relaxed)) {
    (void)::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), -1);
    ring_buffer__consume(ring_);
  }
}

int BareReader::on_record(const void* data) {
  const auto& event = *static_cast<const pl_memory_event*>(data);
  if (delay_ > Nanoseconds{}) std::this_thread::sleep_for(delay_);
  const ssize_t wrote = ::pwrite(file_.get(), kText.data(), kText.size(), 0);
  const double written = now_ns();
  if (wrote != static_cast<ssize_t>(kText.size())) failed_.store(true);
  const std::size_t index = answered_.load(std::memory_order_relaxed);
  if (index < latencies_.size()) latencies_[index] = written - static_cast<double>(event.time_ns);
  answered_.store(index + 1, std::memory_order_release);
  return 0;
}

}  // namespace plimsoll::bench
