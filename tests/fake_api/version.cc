// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/version.h"

#include <array>
#include <utility>

namespace plimsoll::test {

Result<VersionRules> version_rules(const std::string& version) {
  // The patch releases that the contract was read from.
  constexpr std::array kPatches{
      std::pair{27, 7},  std::pair{28, 3},  std::pair{29, 1}, std::pair{30, 1}, std::pair{31, 14},
      std::pair{32, 13}, std::pair{33, 13}, std::pair{34, 9}, std::pair{35, 6}, std::pair{36, 2}};
  for (const auto& [minor, patch] : kPatches) {
    if (version == "1." + std::to_string(minor)) {
      VersionRules rules;
      rules.minor = minor;
      rules.git_version = "v1." + std::to_string(minor) + "." + std::to_string(patch);
      return rules;
    }
  }
  return fail(Code::kMalformed, "version '" + version + "' is none of 1.27 to 1.36");
}

}  // namespace plimsoll::test
