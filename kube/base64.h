// SPDX-License-Identifier: Apache-2.0
//
// Base64 as kubeconfig files hold it (RFC 4648, padded). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace plimsoll::kube {

// Line breaks and spaces are skipped, for people wrap long values. Absent: anything else that is
// no base64, or a padding that is missing.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace plimsoll::kube
