// SPDX-License-Identifier: Apache-2.0
//
// Damage to an input, the same for the same random numbers: what libFuzzer does at its simplest,
// for where there is no libFuzzer.
#pragma once

#include <random>
#include <string>
#include <vector>

namespace plimsoll::test {

// A seed with one to four changes: bytes flipped, removed, doubled, cut off, or taken from another.
std::string mutated(const std::vector<std::string>& seeds, std::mt19937_64& random);

}  // namespace plimsoll::test
