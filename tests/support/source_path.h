// SPDX-License-Identifier: Apache-2.0
//
// Where the files of the repository are that tests read: recordings, docs, manifests.
#pragma once

#include <string>
#include <string_view>

namespace plimsoll {

// "docs/config.md" as an absolute path.
std::string source_path(std::string_view relative);

}  // namespace plimsoll
