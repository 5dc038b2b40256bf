// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/record.h"

namespace plimsoll::agent {

std::string_view to_string(Record::Kind kind) {
  switch (kind) {
    case Record::Kind::kGrant:
      return "grant";
    case Record::Kind::kShrink:
      return "shrink";
    case Record::Kind::kReclaim:
      return "reclaim";
    case Record::Kind::kDenial:
      return "denial";
    case Record::Kind::kFailure:
      return "failure";
    case Record::Kind::kOomKill:
      return "oom_kill";
    case Record::Kind::kWish:
      return "wish";
  }
  return "unknown";
}

}  // namespace plimsoll::agent
