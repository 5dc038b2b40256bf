// SPDX-License-Identifier: Apache-2.0
//
// Keeps the resident size of a process that links many libraries small, and its heap. Starting
// touches pages of all libraries (relocations, initialisers, neighbours that the kernel maps along)
// and much heap (libbpf reads the kernel's BTF), little of which is ever needed again; so does a
// request (TLS). Memory is locked, so that the kernel takes nothing of it back by itself.
#pragma once

#include <span>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

// To be called before the first thread is started; holds for the process. Two heaps for all
// threads: one for each thread is mostly empty. Large blocks go back to the kernel when they are
// freed. No huge pages: a heap of them is as large as its address range, however little of it is in
// use.
void keep_heap_small();

// What the reaction path runs in stays mapped: the program itself, and these.
inline constexpr std::string_view kReactionLibraries[] = {"libc.so", "libstdc++.so", "libgcc_s.so",
                                                          "libbpf.so", "ld-linux"};

// Gives the heap's free pages back, and unmaps the pages of files that cannot have been changed:
// they come back from the page cache, or from the file, when they are used. Mappings of the program
// itself and of files whose names begin with one of `kept` are left alone, as is what was ever
// written to. Returns what was resident of it. To be called when much was used for the last time:
// before memory is locked, when the start is over, after a burst of requests. What is locked is
// dropped as well (Linux 5.18), and locked again when it is used. Some milliseconds.
Result<Bytes> drop_unneeded_pages(std::span<const std::string_view> kept = kReactionLibraries);

}  // namespace plimsoll::agent
