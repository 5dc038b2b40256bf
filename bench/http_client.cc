// SPDX-License-Identifier: Apache-2.0
#include "bench/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <ctime>
#include <string_view>
#include <thread>
#include <utility>

#include "base/fd.h"
#include "bench/figures.h"

namespace plimsoll::bench {
namespace {

// More than are ever waiting for an answer at the same time.
constexpr std::size_t kSenders = 256;

std::vector<double> due_times(const HttpRate& rate) {
  using Seconds = std::chrono::duration<double>;
  std::vector<double> due;
  double start = 0;
  for (unsigned cycle = 0; cycle < rate.cycles; ++cycle) {
    for (const auto& [length, per_second] :
         {std::pair{Seconds(rate.busy).count(), rate.busy_per_second},
          std::pair{Seconds(rate.quiet).count(), rate.quiet_per_second}}) {
      for (double at = 0; at < length; at += 1 / per_second) due.push_back((start + at) * 1e9);
      start += length;
    }
  }
  return due;
}

bool ask(std::uint16_t port) {
  const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  constexpr std::string_view kRequest = "GET / HTTP/1.0\r\n\r\n";
  if (!socket ||
      ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      ::send(socket.get(), kRequest.data(), kRequest.size(), MSG_NOSIGNAL) !=
          static_cast<ssize_t>(kRequest.size())) {
    return false;
  }
  std::array<char, 8192> answer{};
  std::size_t got = 0;
  while (got < answer.size()) {
    const ssize_t more = ::read(socket.get(), answer.data() + got, answer.size() - got);
    if (more < 0) return false;
    if (more == 0) break;
    got += static_cast<std::size_t>(more);
  }
  return got > 4096 && std::string_view(answer.data(), got).starts_with("HTTP/1.0 200 ");
}

}  // namespace

HttpRun send_requests(const HttpRate& rate) {
  const std::vector<double> due = due_times(rate);
  // The senders take a moment to start.
  HttpRun run{.begin_ns = now_ns() + 1.5e9};
  run.latencies_ms.resize(due.size());
  std::atomic<std::size_t> next{0};
  std::atomic<unsigned> failed{0};
  const auto send = [&] {
    for (std::size_t i = next++; i < due.size(); i = next++) {
      const double at = run.begin_ns + due[i];
      const timespec time{.tv_sec = static_cast<time_t>(at / 1e9),
                          .tv_nsec = static_cast<long>(
                              at - static_cast<double>(static_cast<time_t>(at / 1e9)) * 1e9)};
      while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr) != 0) {
      }
      if (!ask(rate.port)) ++failed;
      run.latencies_ms[i] = (now_ns() - at) / 1e6;
    }
  };
  std::vector<std::thread> senders;
  for (std::size_t i = 0; i < std::min(kSenders, due.size()); ++i) {
    senders.emplace_back(send);
  }
  for (std::thread& sender : senders) sender.join();
  run.end_ns = now_ns();
  run.failed = failed;
  return run;
}

}  // namespace plimsoll::bench
