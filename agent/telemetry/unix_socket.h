// SPDX-License-Identifier: Apache-2.0
//
// Unix stream sockets at a path, for the two ends of `plimsoll explain`.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

// Listens, non-blocking, with mode 0600; makes the last directory of the path (0700) if it is not
// there. What a killed process left at the path is removed. kConflict: somebody listens there, or
// it is no socket; kMalformed: the path is too long for a socket.
Result<Fd> listen_at(const std::string& path, int backlog);

// Blocking, with this time for each read and write; 0: forever. kGone: nothing is at the path, or
// nobody listens there.
Result<Fd> connect_to(const std::string& path, Nanoseconds within);

// Whether the peer of a connection is root, or this process's own user.
bool is_trusted_peer(int fd);

}  // namespace plimsoll::agent
