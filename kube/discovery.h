// SPDX-License-Identifier: Apache-2.0
//
// What the API server is and whether pods can be resized through it: its version and what it
// lists. Asked once at the start and after a reconnect. Pure: requests out, replies in.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "kube/http.h"

namespace plimsoll::kube {

struct ServerVersion {
  int major = 0;
  int minor = 0;
  std::string git_version;  // "v1.36.2", for people

  bool operator==(const ServerVersion&) const = default;
  // Of major and minor.
  bool at_least(int other_major, int other_minor) const {
    return major != other_major ? major > other_major : minor >= other_minor;
  }
};

// By what a limit is changed through the API.
enum class ResizePath : std::uint8_t {
  kSubresource,  // PATCH …/pods/NAME/resize: 1.32 and later, where it is listed
  kPodPatch,     // PATCH …/pods/NAME: 1.27 to 1.31, if a feature gate is on, which no list shows
  kNone,
};
std::string_view to_string(ResizePath path);

Request version_request();    // GET /version
Request discovery_request();  // GET /api/v1

// kMalformed: no version in it. Also "36+", as providers write it.
Result<ServerVersion> parse_version(std::string_view body);

// Whether the list of /api/v1 has pods/resize with the verb patch. kMalformed: no list.
Result<bool> lists_resize(std::string_view body);

ResizePath resize_path(const ServerVersion& version, bool resize_is_listed);

}  // namespace plimsoll::kube
