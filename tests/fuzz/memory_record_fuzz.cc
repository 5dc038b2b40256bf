// SPDX-License-Identifier: Apache-2.0
//
// Records of the kernel's programs: of whatever bytes, what is taken for an event names a slot that
// exists, and the policy's answer to it stays between the limit and the ceiling.
#include <cstring>

#include "agent/policy/memory.h"
#include "bpf/memory_records.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzz_target.h"

using namespace plimsoll;  // NOLINT(google-build-using-namespace): a program of its own
using plimsoll::test::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // As the ring buffer aligns its records.
  std::vector<std::uint64_t> aligned(size / 8 + 1);
  if (size > 0) std::memcpy(aligned.data(), data, size);  // no data at all may be a null pointer
  const auto event = bpf::event_at<pl_memory_event>(aligned.data(), size);
  require((event != nullptr) <= (size == sizeof(pl_memory_event)), "a record has its size");
  if (!event) return 0;
  require(event->slot < PL_MAX_SLOTS, "the slot exists");
  require(event->kind >= PL_PREDICTED && event->kind <= PL_AT_DOOR, "the kind exists");

  // Whatever the kernel is made to say: the answer is above the limit and not above what is
  // allowed.
  const agent::Armed armed{
      .bounds = {.floor = {64 * kMiB}, .ceiling = {kGiB}, .direct_ceiling = Bytes{512 * kMiB}}};
  const agent::MemoryFacts facts{.limit = {event->limit_bytes},
                                 .usage = {event->usage_bytes},
                                 .reclaimable = {event->reclaimable_bytes},
                                 .rate_per_second = {event->rate_bytes_per_s}};
  for (const agent::Layer layer :
       {agent::Layer::kPredicted, agent::Layer::kAtTheLimit, agent::Layer::kAtTheDoor}) {
    const agent::Verdict verdict = agent::grow_on_event({}, armed, facts, layer, Bytes{256 * kMiB});
    if (verdict.limit) {
      require(*verdict.limit > facts.limit, "a grant raises");
      require(*verdict.limit <= *armed.bounds.direct_ceiling, "as far as may be written");
      require(*verdict.limit - facts.limit <= Bytes{256 * kMiB}, "within the budget");
    }
    if (verdict.wish) require(*verdict.wish <= armed.bounds.ceiling, "no wish above the ceiling");
  }
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (pl_u32 kind = PL_PREDICTED; kind <= PL_AT_DOOR + 1; ++kind) {
    const pl_memory_event record{.time_ns = 5'000'000'000,
                                 .cgroup_id = 4711,
                                 .usage_bytes = 250 * kMiB,
                                 .limit_bytes = 256 * kMiB,
                                 .reclaimable_bytes = 8 * kMiB,
                                 .rate_bytes_per_s = 100 * kMiB,
                                 .slot = kind,
                                 .epoch = 1,
                                 .kind = kind,
                                 .pid = 1};
    std::string bytes(sizeof record, '\0');
    std::memcpy(bytes.data(), &record, sizeof record);
    seeds.push_back(std::move(bytes));
  }
  return seeds;
}
