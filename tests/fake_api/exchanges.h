// SPDX-License-Identifier: Apache-2.0
//
// Two more kinds of Exchange: one without a network, and one that puts what is answered on record.
#pragma once

#include <functional>

#include "tests/fake_api/http_server.h"
#include "tests/fake_api/status.h"

namespace plimsoll::test {

// Keeps what would be sent, as text. Waiting takes no time.
class KeptExchange : public Exchange {
 public:
  bool reply(int status, const Headers& headers, std::string_view body) override {
    start(status, headers);
    return write(body);
  }
  bool start(int status, const Headers& headers) override {
    kept.status = status;
    kept.headers = headers;
    return true;
  }
  bool write(std::string_view piece) override {
    kept.text += piece;
    return true;
  }
  bool finish() override { return true; }
  void cut_after(std::size_t /*bytes*/) override {}
  void raw(std::string_view /*bytes*/) override {}
  void reset() override {}
  bool pause(std::chrono::nanoseconds /*time*/) override { return true; }

  Reply kept;
};

// Tells the status before the first byte leaves, so that whoever has the answer finds it on record.
class ToldExchange : public Exchange {
 public:
  ToldExchange(Exchange& inner, std::function<void(int)> tell)
      : inner_(inner), tell_(std::move(tell)) {}

  bool reply(int status, const Headers& headers, std::string_view body) override {
    tell_(status);
    return inner_.reply(status, headers, body);
  }
  bool start(int status, const Headers& headers) override {
    tell_(status);
    return inner_.start(status, headers);
  }
  bool write(std::string_view piece) override { return inner_.write(piece); }
  bool finish() override { return inner_.finish(); }
  void cut_after(std::size_t bytes) override { inner_.cut_after(bytes); }
  void raw(std::string_view bytes) override { inner_.raw(bytes); }
  void reset() override { inner_.reset(); }
  bool pause(std::chrono::nanoseconds time) override { return inner_.pause(time); }

 private:
  Exchange& inner_;
  std::function<void(int)> tell_;
};

}  // namespace plimsoll::test
