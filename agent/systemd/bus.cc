// SPDX-License-Identifier: Apache-2.0
#include "agent/systemd/bus.h"

#include <poll.h>
#include <systemd/sd-bus.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

namespace plimsoll::agent {
namespace {

constexpr const char* kService = "org.freedesktop.systemd1";
constexpr const char* kObject = "/org/freedesktop/systemd1";

struct CloseBus {
  void operator()(sd_bus* bus) const { ::sd_bus_close_unref(bus); }
};
struct DropMessage {
  void operator()(sd_bus_message* message) const { ::sd_bus_message_unref(message); }
};
using Bus = std::unique_ptr<sd_bus, CloseBus>;
using Message = std::unique_ptr<sd_bus_message, DropMessage>;

// A path as the value of a D-Bus address: all but some characters are escaped.
std::string address_of(const std::string& path) {
  static constexpr std::string_view kPlain = "_/.-\\*";
  static constexpr std::string_view kDigits = "0123456789abcdef";
  constexpr unsigned kNibble = 16;
  std::string address = "unix:path=";
  for (const char c : path) {
    const bool alphanumeric =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (alphanumeric || kPlain.find(c) != std::string_view::npos) {
      address += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      address += '%';
      address += kDigits[byte / kNibble];
      address += kDigits[byte % kNibble];
    }
  }
  return address;
}

Code code_of(std::string_view name) {
  struct Row {
    std::string_view name;
    Code code;
  };
  static constexpr std::array<Row, 9> kCodes{{
      {"org.freedesktop.systemd1.NoSuchUnit", Code::kGone},
      {"org.freedesktop.systemd1.LoadFailed", Code::kGone},
      {"org.freedesktop.DBus.Error.UnknownObject", Code::kGone},
      {"org.freedesktop.DBus.Error.AccessDenied", Code::kDenied},
      {"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", Code::kDenied},
      {"org.freedesktop.DBus.Error.PropertyReadOnly", Code::kDenied},
      {"org.freedesktop.DBus.Error.UnknownMethod", Code::kUnsupported},
      {"org.freedesktop.DBus.Error.UnknownProperty", Code::kUnsupported},
      {"org.freedesktop.DBus.Error.InvalidArgs", Code::kMalformed},
  }};
  for (const Row& row : kCodes) {
    if (row.name == name) return row.code;
  }
  return Code::kUnavailable;
}

std::string text_of(const char* text) { return text == nullptr ? std::string() : text; }

int append_number(sd_bus_message* message, const char* property, std::uint64_t value) {
  return ::sd_bus_message_append(message, "(sv)", property, "t", value);
}

int append_limits(sd_bus_message* message, const UnitLimits& limits) {
  int error = ::sd_bus_message_append(message, "sb", limits.unit.c_str(), 1);
  if (error >= 0) error = ::sd_bus_message_open_container(message, 'a', "(sv)");
  // Infinity is all ones there, as it is here.
  if (error >= 0 && limits.memory_max) {
    error = append_number(message, "MemoryMax", limits.memory_max->bytes);
  }
  if (error >= 0 && limits.cpu_quota_us_per_second) {
    error = append_number(message, "CPUQuotaPerSecUSec", *limits.cpu_quota_us_per_second);
  }
  if (error >= 0) error = ::sd_bus_message_close_container(message);
  return error;
}

std::uint64_t usec_of(Nanoseconds time) {
  return static_cast<std::uint64_t>(
      std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::microseconds>(time).count()));
}

}  // namespace

struct SystemdConnection::Handle {
  Bus bus;
  Done done;
  std::string what;
  Nanoseconds timeout{};

  void finish(std::optional<Error> error) {
    const Done tell = std::exchange(done, nullptr);
    if (tell) tell(std::move(error));
  }
  std::optional<Error> error_of(sd_bus_message* answer) const {
    const sd_bus_error* const error = ::sd_bus_message_get_error(answer);
    if (error == nullptr) return std::nullopt;
    const std::string name = text_of(error->name);
    return Error{code_of(name), what + ": " + text_of(error->message) + " (" + name + ")"};
  }
  int ping() {
    return ::sd_bus_call_method_async(bus.get(), nullptr, kService, kObject,
                                      "org.freedesktop.DBus.Peer", "Ping", on_ping, this, "");
  }

  static int on_set(sd_bus_message* answer, void* data, sd_bus_error* /*error*/) {
    auto* const self = static_cast<Handle*>(data);
    if (auto error = self->error_of(answer)) {
      self->finish(std::move(error));
    } else if (self->ping() < 0) {
      self->finish(std::nullopt);
    }
    return 0;
  }
  // Whatever the answer: the properties are set.
  static int on_ping(sd_bus_message* /*answer*/, void* data, sd_bus_error* /*error*/) {
    static_cast<Handle*>(data)->finish(std::nullopt);
    return 0;
  }
};

SystemdConnection::SystemdConnection(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}

SystemdConnection::~SystemdConnection() = default;

Result<std::unique_ptr<SystemdConnection>> SystemdConnection::open(const SystemdBus& bus) {
  const std::string what = "connect to systemd at " + bus.socket;
  sd_bus* made = nullptr;
  int error = ::sd_bus_new(&made);
  if (error < 0) return errno_error(-error, what);
  auto handle = std::make_unique<Handle>();
  handle->bus.reset(made);
  error = ::sd_bus_set_address(made, address_of(bus.socket).c_str());
  // A message bus greets its clients; systemd's own socket is a connection of two.
  if (error >= 0) {
    error = ::sd_bus_set_bus_client(made, bus.kind == SystemdBus::Kind::kMessageBus ? 1 : 0);
  }
  if (error >= 0) error = ::sd_bus_start(made);
  if (error < 0) {
    // Nobody there is nothing final: systemd is started again, or the socket is mounted later.
    const auto failed = errno_error(-error, what);
    return fail(Code::kUnavailable, failed.value().message);
  }
  return std::unique_ptr<SystemdConnection>(new SystemdConnection(std::move(handle)));
}

Result<void> SystemdConnection::set_properties(const UnitLimits& limits, Nanoseconds timeout,
                                               Done done) {
  Handle& handle = *handle_;
  handle.what = "set limits of " + limits.unit;
  handle.timeout = timeout;
  sd_bus_message* made = nullptr;
  int error =
      ::sd_bus_message_new_method_call(handle.bus.get(), &made, kService, kObject,
                                       "org.freedesktop.systemd1.Manager", "SetUnitProperties");
  const Message message(made);
  if (error >= 0) error = append_limits(made, limits);
  if (error >= 0) error = ::sd_bus_set_method_call_timeout(handle.bus.get(), usec_of(timeout));
  if (error >= 0) {
    error = ::sd_bus_call_async(handle.bus.get(), nullptr, made, Handle::on_set, &handle, 0);
  }
  if (error < 0) return errno_error(-error, handle.what);
  handle.done = std::move(done);
  return {};
}

int SystemdConnection::fd() const { return ::sd_bus_get_fd(handle_->bus.get()); }

short SystemdConnection::events() const {
  const int events = ::sd_bus_get_events(handle_->bus.get());
  return static_cast<short>(events < 0 ? POLLIN : events);
}

std::optional<MonotonicTime> SystemdConnection::deadline() const {
  std::uint64_t usec = 0;
  if (::sd_bus_get_timeout(handle_->bus.get(), &usec) < 0) return MonotonicTime{};
  if (usec == UINT64_MAX) return std::nullopt;
  return MonotonicTime(std::chrono::microseconds(usec));
}

Result<void> SystemdConnection::process() {
  int more = 1;
  while (more > 0) more = ::sd_bus_process(handle_->bus.get(), nullptr);
  if (more == 0 && ::sd_bus_is_open(handle_->bus.get()) > 0) return {};
  const auto error = errno_error(more < 0 ? -more : ECONNRESET, "talk to systemd");
  Error lost{Code::kUnavailable, error.value().message};
  handle_->finish(lost);
  return tl::unexpected(std::move(lost));
}

}  // namespace plimsoll::agent
