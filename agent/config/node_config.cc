// SPDX-License-Identifier: Apache-2.0
#include "agent/config/node_config.h"

#include <cstddef>

namespace plimsoll::agent {

std::string_view to_string(Actuation actuation) {
  return kActuationWords.at(static_cast<std::size_t>(actuation));
}

std::string_view to_string(Coexist coexist) {
  return kCoexistWords.at(static_cast<std::size_t>(coexist));
}

std::string_view to_string(LogLevel level) {
  return kLogLevelWords.at(static_cast<std::size_t>(level));
}

}  // namespace plimsoll::agent
