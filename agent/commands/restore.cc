// SPDX-License-Identifier: Apache-2.0
// `plimsoll restore`: both state files in, a report out.
#include "agent/commands/restore.h"

#include <sys/stat.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "agent/restore/cgroups.h"
#include "agent/restore/specs.h"
#include "agent/restore/systemd.h"
#include "base/clock.h"
#include "kube/client.h"

namespace plimsoll::agent {
namespace {

using nlohmann::json;

struct Restored {
  SpecReport specs;
  RestoreReport limits;
  std::vector<std::string> complaints;  // beside the items: what makes the whole less than whole

  bool whole() const { return specs.complete() && limits.complete() && complaints.empty(); }
  template <typename Visit>
  void for_each_item(const Visit& visit) const {
    for (const RestoreItem& item : specs.items) visit(item);
    for (const RestoreItem& item : limits.items) visit(item);
  }
};

json json_of(const LimitValue& value) {
  if (const auto* const cpus = std::get_if<MilliCpu>(&value)) return cpus->value;
  const Limit limit = std::get<Limit>(value);
  return limit.is_max() ? json("max") : json(limit.bytes);
}

json json_of(const RestoreItem& item) {
  json object{{"pod", item.pod},
              {"container", item.container},
              {"what", item.path.empty() ? "spec" : "cgroup"},
              {"resource", item.is_cpu() ? "cpu" : "memory"},
              {"path", item.path},
              {"outcome", to_string(item.outcome)}};
  const std::string unit = item.is_cpu() ? "_millicpu" : "_bytes";
  object["target" + unit] = json_of(item.target);
  if (item.before) object["before" + unit] = json_of(*item.before);
  if (item.after) object["after" + unit] = json_of(*item.after);
  if (!item.why.empty()) object["why"] = item.why;
  return object;
}

void print_json(const Restored& restored, std::ostream& out) {
  json object{{"complete", restored.whole()}, {"complaints", restored.complaints}};
  json& items = object["items"] = json::array();
  restored.for_each_item([&](const RestoreItem& item) { items.push_back(json_of(item)); });
  out << object.dump(-1, ' ', false, json::error_handler_t::replace) << "\n";
}

void print_text(const Restored& restored, std::ostream& out) {
  restored.for_each_item([&](const RestoreItem& item) {
    out << to_string(item.outcome) << "  " << item.pod;
    if (!item.container.empty()) out << "/" << item.container;
    if (item.is_cpu()) out << " cpu";
    if (item.path.empty()) out << " (spec)";
    if (item.before) out << "  " << to_string(*item.before);
    if (item.after && item.after != item.before) out << " -> " << to_string(*item.after);
    if (!item.why.empty()) out << "  (" << item.why << ")";
    out << "\n";
  });
  for (const std::string& complaint : restored.complaints) out << "problem  " << complaint << "\n";
  out << (restored.whole() ? "everything is back\n" : "not everything is back\n");
}

bool exists(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0;
}

// Without systemd on this machine nobody was told of a raise either.
void tell_systemd(const RestoreOptions& options, const cgroup::Root& root, Restored& restored) {
  if (!options.systemd || !exists(options.systemd->socket)) return;
  SystemdUnitsConfig config;
  config.bus = *options.systemd;
  const std::size_t not_told = tell_restored(restored.limits, root, config);
  if (not_told == 0) return;
  restored.complaints.push_back(
      "systemd did not take " + std::to_string(not_told) +
      " of the limits; after a daemon-reload it may write the raised ones again");
}

// Specs first: the cgroups then go to what the API server has, not back to what it had.
SpecReport specs_back(const RestoreOptions& options, const NodeState& floors,
                      const cgroup::Root& root, const cgroup::Writer* writer, NodeState& state) {
  if (floors.pods.empty()) return {};
  if (options.node_name.empty()) {
    return specs_out_of_reach(floors, "--node-name (or NODE_NAME) is needed to find the pod");
  }
  const auto client = client_config(options.api).and_then(kube::Client::make);
  if (!client) {
    return specs_out_of_reach(floors, "no way to the API server: " + client.error().message);
  }
  return restore_specs(floors, **client, options.node_name, root, writer, options.policy, state);
}

void add_all(std::vector<std::string>& all, const std::vector<std::string>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

Result<Restored> restore(const RestoreOptions& options) {
  const auto boot_id = read_boot_id();
  if (!boot_id) return tl::unexpected(boot_id.error());
  const auto root = cgroup::Root::open(options.cgroup_root, options.filesystem);
  if (!root) return tl::unexpected(root.error());
  Restored restored;
  if (options.dry_run) {
    FoundState found = read_state(options.state, *boot_id);
    const FoundState floors = read_state(options.floors, "");
    restored.complaints = found.complaints;
    add_all(restored.complaints, floors.complaints);
    restored.specs = specs_back(options, floors.state, *root, nullptr, found.state);
    restored.limits = restore_limits(found.state, *root, nullptr, options.policy);
    return restored;
  }
  auto file = StateFile::open(options.state, *boot_id);
  if (!file) return tl::unexpected(file.error());
  auto floors = StateFile::open(options.floors, "");
  if (!floors) return tl::unexpected(floors.error());
  restored.complaints = file->found().complaints;
  add_all(restored.complaints, floors->found().complaints);
  const cgroup::Writer writer;
  NodeState state = file->found().state;
  restored.specs = specs_back(options, floors->found().state, *root, &writer, state);
  restored.limits = restore_limits(state, *root, &writer, options.policy);
  tell_systemd(options, *root, restored);
  const auto now = monotonic_now();
  const auto saved = file->flush(restored.limits.left, now);
  if (!saved) restored.complaints.push_back(saved.error().message);
  restored.specs.left.learned = floors->found().state.learned;
  const auto kept = floors->flush(restored.specs.left, now);
  if (!kept) restored.complaints.push_back(kept.error().message);
  return restored;
}

}  // namespace

int run_restore(const RestoreOptions& options, std::ostream& out, std::ostream& err) {
  const auto restored = restore(options);
  if (!restored) {
    err << "plimsoll: restore: " << restored.error().message << "\n";
    return 1;
  }
  if (options.json) {
    print_json(*restored, out);
  } else {
    print_text(*restored, out);
  }
  return restored->whole() ? 0 : 1;
}

}  // namespace plimsoll::agent
