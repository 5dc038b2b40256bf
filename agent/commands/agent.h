// SPDX-License-Identifier: Apache-2.0
//
// `plimsoll agent`.
#pragma once

#include "agent/node/agent_options.h"

namespace plimsoll::agent {

// Runs until SIGTERM or SIGINT. Exit status: 0, or 1 when it could not start.
int agent_main(const AgentOptions& options);

}  // namespace plimsoll::agent
