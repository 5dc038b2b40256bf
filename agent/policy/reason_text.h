// SPDX-License-Identifier: Apache-2.0
//
// A Reason as half a sentence for people, and numbers in it: what Events and `plimsoll explain`
// print behind a colon.
#pragma once

#include <string>
#include <string_view>

#include "agent/policy/memory.h"

namespace plimsoll::agent {

std::string_view sentence_of(Reason reason);
// "needs 200 MiB of 256 MiB, growing by 40 MiB per second"; what cannot be reclaimed is the need.
std::string numbers_of(const MemoryFacts& facts);
// "3.4 s"
std::string in_seconds(Nanoseconds time);

}  // namespace plimsoll::agent
