// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/doctor_facts.h"

#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <iterator>

#include "agent/commands/scope_enter.h"
#include "agent/pods/pod_cgroups.h"
#include "base/file.h"
#include "cgroup/text.h"
#include "cgroup/walk.h"

namespace plimsoll::agent {
namespace {

constexpr cgroup::WalkBounds kWalk{.most_groups = 4096, .deepest = 4};

Psi read_psi() {
  const auto text = read_file("/proc/pressure/memory");
  if (text) return Psi::kOn;
  return text.error().code == Code::kGone ? Psi::kNotBuiltIn : Psi::kOff;
}

// The sum of the sizes in /proc/swaps: "name type size used priority", in KiB, after a heading.
std::optional<Bytes> read_swap() {
  const auto text = read_file("/proc/swaps");
  if (!text) return std::nullopt;
  Bytes total;
  std::string_view rest = *text;
  cgroup::next_line(rest);
  while (auto line = cgroup::next_line(rest)) {
    std::optional<std::string_view> word;
    for (int i = 0; i < 3; ++i) word = cgroup::next_word(*line);
    if (word) total += Bytes{cgroup::parse_unsigned(*word).value_or(0) * kKiB};
  }
  return total;
}

// The word in brackets, or parentheses: "none voluntary (full)".
std::string chosen_word(const Result<std::string>& text, char open, char close) {
  if (!text) return {};
  const std::size_t from = text->find(open);
  const std::size_t to = text->find(close, from == std::string::npos ? 0 : from);
  if (from == std::string::npos || to == std::string::npos) return {};
  return text->substr(from + 1, to - from - 1);
}

std::string read_preemption() {
  std::string word = chosen_word(read_file("/sys/kernel/debug/sched/preempt"), '(', ')');
  if (!word.empty()) return word;
  utsname name{};
  if (::uname(&name) != 0) return {};
  const std::string_view version = std::data(name.version);
  if (version.find("PREEMPT_RT") != std::string_view::npos) return "full, PREEMPT_RT";
  if (version.find("PREEMPT_DYNAMIC") != std::string_view::npos) return "chosen at boot";
  return version.find("PREEMPT") != std::string_view::npos ? "full" : "none or voluntary";
}

void read_tree(DoctorFacts& facts) {
  if (!facts.scope.v2) return;
  const auto root = cgroup::Root::open(*facts.scope.v2);
  if (!root) return;
  if (const auto set = root->top().read_controllers()) {
    facts.memory_controller = set->contains("memory");
  }
  facts.top_writable = !facts.scope.levels.empty() && facts.scope.levels.back().path.empty() &&
                       facts.scope.levels.back().writable;
  const auto walk = cgroup::list_descendants(root->top(), kWalk);
  if (!walk) return;
  for (const cgroup::Found& found : walk->groups) {
    const auto group = root->open_group(found.path);
    if (!group) continue;
    const auto has = [&](const char* file) { return group->open_file(file, O_PATH).has_value(); };
    facts.has_kill = facts.has_kill.value_or(false) || has("cgroup.kill");
    if (facts.has_peak || !has("memory.max")) continue;
    facts.has_peak = has("memory.peak");
    facts.has_reclaim = has("memory.reclaim");
  }
}

// Opens the limit for writing, as the agent does, and writes nothing.
std::string try_limit(const cgroup::Root& root, const std::string& path) {
  const auto opened = root.open_group(path).and_then(
      [](const cgroup::Group& group) { return group.open_file("memory.max", O_WRONLY); });
  return opened || opened.error().code == Code::kGone ? "" : opened.error().message;
}

AgentPlace read_agent_place(const std::optional<std::string>& path) {
  AgentPlace place{.root = path};
  if (!path) return place;
  const auto root = cgroup::Root::open(*path);
  if (!root) {
    place.root_refused = root.error().message;
    return place;
  }
  if (const auto set = root->top().read_controllers()) {
    place.memory_controller = set->contains("memory");
  }
  std::string limited;
  if (const auto pods = PodCgroups::open(*root)) {
    for (const auto& [pod_path, pod] : pods->all()) {
      if (pod.name.kind != CgroupKind::kPod) continue;
      ++place.pods;
      limited = pod_path;
    }
  }
  // Without a pod there is the cgroup of all of them, which always has a limit.
  if (const auto walk = cgroup::list_descendants(root->top(), kWalk); walk && limited.empty()) {
    for (const cgroup::Found& found : walk->groups) {
      if (parse_cgroup_name(found.path).kind == CgroupKind::kOther) continue;
      limited = found.path;
      break;
    }
  }
  place.kubelet = !limited.empty();
  if (place.kubelet) place.limits_refused = try_limit(*root, limited);
  return place;
}

}  // namespace

Result<DoctorFacts> read_doctor_facts(const std::string& cgroup_root) {
  DoctorFacts facts;
  utsname name{};
  if (::uname(&name) == 0) facts.release = std::data(name.release);
  facts.bpf = bpf::trial_load();
  auto privileges = read_privileges();
  if (!privileges) return tl::unexpected(privileges.error());
  facts.privileges = std::move(*privileges);
  auto scope = read_scope_facts();
  if (!scope) return tl::unexpected(scope.error());
  facts.scope = std::move(*scope);
  read_tree(facts);
  facts.agent = read_agent_place(cgroup_root.empty() ? facts.scope.v2 : cgroup_root);
  facts.psi = read_psi();
  facts.swap = read_swap();
  facts.preemption = read_preemption();
  facts.lockdown = chosen_word(read_file("/sys/kernel/security/lockdown"), '[', ']');
  return facts;
}

}  // namespace plimsoll::agent
