// SPDX-License-Identifier: Apache-2.0
#include "tests/support/source_path.h"

namespace plimsoll {

std::string source_path(std::string_view relative) {
  return PLIMSOLL_SOURCE_DIR "/" + std::string(relative);
}

}  // namespace plimsoll
