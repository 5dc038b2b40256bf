// SPDX-License-Identifier: Apache-2.0
// `plimsoll restore`: the state file in, a report out.
#include <sys/stat.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "agent/restore.h"

namespace plimsoll::agent {
namespace {

using nlohmann::json;

struct Restored {
  RestoreReport report;
  std::vector<std::string> complaints;  // beside the items: what makes the whole less than whole
};

json json_of(Limit limit) { return limit.is_max() ? json("max") : json(limit.bytes); }

json json_of(const RestoreItem& item) {
  json object{{"pod", item.pod},
              {"container", item.container},
              {"path", item.path},
              {"outcome", to_string(item.outcome)},
              {"target_bytes", json_of(item.target)}};
  if (item.before) object["before_bytes"] = json_of(*item.before);
  if (item.after) object["after_bytes"] = json_of(*item.after);
  if (!item.why.empty()) object["why"] = item.why;
  return object;
}

void print_json(const Restored& restored, bool whole, std::ostream& out) {
  json object{{"complete", whole}, {"complaints", restored.complaints}};
  json& items = object["items"] = json::array();
  for (const RestoreItem& item : restored.report.items) items.push_back(json_of(item));
  out << object.dump(-1, ' ', false, json::error_handler_t::replace) << "\n";
}

void print_text(const Restored& restored, bool whole, std::ostream& out) {
  for (const RestoreItem& item : restored.report.items) {
    out << to_string(item.outcome) << "  " << item.pod;
    if (!item.container.empty()) out << "/" << item.container;
    if (item.before) out << "  " << to_string(*item.before);
    if (item.after && item.after != item.before) out << " -> " << to_string(*item.after);
    if (!item.why.empty()) out << "  (" << item.why << ")";
    out << "\n";
  }
  for (const std::string& complaint : restored.complaints) out << "problem  " << complaint << "\n";
  out << (whole ? "everything is back\n" : "not everything is back\n");
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
  const std::size_t not_told = tell_restored(restored.report, root, config);
  if (not_told == 0) return;
  restored.complaints.push_back(
      "systemd did not take " + std::to_string(not_told) +
      " of the limits; after a daemon-reload it may write the raised ones again");
}

Result<Restored> restore(const RestoreOptions& options) {
  const auto boot_id = read_boot_id();
  if (!boot_id) return tl::unexpected(boot_id.error());
  const auto root = cgroup::Root::open(options.cgroup_root, options.filesystem);
  if (!root) return tl::unexpected(root.error());
  Restored restored;
  if (options.dry_run) {
    FoundState found = read_state(options.state, *boot_id);
    restored.complaints = std::move(found.complaints);
    restored.report = restore_limits(found.state, *root, nullptr, options.policy);
    return restored;
  }
  auto file = StateFile::open(options.state, *boot_id);
  if (!file) return tl::unexpected(file.error());
  restored.complaints = file->found().complaints;
  const cgroup::Writer writer;
  restored.report = restore_limits(file->found().state, *root, &writer, options.policy);
  tell_systemd(options, *root, restored);
  const auto now = std::chrono::time_point_cast<Nanoseconds>(std::chrono::steady_clock::now());
  const auto saved = file->flush(restored.report.left, now);
  if (!saved) restored.complaints.push_back(saved.error().message);
  return restored;
}

}  // namespace

int run_restore(const RestoreOptions& options, std::ostream& out, std::ostream& err) {
  const auto restored = restore(options);
  if (!restored) {
    err << "plimsoll: restore: " << restored.error().message << "\n";
    return 1;
  }
  const bool whole = restored->report.complete() && restored->complaints.empty();
  if (options.json) {
    print_json(*restored, whole, out);
  } else {
    print_text(*restored, whole, out);
  }
  return whole ? 0 : 1;
}

}  // namespace plimsoll::agent
