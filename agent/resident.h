// SPDX-License-Identifier: Apache-2.0
//
// Keeps the resident size of a process that links many libraries small. Starting touches pages of
// all of them (relocations, initialisers, neighbours that the kernel maps along), few of which are
// ever needed again.
#pragma once

#include <span>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

// What the reaction path runs in stays mapped: the program itself, and these.
inline constexpr std::string_view kReactionLibraries[] = {"libc.so", "libstdc++.so", "libgcc_s.so",
                                                          "libbpf.so", "ld-linux"};

// Unmaps the pages of files that cannot have been changed: they come back from the page cache, or
// from the file, when they are used. Mappings of the program itself and of files whose names begin
// with one of `kept` are left alone, as is what was ever written to. Returns what was resident of
// it. To be called once, after the libraries were initialised and before memory is locked.
Result<Bytes> drop_startup_pages(std::span<const std::string_view> kept = kReactionLibraries);

}  // namespace plimsoll::agent
