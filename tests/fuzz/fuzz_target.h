// SPDX-License-Identifier: Apache-2.0
//
// What a file <name>_fuzz.cc defines: a function that takes any bytes whatever, as libFuzzer calls
// it, and the inputs that fuzzing starts from. It ends the process when something is wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

// Returns 0.
// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
// Small ones, and as different as the format allows.
std::vector<std::string> fuzz_seeds();

namespace plimsoll::test {

// A target by name, where all of them are in one program.
struct FuzzTarget {
  std::string name;
  int (*run)(const std::uint8_t*, std::size_t);
  std::vector<std::string> (*seeds)();
};
std::vector<FuzzTarget> fuzz_targets();
// For gtest, whose own way is the bytes of the object: other ones in every run.
inline void PrintTo(const FuzzTarget& target, std::ostream* out) { *out << target.name; }

}  // namespace plimsoll::test
