// SPDX-License-Identifier: Apache-2.0
//
// Who we are where the API server keeps apart who set what (managedFields).
#pragma once

namespace plimsoll::agent {

inline constexpr const char* kFieldManager = "plimsoll";

}  // namespace plimsoll::agent
