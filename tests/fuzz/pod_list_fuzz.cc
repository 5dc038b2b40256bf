// SPDX-License-Identifier: Apache-2.0
//
// A PodList: read in one piece and in many it says the same.
#include <utility>

#include "kube/pod_list.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/kube/recording.h"

using namespace plimsoll;  // NOLINT(google-build-using-namespace): a program of its own
using plimsoll::test::require;

namespace {

struct Read {
  std::vector<kube::Pod> pods;
  std::vector<kube::PodGlimpse> skipped;
  bool fed = true;
  Result<kube::PodListEnd> end;

  bool operator==(const Read&) const = default;
};

Read read(std::string_view text, std::size_t piece) {
  Read result;
  kube::PodListReader reader(
      [&](kube::Pod&& pod) { result.pods.push_back(std::move(pod)); },
      [&](const kube::PodGlimpse& glimpse, const Error&) { result.skipped.push_back(glimpse); });
  for (std::size_t at = 0; at < text.size() && result.fed; at += piece) {
    result.fed = reader.feed(text.substr(at, piece)).has_value();
  }
  result.end = reader.end();
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = test::text_of(data, size);
  const Read whole = read(text, size + 1);
  const Read bytes = read(text, size < 4096 ? 1 : 61);
  // A list that turns out to be none is given up earlier when it comes in pieces.
  if (whole.fed && bytes.fed) require(whole == bytes, "the same however it is cut");
  require(whole.fed || !bytes.fed || !bytes.end, "no list in one piece, no list in many");
  if (whole.fed && whole.end) require(!whole.end->resource_version.empty(), "can be resumed");
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (const std::string recording : {"50-list", "53b-list-410-compacted"}) {
    for (const auto& reply : test::recorded(recording)) seeds.push_back(reply.body);
  }
  seeds.emplace_back(
      R"({"kind":"PodList","metadata":{"resourceVersion":"7","continue":"x"},"items":[{"metadata":)"
      R"({"name":"p","namespace":"ns","uid":"u"}},null,{"a":[1,"}"]}]})");
  seeds.emplace_back(R"({"items":null,"metadata":{"resourceVersion":"7"},"kind":"PodList"})");
  return seeds;
}
