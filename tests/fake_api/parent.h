// SPDX-License-Identifier: Apache-2.0
//
// How the fakes' programs end: by SIGTERM or SIGINT, or with the process that started them.
#pragma once

#include <csignal>

namespace plimsoll::test {

// SIGTERM and SIGINT wait for sigwait(). To be called before the first thread starts.
sigset_t block_ending_signals();

// SIGTERM comes when the parent is gone.
void end_with_parent();

}  // namespace plimsoll::test
