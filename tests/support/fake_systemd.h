// SPDX-License-Identifier: Apache-2.0
//
// FakeSystemd: answers SetUnitProperties on a socket of its own, or as a service on a message bus.
// Compared with the real one by tests/vm/lib/systemd_units_guest.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace plimsoll::test {

class FakeSystemd {
 public:
  struct Call {
    std::string unit;
    bool runtime = false;
    std::map<std::string, std::uint64_t> properties;

    bool operator==(const Call&) const = default;
  };

  // Listens on `socket`. What it does depends on the unit's name: "missing…" is not there,
  // "denied…" may not be changed, "silent…" gets no answer, "hangup…" ends the connection once and
  // is answered from then on.
  static std::unique_ptr<FakeSystemd> listen(const std::string& socket);
  // Takes the name org.freedesktop.systemd1 on the bus there.
  static std::unique_ptr<FakeSystemd> on_bus(const std::string& socket);
  ~FakeSystemd();
  FakeSystemd(const FakeSystemd&) = delete;
  FakeSystemd& operator=(const FakeSystemd&) = delete;

  std::vector<Call> calls() const;
  std::size_t pings() const;
  // While held, calls are noted and not answered.
  void hold(bool on);

 private:
  class Server;

  explicit FakeSystemd(std::unique_ptr<Server> server);

  std::unique_ptr<Server> server_;
};

}  // namespace plimsoll::test
