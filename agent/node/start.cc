// SPDX-License-Identifier: Apache-2.0
// The half of node_agent.h that puts the parts together.
#include <algorithm>
#include <functional>
#include <utility>

#include "agent/node/file_limit.h"
#include "agent/node/node_agent.h"
#include "agent/node/resident_memory.h"
#include "cgroup/mounts.h"
#include "kube/client.h"

namespace plimsoll::agent {
namespace {

Result<std::string> find_cgroup_root(const AgentOptions& options) {
  if (!options.cgroup_root.empty()) return options.cgroup_root;
  const auto mounts = cgroup::read_mounts();
  if (!mounts) return tl::unexpected(mounts.error());
  if (!mounts->v2) return fail(Code::kUnsupported, "no cgroup v2 is mounted; see plimsoll doctor");
  return *mounts->v2;
}

// Of the jitter: agents of many nodes start at the same moment.
std::uint64_t seed_of(const std::string& node_name) { return std::hash<std::string>()(node_name); }

}  // namespace

Result<std::unique_ptr<NodeAgent>> NodeAgent::start(const AgentOptions& options, Config config) {
  std::unique_ptr<NodeAgent> agent(new NodeAgent(options, std::move(config)));
  if (auto started = agent->start_parts(); !started) return tl::unexpected(started.error());
  return agent;
}

Result<void> NodeAgent::start_parts() {
  auto log = DecisionLog::open({.level = config_.node.log_level, .json = options_.log_json});
  if (!log) return tl::unexpected(log.error());
  log_ = std::move(*log);
  if (const auto files = raise_file_limit(); !files) {
    log_->write(LogLevel::kWarn, "the limit of open files stays",
                {{"error", files.error().message}});
  }
  if (!options_.config_file.empty()) {
    auto watch = ConfigWatch::open(options_.config_file);
    if (!watch) return tl::unexpected(watch.error());
    config_watch_ = std::make_unique<ConfigWatch>(std::move(*watch));
    config_ = config_watch_->config();
    log_->set_level(config_.node.log_level);
  }
  timelines_.set_bounds({.entries = config_.node.explain_history});

  const auto root_path = find_cgroup_root(options_);
  if (!root_path) return tl::unexpected(root_path.error());
  auto root = cgroup::Root::open(*root_path, options_.cgroup_filesystem);
  if (!root) return tl::unexpected(root.error());
  root_ = std::make_unique<cgroup::Root>(std::move(*root));
  auto boot_id = read_boot_id();
  if (!boot_id) return tl::unexpected(boot_id.error());
  auto state = StateFile::open(options_.state_file, *boot_id);
  if (!state) return tl::unexpected(state.error());
  state_file_ = std::make_unique<StateFile>(std::move(*state));
  auto floors = StateFile::open(options_.floors_file, "", kFloorsCoalesce);
  if (!floors) return tl::unexpected(floors.error());
  floors_file_ = std::make_unique<StateFile>(std::move(*floors));
  for (const StateFile* file : {state_file_.get(), floors_file_.get()}) {
    for (const std::string& complaint : file->found().complaints) {
      log_->write(LogLevel::kWarn, "a state file could not be read", {{"error", complaint}});
    }
  }

  auto config = client_config(options_.api);
  if (!config) return tl::unexpected(config.error());
  config->observer = &tally_;
  // The first one initialises libcurl, of which little is used afterwards; the engine locks what is
  // in memory.
  auto event_client = kube::Client::make(*config);
  if (!event_client) return tl::unexpected(event_client.error());
  event_client_ = std::move(*event_client);
  drop_unneeded_pages();
  auto engine =
      Engine::start({.policy = config_.policy, .hold = config_.hold, .tier = config_.tier});
  if (!engine) return tl::unexpected(engine.error());
  engine_ = std::move(*engine);
  if (config_.node.cpu.enabled) {
    if (auto started = engine_->start_cpu(); !started) return started;
  }
  if (!engine_->tier_refusals().empty()) {
    log_->write(LogLevel::kWarn, "the kernel refuses a better tier",
                {{"tier", bpf::to_string(engine_->tier())}, {"why", engine_->tier_refusals()}});
  }
  if (!engine_->quality().warning.empty()) {
    log_->write(LogLevel::kWarn, "the reaction thread lacks privileges",
                {{"why", engine_->quality().warning}});
  }
  auto cgroups = PodCgroups::open(*root_);
  if (!cgroups) return tl::unexpected(cgroups.error());
  cgroups_ = std::make_unique<PodCgroups>(std::move(*cgroups));
  pods_ = std::make_unique<NodePods>(*root_, *engine_, *cgroups_, state_file_->found().state,
                                     floors_file_->found().state);
  announce_ = std::make_unique<NodeAnnounce>(*engine_, floors_file_->found().state.learned);
  startup_ = std::make_unique<NodeStartup>(*engine_);
  if (auto threads = start_threads(*config); !threads) return threads;
  log_->write(LogLevel::kInfo, "the agent has started",
              {{"version", PLIMSOLL_VERSION},
               {"node", options_.node_name},
               {"tier", bpf::to_string(engine_->tier())},
               {"real_time", engine_->quality().realtime},
               {"memory_locked", engine_->quality().memory_locked}});
  return {};
}

Result<void> NodeAgent::start_threads(const kube::ClientConfig& config) {
  const auto make_client = [&] { return kube::Client::make(config); };

  if (options_.systemd) {
    auto systemd = SystemdUnits::start(*root_, {.bus = *options_.systemd});
    if (!systemd) return tl::unexpected(systemd.error());
    systemd_ = std::move(*systemd);
  }
  poster_ = std::make_unique<EventPoster>(
      EventPosterOptions{
          .limits = {.node_per_minute = static_cast<double>(config_.node.events_per_minute)},
          .instance = options_.node_name},
      [this](const kube::Request& request) { return event_client_->send(request); });

  auto resizer =
      Resizer::start({.client = config,
                      .requests_per_second = config_.node.api.requests_per_second,
                      .burst = static_cast<double>(config_.node.api.burst),
                      .preflights_per_second = config_.node.preflight.requests_per_second});
  if (!resizer) return tl::unexpected(resizer.error());
  resizer_ = std::move(*resizer);
  auto probe_client = make_client();
  if (!probe_client) return tl::unexpected(probe_client.error());
  auto probe =
      ApiProbe::start(std::move(*probe_client), options_.node_name, seed_of(options_.node_name));
  if (!probe) return tl::unexpected(probe.error());
  probe_ = std::move(*probe);
  auto watch_client = make_client();
  if (!watch_client) return tl::unexpected(watch_client.error());
  auto watcher =
      PodWatcher::start(std::move(*watch_client), options_.node_name, seed_of(options_.node_name));
  if (!watcher) return tl::unexpected(watcher.error());
  watcher_ = std::move(*watcher);

  auto server = ExplainServer::open(
      options_.socket, [this](const ExplainRequest& request) { return explain(request); });
  if (server) {
    explain_server_ = std::move(*server);
  } else {
    log_->write(LogLevel::kWarn, "plimsoll explain will not work",
                {{"error", server.error().message}});
  }
  const ListenAddress& address = config_.node.metrics_address;
  if (address.port == 0) return {};
  auto status = StatusServer::start({.host = address.host, .port = address.port}, board_);
  if (!status) return tl::unexpected(status.error());
  status_server_ = std::move(*status);
  return {};
}

}  // namespace plimsoll::agent
