// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <variant>

#include "agent/commands/agent.h"
#include "agent/commands/cli.h"
#include "agent/commands/config.h"
#include "agent/commands/doctor.h"
#include "agent/commands/restore.h"
#include "agent/commands/run.h"

namespace plimsoll::agent {
namespace {

struct Run {
  int operator()(const ExitNow& exit_now) const { return exit_now.status; }
  int operator()(const RunOptions& options) const { return run_main(options); }
  int operator()(const DoctorOptions& options) const { return doctor_main(options, std::cout); }
  int operator()(const ConfigOptions& options) const {
    return config_main(options, std::cout, std::cerr);
  }
  int operator()(const AgentOptions& options) const { return agent_main(options); }
  int operator()(const RestoreOptions& options) const {
    return run_restore(options, std::cout, std::cerr);
  }
  int operator()(const ExplainOptions& options) const {
    return explain(options, std::cout, std::cerr);
  }
};

}  // namespace
}  // namespace plimsoll::agent

int main(int argc, char** argv) {
  return std::visit(plimsoll::agent::Run{}, plimsoll::agent::parse_command_line(argc, argv));
}
