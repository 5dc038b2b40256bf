// SPDX-License-Identifier: Apache-2.0
//
// Kubernetes quantities: what is read is written and read again as the same amount, and the two
// units agree.
#include <limits>

#include "kube/quantity.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzz_target.h"

using namespace plimsoll;  // NOLINT(google-build-using-namespace): a program of its own
using plimsoll::test::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t kTop = std::numeric_limits<std::int64_t>::max();
  const std::string_view text = test::text_of(data, size);
  const auto memory = kube::parse_memory(text);
  const auto cpu = kube::parse_cpu(text);
  require(memory.has_value() == cpu.has_value(), "one grammar for both");
  if (!memory) {
    require(memory.error().code == Code::kMalformed, "malformed");
    return 0;
  }
  require(memory->value <= kTop && cpu->value <= kTop, "capped");
  require(kube::parse_memory(kube::format_memory(*memory)) == *memory, "memory written and read");
  require(kube::parse_cpu(kube::format_cpu(*cpu)) == *cpu, "cpu written and read");
  if (cpu->value < kTop) require(memory->value == (cpu->value + 999) / 1000, "rounded up alike");
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  return {"512Mi", "0.3Gi", "322122547200m", "3e8", "16Ei",  " 512Mi", "-1",    "lots", "1E-2",
          "+.5Ki", "1n",    "250m",          "007", "1e400", "12E",    "8191Pi"};
}
