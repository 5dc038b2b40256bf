// SPDX-License-Identifier: Apache-2.0
//
// <target> --write-seeds=DIRECTORY writes the target's seeds there and ends; libFuzzer leaves
// arguments that begin with two dashes alone.
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

#include "tests/fuzz/fuzz_target.h"

// NOLINTNEXTLINE(readability-identifier-naming,readability-non-const-parameter): libFuzzer's
extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  constexpr std::string_view kOption = "--write-seeds=";
  for (int i = 1; i < *argc; ++i) {
    const std::string_view argument = (*argv)[i];
    if (!argument.starts_with(kOption)) continue;
    const std::string directory(argument.substr(kOption.size()));
    int number = 0;
    for (const std::string& seed : fuzz_seeds()) {
      std::ofstream file(directory + "/seed-" + std::to_string(number++), std::ios::binary);
      file << seed;
    }
    std::exit(number > 0 ? 0 : 1);
  }
  return 0;
}
