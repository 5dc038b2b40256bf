// SPDX-License-Identifier: Apache-2.0
//
// What else the API server says: Status objects, discovery, reviews, Retry-After, and a kubeconfig.
// Every answer gets a meaning, and none is taken for a success that it is not.
#include <array>

#include "kube/access_review.h"
#include "kube/discovery.h"
#include "kube/kubeconfig.h"
#include "kube/retry_after.h"
#include "kube/status.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/kube/recording.h"

using namespace plimsoll;  // NOLINT(google-build-using-namespace): a program of its own
using plimsoll::test::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kReadable = 4096;
  const std::string_view text = test::text_of(data, size);
  constexpr std::array<int, 9> kStatuses{400, 401, 403, 404, 409, 410, 422, 429, 500};
  const kube::Refusal refusal = kube::classify(
      kube::Response{.status = kStatuses.at(size % kStatuses.size()), .body = std::string(text)});
  require(refusal.message.size() < kReadable, "a message that a person can read");
  require(refusal.message.find('\n') == std::string::npos, "of one line");
  if (refusal.retry_after) require(*refusal.retry_after >= Nanoseconds(0), "later, not earlier");
  if (const auto status = kube::parse_status(text)) (void)kube::classify(*status);
  const auto version = kube::parse_version(text);
  if (version) require(version->major >= 0 && version->minor >= 0, "a version");
  (void)kube::lists_resize(text);
  (void)kube::parse_access_answer(text);
  const auto wait = kube::parse_retry_after(text, std::chrono::sys_seconds(std::chrono::hours(1)));
  if (wait) require(*wait >= Nanoseconds(0), "later, not earlier");
  const auto kubeconfig = kube::parse_kubeconfig(text, "/nowhere");
  if (kubeconfig) require(kubeconfig->server.starts_with("https://"), "never without TLS");
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (const std::string& recording : test::recordings()) {
    for (const auto& reply : test::recorded(recording)) {
      if (reply.status >= 400 && reply.body.size() < 4000) seeds.push_back(reply.body);
    }
  }
  for (const std::string recording : {"00-version", "67-ssar"}) {
    for (const auto& reply : test::recorded(recording)) seeds.push_back(reply.body);
  }
  seeds.emplace_back("120");
  seeds.emplace_back("Sat, 21 Nov 2026 21:31:34 GMT");
  seeds.emplace_back(
      "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: "
      "k, "
      "user: u}}]\nclusters:\n- name: k\n  cluster: {server: \"https://127.0.0.1:6443\", "
      "certificate-authority-data: QQ==}\nusers:\n- name: u\n  user: {token: t}\n");
  return seeds;
}
