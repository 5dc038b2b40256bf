// SPDX-License-Identifier: Apache-2.0
#include "bench/place.h"

#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <utility>

#include "cgroup/mounts.h"
#include "cgroup/writer.h"

namespace plimsoll::bench {
namespace {

constexpr std::array<std::string_view, 2> kControllers{"memory", "cpu"};

// The files that a limit's owner opens, as a fresh cgroup has them.
void make_files(const std::filesystem::path& directory) {
  std::filesystem::create_directories(directory);
  std::ofstream(directory / "memory.max") << "1073741824\n";
  std::ofstream(directory / "memory.current") << "0\n";
}

}  // namespace

Result<Place> Place::make() {
  const std::string name = "plimsoll-bench-" + std::to_string(::getpid());
  const auto mounts = cgroup::read_mounts();
  if (mounts && mounts->v2 && !mounts->memory_on_v1) {
    auto root = cgroup::Root::open(*mounts->v2);
    if (!root) return tl::unexpected(root.error());
    const cgroup::Writer writer;
    if (auto on = writer.enable_controllers(root->top(), kControllers); !on) {
      return tl::unexpected(on.error());
    }
    if (auto made = writer.create_group(root->top(), name); !made) {
      return tl::unexpected(made.error());
    }
    return Place(std::move(*root), name, true);
  }
  const std::string directory = "/dev/shm/" + name;
  make_files(directory);
  auto root = cgroup::Root::open(directory, cgroup::Filesystem::kAny);
  if (!root) return tl::unexpected(root.error());
  return Place(std::move(*root), "", false);
}

Place::Place(cgroup::Root root, std::string top, bool real)
    : root_(std::move(root)), top_(std::move(top)), real_(real) {}

Place::Place(Place&& other) noexcept
    : root_(std::move(other.root_)), top_(std::exchange(other.top_, "")), real_(other.real_) {
  // What was moved from owns nothing.
  other.real_ = true;
}

Place::~Place() {
  if (real_) {
    if (top_.empty()) return;
    const auto group = root_.open_group(top_);
    if (!group) return;
    const cgroup::Writer writer;
    (void)writer.kill(*group);
    // The dead take a moment to leave.
    for (int i = 0; i < 500 && !writer.remove_group(*group); ++i) ::usleep(10'000);
    return;
  }
  std::error_code ignored;
  std::filesystem::remove_all(root_.path(), ignored);
}

Result<cgroup::Group> Place::add(std::string_view path) {
  if (!real_) {
    make_files(std::filesystem::path(root_.path()) / path);
    return root_.open_group(path);
  }
  const cgroup::Writer writer;
  std::string above = top_;
  while (true) {
    auto parent = root_.open_group(above);
    if (!parent) return parent;
    const std::size_t slash = path.find('/');
    const std::string name(path.substr(0, slash));
    if (auto on = writer.enable_controllers(*parent, kControllers); !on) {
      return tl::unexpected(on.error());
    }
    auto made = writer.create_group(*parent, name);
    if (!made && made.error().code != Code::kConflict) return made;
    above += "/" + name;
    if (slash == std::string_view::npos) return root_.open_group(above);
    path.remove_prefix(slash + 1);
  }
}

}  // namespace plimsoll::bench
