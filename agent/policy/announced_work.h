// SPDX-License-Identifier: Apache-2.0
//
// Announced work: which commands of a container need room, how much, and which of them run now.
// Pure; what the kernel tells goes in, the working memory that is to be provided for comes out.
// Used by agent/engine/announced_commands.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/policy/memory.h"
#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

struct AnnouncedCommand {
  std::string name;           // the last part of the path that it is started by
  std::optional<Bytes> size;  // working memory that it adds, with all that it starts

  bool operator==(const AnnouncedCommand&) const = default;
};
inline constexpr std::size_t kMostAnnounced = 64;
// What the kernel keeps of a command's name: names are told apart by as much.
inline constexpr std::size_t kCommandNameBytes = 15;

// "make=2Gi, ninja, cargo": names in the order of the list. kMalformed says which entry and why:
// a name is no path, has no blank and no control character, is at most as long as that of a file,
// and differs from the others in what the kernel keeps of it (15 bytes); a size is above 0.
Result<std::vector<AnnouncedCommand>> parse_announced(std::string_view text);

struct AnnouncePolicy {
  // A command that runs longer than this is no announcement any more: what it does not use may be
  // taken back as from anybody.
  Nanoseconds longest = std::chrono::hours(1);
  // Kept after the end of the last one, so that the next step of a script finds it.
  Nanoseconds linger = std::chrono::seconds(2);

  bool operator==(const AnnouncePolicy&) const = default;
};

// The size of a command of which nothing is known: one step.
Bytes unknown_size(const MemoryPolicy& policy, Bytes limit);
// The limit under which `working` is no event: below its watermark.
Bytes limit_for(const MemoryPolicy& policy, Bytes working);

// A command from the start of its first process to the end of the last.
struct FinishedCommand {
  std::uint32_t command = 0;
  // The most working memory above what there was before it; absent: it ran before it was seen.
  std::optional<Bytes> grown;
  Nanoseconds lasted{};

  bool operator==(const FinishedCommand&) const = default;
};

// What runs in one container. A command that is started by another, or twice at the same time,
// needs no room of its own: the size is that of a command with all that it starts.
class AnnouncedWork {
 public:
  using Processes = std::set<std::pair<std::uint32_t, std::uint32_t>>;  // command, process

  // A process of `command` has begun in a container with `working` memory, which will grow by
  // `size`; or was found to run, and has grown by any part of it. True: it is the first of its
  // command. A process that ran another command has ended it.
  enum class Seen : std::uint8_t { kBegins, kFound };
  bool begin(std::uint32_t command, std::uint32_t process, MonotonicTime now, Bytes working,
             Bytes size, Seen seen = Seen::kBegins);
  void end(std::uint32_t command, std::uint32_t process, MonotonicTime now);
  // Ends what is not among those that run, because its end was lost.
  void keep_only(const Processes& running, MonotonicTime now);

  // At each tick: `peak` is the highest working memory since the last one. Returns those whose
  // last process ended a `linger` ago; they are forgotten.
  std::vector<FinishedCommand> observe(const AnnouncePolicy& policy, MonotonicTime now, Bytes peak);

  // The working memory to provide for; absent: nothing is announced.
  std::optional<Bytes> needed(const AnnouncePolicy& policy, MonotonicTime now) const;
  // Processes of `command` that run now.
  std::size_t running(std::uint32_t command) const;
  // Commands of which a process runs now.
  std::size_t running() const;

 private:
  struct Run {
    std::set<std::uint32_t> processes;
    MonotonicTime began;
    std::optional<MonotonicTime> ended;
    bool measured = false;  // to its end
    bool found = false;
    Bytes before;
    Bytes peak;
    Bytes needed;
  };
  std::map<std::uint32_t, Run> runs_;  // by command
};

}  // namespace plimsoll::agent
