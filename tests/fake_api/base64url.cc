// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/base64url.h"

#include <algorithm>
#include <cstdint>

namespace plimsoll::test {
namespace {

constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

}  // namespace

std::string base64url_encoded(std::string_view bytes) {
  std::string text;
  std::uint32_t held = 0;
  int bits = 0;
  for (const char c : bytes) {
    held = (held << 8U) | static_cast<unsigned char>(c);
    for (bits += 8; bits >= 6;) {
      bits -= 6;
      text += kDigits[(held >> static_cast<unsigned>(bits)) & 63U];
    }
  }
  if (bits > 0) text += kDigits[(held << static_cast<unsigned>(6 - bits)) & 63U];
  return text;
}

std::string base64url_decoded(std::string_view text) {
  std::string bytes;
  std::uint32_t held = 0;
  int bits = 0;
  for (const char c : text) {
    const std::size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) break;
    held = (held << 6U) | static_cast<std::uint32_t>(digit);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes += static_cast<char>((held >> static_cast<unsigned>(bits)) & 255U);
  }
  return bytes;
}

std::string base64_encoded(std::string_view bytes) {
  std::string text = base64url_encoded(bytes);
  std::replace(text.begin(), text.end(), '-', '+');
  std::replace(text.begin(), text.end(), '_', '/');
  text.append((4 - text.size() % 4) % 4, '=');
  return text;
}

}  // namespace plimsoll::test
