// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/cgroup_name.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "base/enum_table.h"

namespace plimsoll::agent {
namespace {

constexpr auto kKinds = std::to_array<EnumWord<CgroupKind>>({
    {CgroupKind::kOther, "other"},
    {CgroupKind::kKubepods, "kubepods"},
    {CgroupKind::kQos, "qos"},
    {CgroupKind::kPod, "pod"},
    {CgroupKind::kContainer, "container"},
    {CgroupKind::kNested, "nested"},
    {CgroupKind::kHelper, "helper"},
});
static_assert(has_row_for_each(kKinds, CgroupKind::kHelper));

constexpr std::string_view kSlice = ".slice";
constexpr std::string_view kScope = ".scope";
constexpr std::size_t kRuntimeIdDigits = 64;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_id_character(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool take_suffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

// A component of the path, and the path up to its end.
struct Component {
  std::string_view name;
  std::string_view path;
};

// Takes the next component off `path` from `at` on; nullopt at the end, or at an empty one.
std::optional<Component> next_component(std::string_view path, std::size_t& at) {
  if (at >= path.size()) return std::nullopt;
  const std::size_t end = std::min(path.find('/', at), path.size());
  const Component component{path.substr(at, end - at), path.substr(0, end)};
  at = end + 1;
  if (component.name.empty()) return std::nullopt;
  return component;
}

std::optional<PodQos> qos_of_word(std::string_view word) {
  if (word == "burstable") return PodQos::kBurstable;
  if (word == "besteffort") return PodQos::kBestEffort;
  return std::nullopt;
}

// "kubepods", or below a --cgroup-root "kubelet-kubepods".
bool is_kubepods(std::string_view name) {
  return name == "kubepods" || name.ends_with("-kubepods");
}

// The name of a slice, which spells out its ancestors: "kubelet-kubepods-burstable-pod<uid>".
void read_slice(std::string_view name, CgroupName& found) {
  const auto set = [&found](CgroupKind kind, PodQos qos) {
    found.kind = kind;
    found.driver = CgroupDriver::kSystemd;
    found.qos = qos;
  };
  std::optional<std::string> uid;
  if (const std::size_t pod = name.rfind("-pod"); pod != std::string_view::npos) {
    uid = canonical_pod_uid(name.substr(pod + std::string_view("-pod").size()));
    if (uid) name = name.substr(0, pod);
  }
  PodQos qos = PodQos::kGuaranteed;
  std::string_view tree = name;
  if (const std::size_t dash = name.rfind('-'); dash != std::string_view::npos) {
    if (const auto word = qos_of_word(name.substr(dash + 1))) {
      qos = *word;
      tree = name.substr(0, dash);
    }
  }
  if (!is_kubepods(tree)) return;
  if (uid) {
    set(CgroupKind::kPod, qos);
    found.pod_uid = std::move(*uid);
  } else {
    set(tree == name ? CgroupKind::kKubepods : CgroupKind::kQos, qos);
  }
}

// Not yet in a pod: `found` is what the component above was.
CgroupName read_above_pod(const Component& component, const CgroupName& above) {
  CgroupName found;
  std::string_view name = component.name;
  if (take_suffix(name, kSlice)) {
    read_slice(name, found);
  } else if (name == "kubepods") {
    found.kind = CgroupKind::kKubepods;
    found.driver = CgroupDriver::kCgroupfs;
  } else if (above.driver == CgroupDriver::kCgroupfs &&
             (above.kind == CgroupKind::kKubepods || above.kind == CgroupKind::kQos)) {
    const auto qos = above.kind == CgroupKind::kKubepods ? qos_of_word(name) : std::nullopt;
    auto uid = take_prefix(name, "pod") ? canonical_pod_uid(name) : std::nullopt;
    if (qos) {
      found = above;
      found.kind = CgroupKind::kQos;
      found.qos = *qos;
    } else if (uid) {
      found = above;
      found.kind = CgroupKind::kPod;
      found.pod_uid = std::move(*uid);
    }
  }
  if (found.kind == CgroupKind::kPod) found.pod_path = component.path;
  return found;
}

// Directly below a pod.
void read_in_pod(const Component& component, CgroupName& found) {
  struct Form {
    std::string_view prefix;
    CgroupKind kind;
    ContainerRuntime runtime;
  };
  static constexpr std::array<Form, 4> kForms{{
      {"cri-containerd-", CgroupKind::kContainer, ContainerRuntime::kContainerd},
      {"crio-conmon-", CgroupKind::kHelper, ContainerRuntime::kCrio},
      {"crio-", CgroupKind::kContainer, ContainerRuntime::kCrio},
      {"docker-", CgroupKind::kContainer, ContainerRuntime::kDocker},
  }};
  found.kind = CgroupKind::kHelper;
  std::string_view name = component.name;
  const bool scope = take_suffix(name, kScope);
  for (const Form& form : kForms) {
    std::string_view id = name;
    // Without a systemd unit only CRI-O puts its name before the id.
    if (!scope && form.runtime != ContainerRuntime::kCrio) continue;
    if (!take_prefix(id, form.prefix)) continue;
    if (id.empty() || !std::all_of(id.begin(), id.end(), is_id_character)) return;
    found.kind = form.kind;
    found.runtime = form.runtime;
    found.container_id = id;
    break;
  }
  if (!scope && name.size() == kRuntimeIdDigits && std::all_of(name.begin(), name.end(), is_hex)) {
    found.kind = CgroupKind::kContainer;
    found.container_id = name;
  }
  if (found.kind == CgroupKind::kContainer) found.container_path = component.path;
}

}  // namespace

std::string_view to_string(CgroupKind kind) { return word_of(kKinds, kind); }

std::string_view to_string(ContainerRuntime runtime) {
  switch (runtime) {
    case ContainerRuntime::kUnknown:
      return "unknown";
    case ContainerRuntime::kContainerd:
      return "containerd";
    case ContainerRuntime::kCrio:
      return "cri-o";
    case ContainerRuntime::kDocker:
      return "docker";
  }
  return "unknown";
}

CgroupName parse_cgroup_name(std::string_view path) {
  take_prefix(path, "/");
  CgroupName found;
  std::size_t at = 0;
  while (at < path.size()) {
    const auto component = next_component(path, at);
    if (!component) return {};
    switch (found.kind) {
      case CgroupKind::kOther:
      case CgroupKind::kKubepods:
      case CgroupKind::kQos:
        found = read_above_pod(*component, found);
        break;
      case CgroupKind::kPod:
        read_in_pod(*component, found);
        break;
      case CgroupKind::kContainer:
        found.kind = CgroupKind::kNested;
        break;
      case CgroupKind::kNested:
      case CgroupKind::kHelper:
        break;
    }
  }
  return found;
}

std::optional<std::string> canonical_pod_uid(std::string_view text) {
  constexpr std::size_t kUuidLength = 36;
  constexpr std::size_t kHashLength = 32;
  const bool uuid = text.size() == kUuidLength;
  if (!uuid && text.size() != kHashLength) return std::nullopt;
  std::string uid(text);
  char separator = '\0';
  for (std::size_t i = 0; i < uid.size(); ++i) {
    if (uuid && (i == 8 || i == 13 || i == 18 || i == 23)) {
      if (separator == '\0') separator = uid[i];
      if (uid[i] != separator || (separator != '-' && separator != '_')) return std::nullopt;
      uid[i] = '-';
    } else if (!is_hex(uid[i])) {
      return std::nullopt;
    } else if (uid[i] >= 'A' && uid[i] <= 'F') {
      uid[i] = static_cast<char>(uid[i] - 'A' + 'a');
    }
  }
  return uid;
}

std::optional<StatusContainerId> parse_status_container_id(std::string_view text) {
  const std::size_t end = text.find("://");
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view runtime = text.substr(0, end);
  const std::string_view id = text.substr(end + std::string_view("://").size());
  if (id.empty() || !std::all_of(id.begin(), id.end(), is_id_character)) return std::nullopt;
  StatusContainerId found;
  found.id = id;
  for (const ContainerRuntime known :
       {ContainerRuntime::kContainerd, ContainerRuntime::kCrio, ContainerRuntime::kDocker}) {
    if (runtime == to_string(known)) found.runtime = known;
  }
  return found;
}

std::optional<std::string> unit_of_cgroup(std::string_view path) {
  take_prefix(path, "/");
  if (path.empty()) return "-.slice";
  std::string unit;
  std::size_t at = 0;
  while (at < path.size()) {
    const auto component = next_component(path, at);
    if (!component) return std::nullopt;
    std::string_view name = component->name;
    // systemd puts a "_" before names that the kernel could have given to a file, and before those
    // that begin with one.
    take_prefix(name, "_");
    if (!unit.empty()) {
      // Units are made in slices only; what lies below a scope or service is that one's own.
      std::string_view above = unit;
      if (!take_suffix(above, kSlice)) return std::nullopt;
      if (name.ends_with(kSlice) &&
          (!name.starts_with(above) || name.substr(above.size()).find('-') != 0)) {
        return std::nullopt;
      }
    } else if (name.ends_with(kSlice) &&
               name.substr(0, name.size() - kSlice.size()).find('-') != std::string_view::npos) {
      return std::nullopt;
    }
    unit = name;
  }
  static constexpr std::array<std::string_view, 6> kSuffixes{kSlice,   kScope,    ".service",
                                                             ".mount", ".socket", ".swap"};
  const auto is_suffix = [&unit](std::string_view suffix) {
    return unit.size() > suffix.size() && unit.ends_with(suffix);
  };
  if (std::none_of(kSuffixes.begin(), kSuffixes.end(), is_suffix)) return std::nullopt;
  return unit;
}

}  // namespace plimsoll::agent
