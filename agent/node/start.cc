// SPDX-License-Identifier: Apache-2.0
#include "agent/node/start.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <utility>

#include "agent/engine/file_limit.h"
#include "agent/node/explain_pod.h"
#include "agent/reaction/resident_memory.h"
#include "base/clock.h"
#include "cgroup/mounts.h"

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

// Makes a part where its making may fail.
template <typename Part>
Result<void> put(std::unique_ptr<Part>& place, Result<Part> made) {
  if (!made) return tl::unexpected(made.error());
  place = std::make_unique<Part>(std::move(*made));
  return {};
}
template <typename Part>
Result<void> put(std::unique_ptr<Part>& place, Result<std::unique_ptr<Part>> made) {
  if (!made) return tl::unexpected(made.error());
  place = std::move(*made);
  return {};
}

Result<void> open_config(Parts& parts, const AgentOptions& options) {
  if (auto log = put(parts.log, DecisionLog::open({.level = parts.config.node.log_level,
                                                   .json = options.log_json}));
      !log) {
    return log;
  }
  if (const auto files = raise_file_limit(); !files) {
    parts.log->write(LogLevel::kWarn, "the limit of open files stays",
                     {{"error", files.error().message}});
  }
  if (options.config_file.empty()) return {};
  if (auto watch = put(parts.config_watch, ConfigWatch::open(options.config_file)); !watch) {
    return watch;
  }
  parts.config = parts.config_watch->config();
  parts.log->set_level(parts.config.node.log_level);
  return {};
}

Result<void> open_root(Parts& parts, const AgentOptions& options) {
  const auto root_path = find_cgroup_root(options);
  if (!root_path) return tl::unexpected(root_path.error());
  return put(parts.root, cgroup::Root::open(*root_path, options.cgroup_filesystem));
}

Result<void> start_engine(Parts& parts) {
  const Config& config = parts.config;
  if (auto engine =
          put(parts.engine,
              Engine::start({.policy = config.policy, .hold = config.hold, .tier = config.tier}));
      !engine) {
    return engine;
  }
  Engine& engine = *parts.engine;
  if (config.node.cpu.enabled) {
    if (auto started = engine.start_cpu(); !started) return started;
  }
  const EngineStatus status = engine.status();
  if (!status.tier_refusals.empty()) {
    parts.log->write(LogLevel::kWarn, "the kernel refuses a better tier",
                     {{"tier", bpf::to_string(status.tier)}, {"why", status.tier_refusals}});
  }
  if (!status.quality.warning.empty()) {
    parts.log->write(LogLevel::kWarn, "the reaction thread lacks privileges",
                     {{"why", status.quality.warning}});
  }
  if (auto cgroups = put(parts.cgroups, PodCgroups::open(*parts.root)); !cgroups) return cgroups;
  return {};
}

// A slow tick that the operator wants is no sign of death.
HealthBounds bounds_for(const Config& config) {
  HealthBounds bounds;
  bounds.tick = std::max<Nanoseconds>(bounds.tick, config.tick * 3);
  return bounds;
}

// Of the agent's own threads each that asks the API server has a client of its own.
Result<void> start_threads(Parts& parts, const AgentOptions& options,
                           const kube::ClientConfig& client) {
  const NodeConfig& config = parts.config.node;
  if (options.systemd) {
    auto systemd = put(parts.systemd, SystemdUnits::start(*parts.root, {.bus = *options.systemd}));
    if (!systemd) return systemd;
  }
  parts.poster = std::make_unique<EventPoster>(
      EventPosterOptions{
          // Never more at once than in a minute.
          .limits = {.node_per_minute = static_cast<double>(config.events_per_minute),
                     .node_burst = std::min(50.0, static_cast<double>(config.events_per_minute))},
          .instance = options.node_name},
      [client = parts.event_client.get()](const kube::Request& request) {
        return client->send(request);
      });
  parts.reporter = std::make_unique<Reporter>(*parts.log, *parts.poster);
  parts.reporter->reconfigure(config);

  auto resizer =
      put(parts.resizer,
          Resizer::start({.client = client,
                          .requests_per_second = config.api.requests_per_second,
                          .burst = static_cast<double>(config.api.burst),
                          .preflights_per_second = config.preflight.requests_per_second}));
  if (!resizer) return resizer;
  auto probe_client = kube::Client::make(client);
  if (!probe_client) return tl::unexpected(probe_client.error());
  auto probe = put(parts.probe, ApiProbe::start(std::move(*probe_client), options.node_name,
                                                seed_of(options.node_name)));
  if (!probe) return probe;
  auto watch_client = kube::Client::make(client);
  if (!watch_client) return tl::unexpected(watch_client.error());
  return put(parts.watcher, PodWatcher::start(std::move(*watch_client), options.node_name,
                                              seed_of(options.node_name)));
}

// ---- the node --------------------------------------------------------------------------------

Health waiting_health(const Arrival& arrival, MonotonicTime now) {
  return {.ticked = now,
          .beat = now,
          .conditions = {{"node", !arrival.asks,
                          arrival.asks ? "another agent has it" : "handed over to another agent"}}};
}

// Changes that came while nobody can use them, as far as the end of the first LIST.
class FirstList {
 public:
  explicit FirstList(Parts& parts) : parts_(parts) {}

  bool ended() const { return ended_; }
  void take() {
    for (kube::PodChange& change : parts_.watcher->take()) {
      ended_ |= change.kind == kube::PodChange::Kind::kSynced;
      parts_.changes.push_back(std::move(change));
    }
  }
  // Without an end it would grow for as long as another agent has the node.
  int fd() const { return ended_ ? -1 : parts_.watcher->change_fd(); }

 private:
  Parts& parts_;
  bool ended_ = false;
};

// True: the node is ours, and parts.state is there. False: `arrival.stop_fd` was readable.
Result<bool> take_node(Parts& parts, const AgentOptions& options, const Arrival& arrival) {
  constexpr int kLookMs = 50;
  constexpr Nanoseconds kGiveWithin = std::chrono::seconds(5);
  const std::string path = handover_path(options.state_file);
  FirstList list(parts);
  bool told = false;
  std::string said;
  while (true) {
    const auto opened = put(parts.state, StateStore::open(options.state_file, options.floors_file));
    if (opened) return true;
    parts.given.reset();
    if (opened.error().code != Code::kConflict) return tl::unexpected(opened.error());
    if (!std::exchange(told, true)) {
      parts.log->write(LogLevel::kInfo, "another agent has the node",
                       {{"asked", arrival.asks}, {"lock", opened.error().message}});
    }
    list.take();
    if (arrival.asks && list.ended()) {
      auto given = ask_for_node(path, kGiveWithin);
      if (given) {
        parts.given = std::move(*given);
        continue;
      }
      if (said != given.error().message) {
        said = given.error().message;
        parts.log->write(LogLevel::kWarn, "the node is not handed over", {{"error", said}});
      }
    }
    parts.front.board->publish({{}, waiting_health(arrival, monotonic_now())});
    std::array<pollfd, 2> fds{pollfd{.fd = arrival.stop_fd, .events = POLLIN},
                              pollfd{.fd = list.fd(), .events = POLLIN}};
    (void)::poll(fds.data(), fds.size(), kLookMs);
    if (fds[0].revents != 0) return false;
  }
}

void use_state(Parts& parts) {
  for (const std::string& complaint : parts.state->complaints()) {
    parts.log->write(LogLevel::kWarn, "a state file could not be read", {{"error", complaint}});
  }
  Engine& engine = *parts.engine;
  parts.pods = std::make_unique<NodePods>(*parts.root, engine, *parts.cgroups, parts.state->found(),
                                          parts.state->found_floors());
  parts.announce = std::make_unique<NodeAnnounce>(engine, parts.state->found_floors().learned);
  parts.startup = std::make_unique<NodeStartup>(engine);
}

Result<void> start_front(Parts& parts) {
  const ListenAddress& address = parts.config.node.metrics_address;
  if (address.port == 0 || parts.front.server) return {};
  return put(parts.front.server,
             StatusServer::start(
                 {.host = address.host, .port = address.port, .health = bounds_for(parts.config)},
                 *parts.front.board));
}

void open_sockets(Parts& parts, const AgentOptions& options) {
  auto server = ExplainServer::open(
      options.socket, [pods = parts.pods.get(), engine = parts.engine.get(),
                       announce = parts.announce.get(), startup = parts.startup.get(),
                       reporter = parts.reporter.get()](const ExplainRequest& request) {
        return explain_pod(request, *pods, *engine, *announce, *startup, reporter->timelines());
      });
  if (server) {
    parts.explain_server = std::move(*server);
  } else {
    parts.log->write(LogLevel::kWarn, "plimsoll explain will not work",
                     {{"error", server.error().message}});
  }
  auto handover = Handover::open(handover_path(options.state_file));
  if (handover) {
    parts.handover.emplace(std::move(*handover));
  } else {
    parts.log->write(LogLevel::kWarn, "the next agent will have to wait for the end of this one",
                     {{"error", handover.error().message}});
  }
}

}  // namespace

Result<std::optional<Parts>> start(const AgentOptions& options, Config config, Arrival arrival) {
  Parts parts{.config = std::move(config), .front = std::move(arrival.front)};
  parts.front.board->publish({{}, waiting_health(arrival, monotonic_now())});
  if (auto opened = open_config(parts, options); !opened) return tl::unexpected(opened.error());
  if (auto opened = open_root(parts, options); !opened) return tl::unexpected(opened.error());
  auto client = client_config(options.api);
  if (!client) return tl::unexpected(client.error());
  client->observer = parts.tally.get();
  // The first one initialises libcurl, of which little is used afterwards; the engine locks what is
  // in memory.
  if (auto made = put(parts.event_client, kube::Client::make(*client)); !made) {
    return tl::unexpected(made.error());
  }
  drop_unneeded_pages();
  if (auto started = start_engine(parts); !started) return tl::unexpected(started.error());
  if (auto started = start_threads(parts, options, *client); !started) {
    return tl::unexpected(started.error());
  }
  if (auto started = start_front(parts); !started) return tl::unexpected(started.error());
  const auto taken = take_node(parts, options, arrival);
  if (!taken) return tl::unexpected(taken.error());
  if (!*taken) return std::nullopt;
  use_state(parts);
  open_sockets(parts, options);
  const EngineStatus status = parts.engine->status();
  parts.log->write(LogLevel::kInfo, "the agent has started",
                   {{"version", PLIMSOLL_VERSION},
                    {"node", options.node_name},
                    {"tier", bpf::to_string(status.tier)},
                    {"real_time", status.quality.realtime},
                    {"memory_locked", status.quality.memory_locked}});
  return parts;
}

}  // namespace plimsoll::agent
