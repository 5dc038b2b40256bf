// SPDX-License-Identifier: Apache-2.0
//
// Base64 as continue tokens use it (RFC 4648, section 5, without padding).
#pragma once

#include <string>
#include <string_view>

namespace plimsoll::test {

std::string base64url_encoded(std::string_view bytes);
// Garbage decodes to garbage, for the reader of what comes out to find.
std::string base64url_decoded(std::string_view text);
// RFC 4648, section 4: what a kubeconfig holds.
std::string base64_encoded(std::string_view bytes);

}  // namespace plimsoll::test
