// SPDX-License-Identifier: Apache-2.0
//
// How one agent gives its node to the next: a unix socket at which the one that has the node
// listens. What decides who may write is the lock of the state file, not what is said here.
// docs/decisions/0021-update-without-a-gap.md.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

// Beside the state file, whose lock is handed over.
inline std::string handover_path(const std::string& state_file) { return state_file + ".handover"; }

// The end of the agent that has the node. Of one thread.
class Handover {
 public:
  // Makes the socket (mode 0600). kConflict: somebody listens there.
  static Result<Handover> open(std::string path);
  // Removes the socket.
  ~Handover();
  Handover(const Handover&) = delete;
  Handover& operator=(const Handover&) = delete;
  Handover(Handover&& other) noexcept = default;
  Handover& operator=(Handover&&) = delete;

  // Readable when somebody has come.
  int poll_fd() const { return listener_.get(); }
  // The connection of an agent that asks for the node; nullopt: nobody who may does. Blocks for at
  // most a fifth of a second, for somebody who has come and says nothing.
  std::optional<Fd> asked();

 private:
  Handover(std::string path, Fd listener)
      : path_(std::move(path)), listener_(std::move(listener)) {}
  std::string path_;
  Fd listener_;
};

// The node is free: nothing of ours writes since `stopped`, and the locks are let go.
Result<void> say_free(const Fd& asker, MonotonicTime stopped);
// Blocks until whoever was told so is at work, or has ended: the connection is closed; or `within`.
// False: not yet.
bool wait_until_closed(const Fd& asker, Nanoseconds within);

// The newcomer's side. Held open until it is at work: the one before holds tasks at their limits
// that long.
struct Given {
  Fd connection;
  MonotonicTime stopped;  // when the one before stopped to write
};
// Blocks until the node is free. kGone: nobody listens; kUnavailable: no answer `within`.
Result<Given> ask_for_node(const std::string& path, Nanoseconds within);

}  // namespace plimsoll::agent
