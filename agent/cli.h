// SPDX-License-Identifier: Apache-2.0
//
// The command line: words in, options of one subcommand out. The only user of the CLI library.
#pragma once

#include <variant>

#include "agent/agent_options.h"
#include "agent/config_command.h"
#include "agent/doctor.h"
#include "agent/explain_command.h"
#include "agent/restore.h"
#include "agent/run.h"

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
