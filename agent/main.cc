// SPDX-License-Identifier: Apache-2.0
#include <variant>

#include "agent/cli.h"
#include "agent/run.h"

int main(int argc, char** argv) {
  const plimsoll::agent::CommandLine line = plimsoll::agent::parse_command_line(argc, argv);
  if (const auto* exit_now = std::get_if<plimsoll::agent::ExitNow>(&line)) return exit_now->status;
  return plimsoll::agent::run_main(std::get<plimsoll::agent::RunOptions>(line));
}
