// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/cli.h"
#include "agent/commands/restore.h"
#include "agent/config/parse.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>

namespace plimsoll::agent {
namespace {

// A text that becomes a value through one of our parsers; its error is the CLI's.
template <typename T, typename Parse, typename Store>
CLI::Option* add_parsed(CLI::App* app, const char* names, Parse parse, Store store,
                        const char* help, const char* type) {
  return app
      ->add_option_function<std::string>(
          names,
          [=](const std::string& text) {
            const Result<T> value = parse(text);
            if (!value) throw CLI::ValidationError(names, value.error().message);
            store(*value);
          },
          help)
      ->type_name(type);
}

struct RunWords {
  std::string config_file;
  std::optional<Nanoseconds> shrink_after;
  std::optional<std::string> tier;
};

void add_run(CLI::App* run, RunOptions& options, RunWords& words) {
  add_parsed<Limit>(
      run, "--memory", parse_limit, [&](Limit value) { options.memory = value; },
      "Memory limit to start with, and never to go below (default 256Mi; \"max\": none)", "SIZE");
  add_parsed<Bytes>(
      run, "--memory-ceiling", parse_bytes, [&](Bytes value) { options.memory_ceiling = value; },
      "The most to grow to (default: what the machine has, less its reserve)", "SIZE");
  add_parsed<MilliCpu>(
      run, "--cpu", parse_cpus, [&](MilliCpu value) { options.cpu = value; },
      "CPU limit to start with, and never to go below, as 500m or 2 (default: none)", "CPUS");
  add_parsed<MilliCpu>(
      run, "--cpu-ceiling", parse_cpus, [&](MilliCpu value) { options.cpu_ceiling = value; },
      "The most CPUs to grow to (default: all)", "CPUS");
  add_parsed<std::vector<AnnouncedCommand>>(
      run, "--announce", parse_announced,
      [&](std::vector<AnnouncedCommand> value) { options.announce = std::move(value); },
      "Commands that need room as soon as they begin, as make=2Gi,ninja: each with how much, or "
      "what it needed before",
      "LIST");
  add_parsed<Nanoseconds>(
      run, "--shrink-after", parse_duration, [&](Nanoseconds value) { words.shrink_after = value; },
      "Give back what was not needed for this long (default 30s)", "DURATION");
  run->add_option("--parent", options.parent, "Cgroup to make the command's cgroup in")
      ->type_name("PATH");
  add_parsed<Bytes>(
      run, "--parent-ceiling", parse_bytes, [&](Bytes value) { options.parent_ceiling = value; },
      "Raise the limit of --parent as well, up to this", "SIZE");
  run->add_option("--name", options.name, "Ends the name of the command's cgroup")
      ->check([](const std::string& name) {
        const bool plain = name.size() <= 64 && name.find('/') == std::string::npos;
        return plain ? std::string() : std::string("at most 64 characters, no slash");
      });
  run->add_option("--config", words.config_file, "Thresholds; see docs/config.md")
      ->type_name("FILE");
  run->add_option("--tier", words.tier, "Use no more of the kernel than this (for tests)")
      ->type_name("A|C")
      ->check(CLI::IsMember({"A", "C"}));
  run->add_option("--report", options.report_file, "Write what was done to this file, as JSON")
      ->type_name("FILE");
  run->add_flag("--dry-run", options.dry_run, "Say what would be done and run nothing");
  run->add_flag("--json", options.json, "End with the report on standard error as one JSON line");
  run->add_flag("--quiet", options.quiet, "End without a summary");
  run->add_option("command", options.command, "The command and its arguments")->required();
  run->positionals_at_end();
}

CLI::App* add_config(CLI::App& app, ConfigOptions& options) {
  using Action = ConfigOptions::Action;
  CLI::App* config = app.add_subcommand("config", "Check and explain the configuration file");
  config->require_subcommand(1);
  CLI::App* check = config->add_subcommand("check", "Name every error in a file, with its line");
  check->add_option("file", options.file, "The file")->required()->type_name("FILE");
  check->callback([&] { options.action = Action::kCheck; });
  CLI::App* explain = config->add_subcommand("explain", "Say what a key means and may be");
  explain->add_option("key", options.key, "A key or a section; all of them without it")
      ->type_name("KEY");
  explain->callback([&] { options.action = Action::kExplain; });
  config->add_subcommand("defaults", "Print a file with every key at its default")->callback([&] {
    options.action = Action::kDefaults;
  });
  return config;
}

// What a systemd-less node says instead of a socket.
constexpr const char* kNoSystemd = "none";

void add_systemd(CLI::App* app, std::optional<SystemdBus>& systemd) {
  app->add_option_function<std::string>(
         "--systemd",
         [&systemd](const std::string& socket) {
           if (socket == kNoSystemd) {
             systemd.reset();
           } else {
             systemd =
                 SystemdBus{.kind = socket.ends_with("/private") ? SystemdBus::Kind::kPrivate
                                                                 : SystemdBus::Kind::kMessageBus,
                            .socket = socket};
           }
         },
         "Socket of the host's systemd or message bus (default /run/systemd/private); none")
      ->type_name("PATH");
}

void add_access(CLI::App* app, ApiAccess& access) {
  app->add_option("--kubeconfig", access.kubeconfig, "For use outside of a pod")->type_name("FILE");
  app->add_option("--service-account", access.service_account,
                  "Where the pod's token and CA are mounted")
      ->type_name("DIR");
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  access.service_host = variable("KUBERNETES_SERVICE_HOST");
  access.service_port = variable("KUBERNETES_SERVICE_PORT");
}

CLI::App* add_agent(CLI::App& app, AgentOptions& options) {
  CLI::App* agent = app.add_subcommand("agent", "Keep the limits of this node's pods (DaemonSet)");
  agent->add_option("--node-name", options.node_name, "The node's name in the API")
      ->envname("NODE_NAME")
      ->required();
  agent->add_option("--config", options.config_file, "Thresholds; read again when it changes")
      ->type_name("FILE");
  add_access(agent, options.api);
  agent->add_option("--cgroup-root", options.cgroup_root, "Where the host's cgroup v2 is mounted")
      ->type_name("DIR");
  agent->add_option("--state", options.state_file, "What must outlive the agent, but not the boot")
      ->type_name("FILE");
  agent->add_option("--floors", options.floors_file, "What must outlive the boot as well")
      ->type_name("FILE");
  agent->add_option("--socket", options.socket, "Socket of plimsoll explain")->type_name("PATH");
  add_systemd(agent, options.systemd);
  agent->add_flag("--log-json", options.log_json, "Log one JSON object per line");
  agent->add_flag("--restore", options.restore, "At the end put every limit back");
  return agent;
}

CLI::App* add_doctor(CLI::App& app, DoctorOptions& options) {
  CLI::App* doctor =
      app.add_subcommand("doctor", "Say what can be done here, what is missing, and the cure");
  doctor
      ->add_option_function<std::string>(
          "--for",
          [&options](const std::string& role) {
            options.role = role == "agent" ? Role::kAgent : Role::kRun;
          },
          "Only what plimsoll agent, or plimsoll run, needs (default: both, and one is enough)")
      ->type_name("agent|run")
      ->check(CLI::IsMember({"agent", "run"}));
  doctor
      ->add_option("--cgroup-root", options.cgroup_root,
                   "Where the agent would look for the host's cgroup v2")
      ->type_name("DIR");
  doctor->add_flag("--json", options.json, "As one JSON object");
  doctor->footer("Exits with 0 for tier A, 1 for a lower tier, 2 when nothing can work.");
  return doctor;
}

CLI::App* add_restore(CLI::App& app, RestoreOptions& options) {
  CLI::App* restore =
      app.add_subcommand("restore", "Put back every limit that an agent has left raised");
  restore->add_option("--state", options.state, "What the agent has written down")
      ->type_name("FILE");
  restore->add_option("--floors", options.floors, "What pods declared before their spec was raised")
      ->type_name("FILE");
  restore->add_option("--node-name", options.node_name, "The node's name in the API")
      ->envname("NODE_NAME");
  add_access(restore, options.api);
  restore->add_option("--cgroup-root", options.cgroup_root, "Where cgroup v2 is mounted")
      ->type_name("DIR");
  add_systemd(restore, options.systemd);
  restore->add_flag("--dry-run", options.dry_run, "Say what would be done and do nothing");
  restore->add_flag("--json", options.json, "As one JSON object");
  restore->footer("Exits with 0 when everything is back, with 1 when something is not.");
  return restore;
}

CLI::App* add_explain(CLI::App& app, ExplainOptions& options) {
  CLI::App* explain =
      app.add_subcommand("explain", "What the node's agent did to a pod's limits, and why");
  explain->add_option("pod", options.pod, "NAMESPACE/POD")->required();
  explain->add_option("--container", options.container, "Only this one");
  explain->add_option("--socket", options.socket, "The agent's socket")->type_name("PATH");
  explain->add_flag("--json", options.json, "As one JSON object");
  explain->footer("Exits with 0, 1 when there is no such pod, 3 when no agent answers.");
  return explain;
}

Result<void> finish_run(RunOptions& options, const RunWords& words) {
  if (options.cpu == MilliCpu{}) return fail(Code::kMalformed, "--cpu 0 is no limit to run with");
  if (options.cpu_ceiling && !options.cpu) {
    return fail(Code::kMalformed, "--cpu-ceiling needs --cpu, the limit to start with");
  }
  if (!words.config_file.empty()) {
    auto config = load_config(words.config_file);
    if (!config) return tl::unexpected(config.error());
    options.config = *config;
  }
  if (words.shrink_after) options.config.policy.memory.shrink_after = *words.shrink_after;
  if (words.tier) {
    options.config.tier = *words.tier == "A" ? bpf::Tier::kA : bpf::Tier::kC;
  }
  return {};
}

}  // namespace

CommandLine parse_command_line(int count, char** words) {
  CLI::App app("Grows a cgroup's memory limit before the OOM killer fires, and gives it back.",
               "plimsoll");
  app.require_subcommand(1);
  app.set_version_flag("--version", "plimsoll " PLIMSOLL_VERSION);
  RunOptions run_options;
  RunWords run_words;
  CLI::App* run = app.add_subcommand("run", "Run one command with an elastic memory limit");
  add_run(run, run_options, run_words);
  DoctorOptions doctor_options;
  const CLI::App* doctor = add_doctor(app, doctor_options);
  ConfigOptions config_options;
  const CLI::App* config = add_config(app, config_options);
  AgentOptions agent_options;
  const CLI::App* agent = add_agent(app, agent_options);
  RestoreOptions restore_options;
  const CLI::App* restore = add_restore(app, restore_options);
  ExplainOptions explain_options;
  const CLI::App* explain = add_explain(app, explain_options);
  try {
    app.parse(count, words);
  } catch (const CLI::ParseError& error) {
    return ExitNow{app.exit(error) == 0 ? 0 : kRunFailed};
  }
  if (doctor->parsed()) {
    doctor_options.colour = ::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
    return doctor_options;
  }
  if (config->parsed()) return config_options;
  if (restore->parsed()) return restore_options;
  if (explain->parsed()) return explain_options;
  if (agent->parsed()) return agent_options;
  run_options.arguments.assign(words + 1, words + count);
  if (auto finished = finish_run(run_options, run_words); !finished) {
    std::cerr << "plimsoll: " << finished.error().message << '\n';
    return ExitNow{kRunFailed};
  }
  return run_options;
}

}  // namespace plimsoll::agent
