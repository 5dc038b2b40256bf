// SPDX-License-Identifier: Apache-2.0
//
// The configuration file: it is good, with every value within its range and read back as it is
// written, or each line of the error names the file.
#include <algorithm>

#include "agent/config/config.h"
#include "agent/config/keys.h"
#include "agent/config/parse.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzz_target.h"

using namespace plimsoll;  // NOLINT(google-build-using-namespace): a program of its own
using plimsoll::test::require;

namespace {

void check_error(const Error& error) {
  require(error.code == Code::kMalformed, "malformed");
  std::string_view rest = error.message;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    require(line.starts_with("f:"), "each line names the file");
    require(line.size() < 4096, "lines that a person can read");
    for (const char c : line) {
      require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f, "nothing for a terminal");
    }
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto config = agent::parse_config(test::text_of(data, size), "f");
  if (!config) {
    check_error(config.error());
    return 0;
  }
  require(agent::validate(config->policy.memory).has_value(), "what the policy relies on");
  agent::Config again;
  for (const agent::ConfigKey& key : agent::config_keys()) {
    const auto text = agent::value_text(key, *config);
    if (!text) continue;
    require(agent::set_key(key, key.name, *text, again).has_value(), "a value that is allowed");
    require(agent::value_text(key, again) == text, "written and read");
  }
  require(again.node.pods == config->node.pods, "selectors and lists too");
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  return {"",
          "tick: 1s\n",
          "memory:\n  watermark: 0.8\n  leak: {grants: 9, window: 5m, dip: 0.02}\n",
          "pods:\n  selector: app=web,env in (dev,ci),!x\n  namespaces: \"!a,b-*\"\n  opt_in: no\n",
          "budget.namespaces: {dev: 8Gi, 'ci': 1e9}\nbudget.namespaces.x: 1\n",
          "metrics.address: \"[::1]:9464\"\ntier: C\nhold: {door: 0s, slice: 0s}\n",
          "a: &a [*a, {b: !!str c}]\n--- \n? x\n: |\n  y\n",
          "tick: 1s\ntick: 2s\nlog: {level: debug}\nfallback.on_refusal: true\n\t- z\n"};
}
