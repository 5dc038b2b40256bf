// SPDX-License-Identifier: Apache-2.0
//
// The state file: what is read is written and read again as the same. The checksum guards against
// accidents only, so each text is also read as the body behind a header that fits it.
#include <array>
#include <cstdio>

#include "agent/state/node_state.h"
#include "agent/state/node_state_json.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzz_target.h"

using namespace plimsoll;  // NOLINT(google-build-using-namespace): a program of its own
using plimsoll::test::require;

namespace {

agent::NodeState sample() {
  agent::LimitState limit{
      .id = CgroupId{42}, .path = "/kubepods/pod1/a", .first_seen = {256 * kMiB}};
  limit.direct_ceiling = {kGiB};
  limit.written = Limit{512 * kMiB};
  limit.cpu = agent::CpuLimitState{.first_seen = {500},
                                   .confirmed = MilliCpu{600},
                                   .direct_ceiling = {2000},
                                   .written = MilliCpu{1000}};
  agent::ContainerState container{.container_id = "abc", .name = "app", .limit = limit};
  container.backing = agent::Backing::kLease;
  container.lease_end = MonotonicTime(std::chrono::seconds(100));
  limit.path = "/kubepods/pod1";
  limit.confirmed = kNoLimit;
  agent::PodState pod{.uid = "1", .name_space = "ns", .name = "p\"\\\n", .slice = limit};
  pod.containers = {container};
  return {.boot_id = "b", .generation = 7, .pods = {pod}};
}

// CRC-32 as of zlib, bit by bit.
std::uint32_t checksum(std::string_view text) {
  std::uint32_t sum = 0xFFFFFFFF;
  for (const char c : text) {
    sum ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) sum = (sum >> 1) ^ ((sum & 1) != 0 ? 0xEDB88320U : 0U);
  }
  return ~sum;
}

std::string with_header(std::string_view body) {
  static const std::string kWhole = agent::format_state(sample());
  // "<format> <version> " of a state that was written just now.
  const std::string line = kWhole.substr(0, kWhole.find('\n'));
  const std::string start = line.substr(0, line.rfind(' ', line.rfind(' ') - 1) + 1);
  std::array<char, 64> numbers{};
  std::snprintf(numbers.data(), numbers.size(), "%zu %08x\n", body.size(), checksum(body));
  return start + numbers.data() + std::string(body);
}

void read(std::string_view text) {
  const auto state = agent::parse_state(text);
  if (!state) {
    require(state.error().code == Code::kMalformed || state.error().code == Code::kUnsupported,
            "malformed or of another version");
    return;
  }
  const auto again = agent::parse_state(agent::format_state(*state));
  require(again && *again == *state, "written and read again");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = test::text_of(data, size);
  read(text);
  read(with_header(text));
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  const std::string whole = agent::format_state(sample());
  const std::string body = whole.substr(whole.find('\n') + 1);
  // The header that is made here is the right one.
  require(with_header(body) == whole, "the header fits");
  return {whole, body, agent::format_state({})};
}
