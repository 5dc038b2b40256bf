// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/scope_enter.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "agent/commands/scope.h"
#include "base/file.h"
#include "cgroup/beneath.h"
#include "cgroup/mounts.h"
#include "cgroup/walk.h"

namespace plimsoll::agent {
namespace {

// Holds our pid while systemd-run executes us: its exec keeps the pid, a process that merely
// inherits the variable has another.
constexpr const char* kEntered = "PLIMSOLL_SCOPE_OF_PID";
constexpr std::string_view kAside = "plimsoll-self-";
constexpr std::array<std::string_view, 1> kMemory{"memory"};

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

bool is_in_path(std::string_view program) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const std::size_t colon = rest.find(':');
    const std::string file = std::string(rest.substr(0, colon)) + "/" + std::string(program);
    if (::access(file.c_str(), X_OK) == 0) return true;
    rest.remove_prefix(colon == std::string_view::npos ? rest.size() : colon + 1);
  }
  return false;
}

bool is_delegated(const std::string& directory) {
  std::array<char, 8> value{};
  for (const char* name : {"user.delegate", "trusted.delegate"}) {
    const ssize_t size = ::getxattr(directory.c_str(), name, value.data(), value.size());
    if (size == 1 && value.front() == '1') return true;
  }
  return false;
}

ScopeLevel read_level(const cgroup::Root& root, const cgroup::Group& group) {
  const std::string directory =
      group.path().empty() ? root.path() : root.path() + "/" + group.path();
  const auto may_write = [&](const char* file) {
    return ::faccessat(AT_FDCWD, (directory + file).c_str(), W_OK, AT_EACCESS) == 0;
  };
  ScopeLevel level{.path = group.path()};
  level.writable =
      may_write("") && may_write("/cgroup.procs") && may_write("/cgroup.subtree_control");
  level.delegated = is_delegated(directory);
  // Only the root of the machine has no type.
  level.allows_processes = !exists(directory + "/cgroup.type");
  if (const auto set = group.read_controllers()) level.has_memory = set->contains("memory");
  if (const auto set = group.read_subtree_control()) level.gives_memory = set->contains("memory");
  if (const auto procs = group.read_procs()) {
    const auto us = std::ranges::count(procs->pids, ::getpid());
    level.has_us = us != 0;
    level.others = procs->pids.size() - static_cast<std::size_t>(us) + procs->outside_namespace;
  }
  return level;
}

// A process that is inside makes the removal fail: only those of dead runs go.
void remove_stale(const cgroup::Root& root, const cgroup::Group& parent,
                  const cgroup::Writer& writer) {
  const auto children = cgroup::list_descendants(parent, {.most_groups = 4096, .deepest = 1});
  if (!children) return;
  for (const cgroup::Found& found : children->groups) {
    if (!std::string_view(found.path).substr(found.path.rfind('/') + 1).starts_with(kAside)) {
      continue;
    }
    if (auto group = root.open_group(found.path)) (void)writer.remove_group(*group);
  }
}

std::vector<std::string> own_command_line(const std::vector<std::string>& arguments) {
  std::array<char, 4096> path{};
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
  std::vector<std::string> line{size > 0 ? std::string(path.data(), static_cast<std::size_t>(size))
                                         : "plimsoll"};
  line.insert(line.end(), arguments.begin(), arguments.end());
  return line;
}

// By value, since exec wants text that it might change.
Error execute(std::vector<std::string> words) {
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::setenv(kEntered, std::to_string(::getpid()).c_str(), 1);
  ::execvp(argv.front(), argv.data());
  const int error = errno;
  ::unsetenv(kEntered);
  return errno_error(error, "execute " + words.front()).value();
}

}  // namespace

Result<ScopeFacts> read_scope_facts() {
  ScopeFacts facts;
  facts.uid = ::geteuid();
  facts.systemd = exists("/run/systemd/system");
  facts.systemd_run = is_in_path("systemd-run");
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR")) {
    facts.user_manager = exists(std::string(runtime) + "/systemd/private");
  }
  const char* entered = std::getenv(kEntered);
  facts.entered = entered != nullptr && entered == std::to_string(::getpid());

  const auto mounts = cgroup::read_mounts();
  if (!mounts) return tl::unexpected(mounts.error());
  facts.v2 = mounts->v2;
  facts.memory_on_v1 = mounts->memory_on_v1;
  if (!facts.v2) return facts;
  const auto root = cgroup::Root::open(*facts.v2);
  if (!root) return tl::unexpected(root.error());
  // Outside of what is mounted ("/..") there is nothing to choose but the top.
  std::string path = cgroup::own_cgroup().and_then(cgroup::relative_path).value_or("");
  while (true) {
    const auto group = root->open_group(path);
    if (group) facts.levels.push_back(read_level(*root, *group));
    if (path.empty()) return facts;
    const std::size_t slash = path.rfind('/');
    path.resize(slash == std::string::npos ? 0 : slash);
  }
}

Scope::Scope(cgroup::Root root, cgroup::Group parent)
    : root_(std::move(root)), parent_(std::move(parent)) {}

Scope::Scope(Scope&& other) noexcept
    : root_(std::move(other.root_)),
      parent_(std::move(other.parent_)),
      aside_(std::exchange(other.aside_, std::nullopt)),
      handed_on_(std::exchange(other.handed_on_, false)) {}

Result<Scope> Scope::enter(const std::vector<std::string>& arguments) {
  const auto facts = read_scope_facts();
  if (!facts) return tl::unexpected(facts.error());
  // Not for the command: it may run `plimsoll run` itself.
  ::unsetenv(kEntered);
  const auto decision = decide_scope(*facts, own_command_line(arguments));
  if (!decision) return tl::unexpected(decision.error());
  if (!decision->through.empty()) return tl::unexpected(execute(decision->through));

  auto root = cgroup::Root::open(*facts->v2);
  if (!root) return tl::unexpected(root.error());
  auto parent = root->open_group(decision->parent);
  if (!parent) return tl::unexpected(parent.error());
  Scope scope(std::move(*root), std::move(*parent));
  remove_stale(scope.root_, scope.parent_, scope.writer_);
  if (decision->step_aside) {
    if (auto moved = scope.step_aside(); !moved) return tl::unexpected(moved.error());
  }
  if (auto handed = scope.hand_memory_on(); !handed) return tl::unexpected(handed.error());
  return scope;
}

Result<void> Scope::step_aside() {
  auto aside = writer_.create_group(parent_, std::string(kAside) + std::to_string(::getpid()));
  if (!aside) return tl::unexpected(aside.error());
  aside_.emplace(std::move(*aside));
  return writer_.move_process(*aside_, ::getpid());
}

Result<void> Scope::hand_memory_on() {
  const auto given = parent_.read_subtree_control();
  if (given && given->contains("memory")) return {};
  auto enabled = writer_.enable_controllers(parent_, kMemory);
  // The root keeps it: the next run would only enable it again, and others may have come to use it.
  handed_on_ = enabled.has_value() && aside_.has_value();
  return enabled;
}

Scope::~Scope() {
  if (!aside_) return;
  // Refused while a child uses it, and then that is right.
  if (handed_on_) (void)writer_.disable_controllers(parent_, kMemory);
  // Refused while somebody else's child still needs the controller: the next run removes it.
  if (writer_.move_process(parent_, ::getpid())) (void)writer_.remove_group(*aside_);
}

}  // namespace plimsoll::agent
