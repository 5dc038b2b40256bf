// SPDX-License-Identifier: Apache-2.0
//
// Reads a watch of pods as its bytes arrive: one event per line, however the pieces are cut. A line
// that makes no sense costs that line and no other. No I/O.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "kube/json_members.h"
#include "kube/pod.h"
#include "kube/pod_json.h"
#include "kube/status.h"

namespace plimsoll::kube {

struct WatchEvent {
  enum class Kind : std::uint8_t {
    kAdded,
    kModified,
    kDeleted,   // of `pod` its identity and its resource_version only
    kBookmark,  // of `pod` its resource_version only: everything before it has been told
    kError,     // `status` says why; the server ends the stream
    kSkipped,   // a line that could not be read: of `pod` what could be, and `error`
  };
  Kind kind = Kind::kSkipped;
  Pod pod;
  Status status;
  Error error;
};

class WatchReader {
 public:
  // False: nothing more is wanted.
  using OnEvent = std::function<bool(WatchEvent&&)>;

  explicit WatchReader(OnEvent on_event);
  WatchReader(const WatchReader&) = delete;
  WatchReader& operator=(const WatchReader&) = delete;
  ~WatchReader() = default;

  // False: `on_event` wants no more.
  bool feed(std::string_view chunk);

  // Whether the stream stands in the middle of a line.
  bool in_line() const { return !members_.untouched() || broken_; }

 private:
  struct EarlyObject {
    std::string text;
    bool whole = true;
  };

  void on_member(const JsonMembers::Member& member);
  void on_line_end();

  OnEvent on_event_;
  JsonMembers members_;
  bool wanted_ = true;
  bool broken_ = false;  // the rest of this line is not read
  std::string type_;     // quoted, as it was written
  std::optional<EarlyObject> early_object_;
  std::optional<WatchEvent> event_;  // what this line says so far
};

}  // namespace plimsoll::kube
