// SPDX-License-Identifier: Apache-2.0
//
// Records of announced commands: of whatever bytes, what is taken for an event is of a kind that
// exists, and no history of them makes work that does not end.
#include <algorithm>
#include <cstring>
#include <vector>

#include "agent/policy/announced_work.h"
#include "bpf/exec_records.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzz_target.h"

using namespace plimsoll;  // NOLINT(google-build-using-namespace): a program of its own
using plimsoll::test::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  agent::AnnouncedWork work;
  const agent::AnnouncePolicy policy;
  MonotonicTime now{std::chrono::seconds(1)};
  for (std::size_t at = 0; at < size;) {
    // A byte says how long the record is, as the ring buffer does.
    const std::size_t length = std::min<std::size_t>(data[at] & 0x1FU, size - at - 1);
    std::vector<std::uint64_t> aligned(length / 8 + 1);  // as the ring buffer aligns it
    std::memcpy(aligned.data(), data + at + 1, length);
    at += 1 + length;
    const auto event = bpf::event_at<pl_exec_event>(aligned.data(), length);
    require((event != nullptr) <= (length == sizeof(pl_exec_event)), "a record has its size");
    now += std::chrono::milliseconds(1);
    if (!event) continue;
    require(event->kind >= PL_EXEC_START && event->kind <= PL_EXEC_FOUND, "the kind exists");
    const pl_u32 command = event->command.command;
    if (event->kind == PL_EXEC_END) {
      work.end(command, event->pid, now);
    } else {
      const auto seen = event->kind == PL_EXEC_FOUND ? agent::AnnouncedWork::Seen::kFound
                                                     : agent::AnnouncedWork::Seen::kBegins;
      work.begin(command, event->pid, now, Bytes{kMiB}, Bytes{kGiB}, seen);
      require(work.running(command) > 0, "what has begun runs");
      require(work.needed(policy, now) >= Bytes{kGiB}, "and is provided for");
    }
    (void)work.observe(policy, now, Bytes{kMiB});
  }
  work.keep_only({}, now);
  require(work.running() == 0, "what does not run has ended");
  (void)work.observe(policy, now + policy.linger, Bytes{});
  require(!work.needed(policy, now + policy.linger), "and needs nothing after a while");
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  const auto record = [](pl_u32 kind, pl_u32 command, pl_u32 pid) {
    const pl_exec_event event{.time_ns = 5'000'000'000,
                              .command = {.watch = 1, .command = command},
                              .kind = kind,
                              .pid = pid};
    std::string bytes(1 + sizeof event, '\0');
    bytes[0] = static_cast<char>(sizeof event);
    std::memcpy(bytes.data() + 1, &event, sizeof event);
    return bytes;
  };
  const std::string begins = record(PL_EXEC_START, 0, 10);
  return {begins + record(PL_EXEC_END, 0, 10), begins + record(PL_EXEC_START, 1, 10),
          record(PL_EXEC_FOUND, 2, 11) + record(PL_EXEC_END, 2, 11), begins + record(4, 0, 10),
          begins + begins.substr(0, 10)};
}
