// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/announced_work.h"

#include <algorithm>

#include "base/printable.h"

namespace plimsoll::agent {
namespace {

constexpr std::size_t kLongestName = 255;  // of a file

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

bool may_be_in_name(char letter) {
  return letter > ' ' && letter != '/' && letter != '=' && letter != '\x7f';
}

Result<AnnouncedCommand> parse_command(std::string_view entry) {
  const std::size_t equals = entry.find('=');
  const std::string_view name = trimmed(entry.substr(0, equals));
  AnnouncedCommand command{.name = std::string(name), .size = std::nullopt};
  if (name.empty()) {
    return fail(Code::kMalformed,
                in_quotes(entry) + " names no command; write for example make=2Gi,ninja");
  }
  // Bytes above 127 are letters of other alphabets.
  const bool good = std::all_of(name.begin(), name.end(), [](char letter) {
    return static_cast<signed char>(letter) < 0 || may_be_in_name(letter);
  });
  if (!good) {
    return fail(Code::kMalformed, in_quotes(name) +
                                      " is not the name of a command: it is compared with the "
                                      "last part of a path, without blanks");
  }
  if (name.size() > kLongestName) {
    return fail(Code::kMalformed, in_quotes(name) + " is longer than the name of any file");
  }
  if (equals == std::string_view::npos) return command;
  const std::string_view text = trimmed(entry.substr(equals + 1));
  const auto size = parse_bytes(text);
  if (!size) {
    return fail(Code::kMalformed, "the size of " + in_quotes(name) + " is " + in_quotes(text) +
                                      "; expected is one such as 512Mi or 4Gi");
  }
  if (*size == Bytes{}) return fail(Code::kMalformed, "the size of " + in_quotes(name) + " is 0");
  command.size = *size;
  return command;
}

}  // namespace

Result<std::vector<AnnouncedCommand>> parse_announced(std::string_view text) {
  std::vector<AnnouncedCommand> commands;
  if (trimmed(text).empty()) return commands;
  while (true) {
    const std::size_t comma = text.find(',');
    const auto command = parse_command(trimmed(text.substr(0, comma)));
    if (!command) return tl::unexpected(command.error());
    const auto start = [](const AnnouncedCommand& of) {
      return std::string_view(of.name).substr(0, kCommandNameBytes);
    };
    for (const AnnouncedCommand& other : commands) {
      if (start(other) != start(*command)) continue;
      return fail(Code::kMalformed, in_quotes(command->name) + " and " + in_quotes(other.name) +
                                        " are the same to the kernel, which keeps " +
                                        std::to_string(kCommandNameBytes) + " bytes of a name");
    }
    commands.push_back(*command);
    if (commands.size() > kMostAnnounced) {
      return fail(Code::kMalformed,
                  "more than " + std::to_string(kMostAnnounced) + " commands are announced");
    }
    if (comma == std::string_view::npos) return commands;
    text.remove_prefix(comma + 1);
  }
}

Bytes unknown_size(const MemoryPolicy& policy, Bytes limit) {
  return std::max(policy.step, scaled_to_fit(limit, policy.step_ratio));
}

Bytes limit_for(const MemoryPolicy& policy, Bytes working) {
  return round_up(scaled_to_fit(working, 1 / policy.watermark), policy.round_to);
}

bool AnnouncedWork::begin(std::uint32_t command, std::uint32_t process, MonotonicTime now,
                          Bytes working, Bytes size, Seen seen) {
  for (auto& [other, run] : runs_) {
    if (other != command && run.processes.contains(process)) end(other, process, now);
  }
  const auto [found, first] = runs_.try_emplace(command);
  Run& run = found->second;
  if (first) {
    const bool is_found = seen == Seen::kFound;
    run = {.began = now,
           .found = is_found,
           .before = working,
           .peak = working,
           .needed = is_found ? std::max(working, size) : working + size};
  }
  // One that has just ended goes on.
  run.processes.insert(process);
  run.ended.reset();
  run.measured = false;
  return first;
}

void AnnouncedWork::end(std::uint32_t command, std::uint32_t process, MonotonicTime now) {
  const auto found = runs_.find(command);
  if (found == runs_.end()) return;
  Run& run = found->second;
  if (run.processes.erase(process) > 0 && run.processes.empty()) run.ended = now;
}

void AnnouncedWork::keep_only(const Processes& running, MonotonicTime now) {
  for (auto& [command, run] : runs_) {
    const auto lives = [&, of = command](std::uint32_t process) {
      return running.contains({of, process});
    };
    if (std::erase_if(run.processes, [&](std::uint32_t each) { return !lives(each); }) > 0 &&
        run.processes.empty()) {
      run.ended = now;
    }
  }
}

std::vector<FinishedCommand> AnnouncedWork::observe(const AnnouncePolicy& policy, MonotonicTime now,
                                                    Bytes peak) {
  std::vector<FinishedCommand> finished;
  for (auto each = runs_.begin(); each != runs_.end();) {
    Run& run = each->second;
    if (!run.measured) run.peak = std::max(run.peak, peak);
    run.measured = run.ended.has_value();
    if (run.ended && now - *run.ended >= policy.linger) {
      finished.push_back({each->first,
                          run.found ? std::nullopt : std::optional(run.peak - run.before),
                          *run.ended - run.began});
      each = runs_.erase(each);
    } else {
      ++each;
    }
  }
  return finished;
}

std::optional<Bytes> AnnouncedWork::needed(const AnnouncePolicy& policy, MonotonicTime now) const {
  std::optional<Bytes> most;
  for (const auto& [command, run] : runs_) {
    if (now - run.began < policy.longest) most = std::max(most.value_or(Bytes{}), run.needed);
  }
  return most;
}

std::size_t AnnouncedWork::running(std::uint32_t command) const {
  const auto found = runs_.find(command);
  return found == runs_.end() ? 0 : found->second.processes.size();
}

std::size_t AnnouncedWork::running() const {
  return static_cast<std::size_t>(std::count_if(
      runs_.begin(), runs_.end(), [](const auto& each) { return !each.second.processes.empty(); }));
}

}  // namespace plimsoll::agent
