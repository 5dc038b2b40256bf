// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake_systemd.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include "base/fd.h"

namespace plimsoll::test {
namespace {

void need(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(what);
}

struct CloseBus {
  void operator()(sd_bus* bus) const { ::sd_bus_close_unref(bus); }
};
using Bus = std::unique_ptr<sd_bus, CloseBus>;

}  // namespace

class FakeSystemd::Server {
 public:
  Server() : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Server() {
    stopping_ = true;
    wake();
    if (thread_.joinable()) thread_.join();
    for (sd_bus_message* const message : held_) ::sd_bus_message_unref(message);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void listen(const std::string& path) {
    listening_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    need(path.size() < sizeof(address.sun_path), "socket path is too long");
    std::memcpy(address.sun_path, path.data(), path.size());
    need(
        ::bind(listening_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0,
        "bind");
    need(::listen(listening_.get(), 8) == 0, "listen");
    thread_ = std::thread([this] { run(); });
  }

  void join_bus(const std::string& path) {
    sd_bus* bus = nullptr;
    need(::sd_bus_new(&bus) >= 0, "sd_bus_new");
    bus_.reset(bus);
    need(::sd_bus_set_address(bus, ("unix:path=" + path).c_str()) >= 0, "address");
    need(::sd_bus_set_bus_client(bus, 1) >= 0 && ::sd_bus_start(bus) >= 0, "start");
    need(::sd_bus_add_filter(bus, nullptr, on_message, this) >= 0, "filter");
    need(::sd_bus_request_name(bus, "org.freedesktop.systemd1", 0) >= 0, "name");
    wake();  // what came with the answer is to be looked at before the first wait
    thread_ = std::thread([this] { run(); });
  }

  std::vector<Call> calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  std::size_t pings() const { return pings_; }
  void hold(bool on) {
    holding_ = on;
    wake();
  }

 private:
  void wake() {
    const std::uint64_t one = 1;
    need(::write(wake_.get(), &one, sizeof(one)) == sizeof(one), "wake");
  }

  void run() {
    while (!stopping_) {
      std::array<pollfd, 3> fds{pollfd{wake_.get(), POLLIN, 0},
                                pollfd{listening_ ? listening_.get() : -1, POLLIN, 0},
                                pollfd{-1, 0, 0}};
      if (bus_) {
        const int events = ::sd_bus_get_events(bus_.get());
        fds[2] = {::sd_bus_get_fd(bus_.get()), static_cast<short>(std::max(events, 0)), 0};
      }
      ::poll(fds.data(), fds.size(), -1);
      std::uint64_t count = 0;
      (void)!::read(wake_.get(), &count, sizeof(count));
      if ((fds[1].revents & POLLIN) != 0) accept();
      if (!holding_) answer_held();
      while (bus_ && !hang_up_) {
        const int more = ::sd_bus_process(bus_.get(), nullptr);
        if (more < 0) hang_up_ = true;
        if (more <= 0) break;
      }
      if (hang_up_) bus_.reset();
      hang_up_ = false;
    }
    bus_.reset();
  }

  void accept() {
    const int fd = ::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    sd_bus* bus = nullptr;
    sd_id128_t id{};
    need(::sd_id128_randomize(&id) >= 0 && ::sd_bus_new(&bus) >= 0, "sd_bus_new");
    bus_.reset(bus);
    need(::sd_bus_set_fd(bus, fd, fd) >= 0 && ::sd_bus_set_server(bus, 1, id) >= 0, "server");
    need(::sd_bus_add_filter(bus, nullptr, on_message, this) >= 0, "filter");
    need(::sd_bus_start(bus) >= 0, "start");
  }

  void answer_held() {
    for (sd_bus_message* const message : std::exchange(held_, {})) {
      ::sd_bus_reply_method_return(message, "");
      ::sd_bus_message_unref(message);
    }
  }

  static int on_message(sd_bus_message* message, void* data, sd_bus_error* /*error*/) {
    auto* const self = static_cast<Server*>(data);
    if (::sd_bus_message_is_method_call(message, "org.freedesktop.DBus.Peer", "Ping") > 0) {
      ++self->pings_;
      return 0;  // answered by sd-bus itself
    }
    if (::sd_bus_message_is_method_call(message, "org.freedesktop.systemd1.Manager",
                                        "SetUnitProperties") <= 0) {
      return 0;
    }
    return self->on_set(message);
  }

  int on_set(sd_bus_message* message) {
    Call call;
    const char* unit = nullptr;
    int runtime = 0;
    need(::sd_bus_message_read(message, "sb", &unit, &runtime) > 0, "unit");
    call.unit = unit;
    call.runtime = runtime != 0;
    need(::sd_bus_message_enter_container(message, 'a', "(sv)") > 0, "properties");
    const char* property = nullptr;
    std::uint64_t value = 0;
    while (::sd_bus_message_read(message, "(sv)", &property, "t", &value) > 0) {
      call.properties[property] = value;
    }
    const auto is = [&call](const char* prefix) { return call.unit.starts_with(prefix); };
    {
      const std::lock_guard lock(mutex_);
      calls_.push_back(call);
    }
    if (is("missing")) {
      return ::sd_bus_reply_method_errorf(message, "org.freedesktop.systemd1.NoSuchUnit",
                                          "Unit %s not found.", unit) < 0
                 ? -1
                 : 1;
    }
    if (is("denied")) {
      return ::sd_bus_reply_method_errorf(message, "org.freedesktop.DBus.Error.AccessDenied",
                                          "No.") < 0
                 ? -1
                 : 1;
    }
    if (is("silent")) return 1;
    if (is("hangup") && !hung_up_) {
      hung_up_ = true;
      hang_up_ = true;
      return 1;
    }
    if (holding_) {
      held_.push_back(::sd_bus_message_ref(message));
      return 1;
    }
    return ::sd_bus_reply_method_return(message, "") < 0 ? -1 : 1;
  }

  Fd wake_;
  Fd listening_;
  Bus bus_;
  std::vector<sd_bus_message*> held_;
  bool hang_up_ = false;
  bool hung_up_ = false;
  mutable std::mutex mutex_;
  std::vector<Call> calls_;
  std::atomic<std::size_t> pings_{0};
  std::atomic<bool> holding_{false};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

FakeSystemd::FakeSystemd(std::unique_ptr<Server> server) : server_(std::move(server)) {}
FakeSystemd::~FakeSystemd() = default;

std::unique_ptr<FakeSystemd> FakeSystemd::listen(const std::string& socket) {
  auto server = std::make_unique<Server>();
  server->listen(socket);
  return std::unique_ptr<FakeSystemd>(new FakeSystemd(std::move(server)));
}

std::unique_ptr<FakeSystemd> FakeSystemd::on_bus(const std::string& socket) {
  auto server = std::make_unique<Server>();
  server->join_bus(socket);
  return std::unique_ptr<FakeSystemd>(new FakeSystemd(std::move(server)));
}

std::vector<FakeSystemd::Call> FakeSystemd::calls() const { return server_->calls(); }
std::size_t FakeSystemd::pings() const { return server_->pings(); }
void FakeSystemd::hold(bool on) { server_->hold(on); }

}  // namespace plimsoll::test
