// SPDX-License-Identifier: Apache-2.0
//
// The agent's log: a fixed sentence, then key=value, or one JSON object per line. Writing never
// blocks: lines go through a bounded queue to a thread, the oldest give way and are counted. One
// line per change, with the numbers that it was decided from; the lines that a condition repeats
// (a denial at every event) are logged when the condition begins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "agent/config/node_config.h"
#include "agent/engine/engine.h"
#include "agent/resize/resize_event.h"
#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  bool json = false;
  std::size_t queue = 512;  // lines
  std::string file;         // empty: standard error
};

// Numbers are written in base units; the key says which (`_bytes`, `_seconds`).
struct LogField {
  std::string_view key;
  std::variant<std::string_view, std::uint64_t, std::int64_t, double, bool> value;
};

class DecisionLog {
 public:
  static Result<std::unique_ptr<DecisionLog>> open(const LogOptions& options);
  // Writes what is queued and ends the thread.
  ~DecisionLog();
  DecisionLog(const DecisionLog&) = delete;
  DecisionLog& operator=(const DecisionLog&) = delete;

  void write(LogLevel level, std::string_view sentence, std::initializer_list<LogField> fields);
  void record(const ContainerRef& subject, const Record& record);
  void answer(const ContainerRef& subject, const ResizeEvent& answer);
  // The container is gone: what was said about it may be said again of its successor.
  void forget(const ContainerRef& subject);

  void set_level(LogLevel level);
  std::uint64_t overruns() const;  // lines that gave way

 private:
  struct Impl;
  explicit DecisionLog(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace plimsoll::agent
