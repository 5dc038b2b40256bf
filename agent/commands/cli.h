// SPDX-License-Identifier: Apache-2.0
//
// The command line: words in, options of one subcommand out. The only user of the CLI library.
#pragma once

#include <variant>

#include "agent/commands/config.h"
#include "agent/commands/doctor.h"
#include "agent/commands/explain.h"
#include "agent/commands/restore.h"
#include "agent/commands/run.h"
#include "agent/node/agent_options.h"
#include "agent/restore/cgroups.h"

namespace plimsoll::agent {

// Nothing is to be done but to exit with this: --help, --version or a bad command line, whose text
// has been printed.
struct ExitNow {
  int status = 0;
};

using CommandLine = std::variant<ExitNow, RunOptions, DoctorOptions, ConfigOptions, AgentOptions,
                                 RestoreOptions, ExplainOptions>;

CommandLine parse_command_line(int count, char** words);

}  // namespace plimsoll::agent
