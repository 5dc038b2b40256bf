// SPDX-License-Identifier: Apache-2.0
//
// docs/config.md, from the table of keys.
#pragma once

#include <string>

namespace plimsoll::agent {

// The whole of docs/config.md.
std::string render_config_docs();

}  // namespace plimsoll::agent
