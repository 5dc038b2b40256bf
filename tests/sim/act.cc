// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/act.h"

#include <algorithm>
#include <sstream>

namespace plimsoll::sim {
namespace {

constexpr std::array<std::string_view, kActKinds> kWords{
    "create",  "delete", "end",     "opt-in", "ceiling", "annotate", "need",      "busy",
    "memory",  "cpu",    "quota",   "range",  "webhook", "api",      "watch",     "restore",
    "kubelet", "reload", "restart", "agent",  "disk",    "factor",   "cpu-quota", "put-back"};

}  // namespace

std::string_view to_string(Manager manager) {
  constexpr std::array<std::string_view, 4> kNames{"kubectl-edit", "vpa-updater",
                                                   "startup-cpu-boost", "argocd"};
  return kNames.at(static_cast<std::size_t>(manager));
}

std::string to_text(const History& history) {
  std::ostringstream text;
  for (const Act& act : history) {
    text << act.at_ms << ' ' << kWords.at(static_cast<std::size_t>(act.kind)) << " p" << act.pod
         << " c" << act.container << ' ' << act.a << ' ' << act.b << '\n';
  }
  return text.str();
}

std::optional<History> parse_history(std::string_view text) {
  History history;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.front() == '#') continue;
    std::istringstream fields(line);
    Act act;
    std::string word;
    char p = 0;
    char c = 0;
    if (!(fields >> act.at_ms >> word >> p >> act.pod >> c >> act.container >> act.a >> act.b)) {
      return std::nullopt;
    }
    const auto* const kind = std::find(kWords.begin(), kWords.end(), word);
    if (kind == kWords.end() || p != 'p' || c != 'c') return std::nullopt;
    act.kind = static_cast<ActKind>(kind - kWords.begin());
    history.push_back(act);
  }
  return history;
}

}  // namespace plimsoll::sim
