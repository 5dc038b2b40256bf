// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/mutate.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace plimsoll::test {
namespace {

// What parsers stumble over.
constexpr std::array<std::string_view, 24> kTokens{
    "{",   "}",    "[",  "]",       "\"",   "\\",          ",",   ":",
    "\n",  " ",    "-1", "0",       "null", "true",        "1e9", "18446744073709551616",
    "0.1", "\xff", "Ki", "{\"a\":", "[[[[", "\"\\ud800\"", "\t",  "max"};

std::size_t below(std::mt19937_64& random, std::size_t bound) { return random() % bound; }

void change(std::string& text, const std::vector<std::string>& seeds, std::mt19937_64& random) {
  const std::size_t at = below(random, text.size() + 1);
  const std::size_t rest = text.size() - at;
  const std::size_t length = std::min<std::size_t>(rest, 1 + below(random, 32));
  switch (below(random, 7)) {
    case 0:
      if (rest > 0) text[at] = static_cast<char>(text[at] ^ (1 << below(random, 8)));
      break;
    case 1:
      if (rest > 0) text[at] = static_cast<char>(random());
      break;
    case 2:
      text.erase(at, length);
      break;
    case 3:
      text.insert(at, text.substr(at, length));
      break;
    case 4:
      text.insert(at, kTokens.at(below(random, kTokens.size())));
      break;
    case 5:
      text.resize(at);
      break;
    default: {
      const std::string& other = seeds[below(random, seeds.size())];
      const std::size_t from = below(random, other.size() + 1);
      text.replace(at, length, other, from, 1 + below(random, 64));
    }
  }
}

}  // namespace

std::string mutated(const std::vector<std::string>& seeds, std::mt19937_64& random) {
  std::string text = seeds[below(random, seeds.size())];
  for (std::size_t changes = 1 + below(random, 4); changes > 0; --changes) {
    change(text, seeds, random);
  }
  return text;
}

}  // namespace plimsoll::test
