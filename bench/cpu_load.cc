// SPDX-License-Identifier: Apache-2.0
#include "bench/cpu_load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/fd.h"

namespace plimsoll::bench {
namespace {

std::int64_t clock_ns(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

void work_a_little() {
  for (int i = 0; i < 2000; ++i) asm volatile("");
}

// Until this thread has used so much CPU time more.
void burn(std::chrono::nanoseconds work) {
  const std::int64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + work.count();
  while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end) work_a_little();
}

void spin_until(std::int64_t end_ns) {
  while (clock_ns(CLOCK_MONOTONIC) < end_ns) work_a_little();
}

void sleep_until(std::int64_t time_ns) {
  const timespec time{.tv_sec = time_ns / 1'000'000'000, .tv_nsec = time_ns % 1'000'000'000};
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr) != 0) {
  }
}

void say_ready() {
  std::printf("ready %d\n", ::getpid());
  std::fflush(stdout);
}

void say_work(std::int64_t begin, std::int64_t end) {
  std::printf("work %" PRId64 " %" PRId64 "\n", begin, end);
  std::fflush(stdout);
}

[[noreturn]] void linger() {
  std::puts("done");
  std::fflush(stdout);
  while (true) ::pause();
}

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

void serve_one(int socket, std::chrono::nanoseconds work, std::string_view answer) {
  std::array<char, 1024> request{};
  std::size_t got = 0;
  while (std::string_view(request.data(), got).find("\r\n\r\n") == std::string_view::npos) {
    if (got == request.size()) return;
    const ssize_t more = ::read(socket, request.data() + got, request.size() - got);
    if (more <= 0) return;
    got += static_cast<std::size_t>(more);
  }
  burn(work);
  while (!answer.empty()) {
    const ssize_t sent = ::send(socket, answer.data(), answer.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    answer.remove_prefix(static_cast<std::size_t>(sent));
  }
}

}  // namespace

void run_step(const StepLoad& load) {
  say_ready();
  const std::int64_t begin =
      clock_ns(CLOCK_MONOTONIC) + std::chrono::nanoseconds(load.rest).count();
  const std::int64_t end = begin + std::chrono::nanoseconds(load.busy).count();
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < load.threads; ++i) {
    threads.emplace_back([=] {
      sleep_until(begin);
      spin_until(end);
    });
  }
  for (std::thread& thread : threads) thread.join();
  say_work(begin, end);
  linger();
}

void run_bursts(const BurstLoad& load) {
  say_ready();
  std::int64_t next = clock_ns(CLOCK_MONOTONIC) + std::chrono::nanoseconds(load.rest).count();
  for (unsigned i = 0; i < load.count; ++i) {
    sleep_until(next);
    burn(load.work);
    say_work(next, clock_ns(CLOCK_MONOTONIC));
    next += std::chrono::nanoseconds(load.every).count();
  }
  linger();
}

void run_serve(const ServeLoad& load) {
  const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(load.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (!listener || ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      ::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener.get(), 1024) != 0) {
    die("bench-cpu: serve");
  }
  const std::string body(4096, 'x');
  const std::string answer = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " +
                             std::to_string(body.size()) + "\r\n\r\n" + body;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < load.threads; ++i) {
    threads.emplace_back([&] {
      while (true) {
        const Fd socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (socket) serve_one(socket.get(), load.work, answer);
      }
    });
  }
  say_ready();
  while (true) ::pause();
}

}  // namespace plimsoll::bench
