// SPDX-License-Identifier: Apache-2.0
//
// The JSON of one pod: what is read is bounded, has an identity, and a glimpse sees the same one.
#include "kube/pod_json.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/kube/recording.h"

using namespace plimsoll;  // NOLINT(google-build-using-namespace): a program of its own
using plimsoll::test::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = test::text_of(data, size);
  const kube::PodGlimpse glimpse = kube::glimpse_pod(text);
  const auto pod = kube::parse_pod(text);
  if (!pod) {
    require(pod.error().code == Code::kMalformed && !pod.error().message.empty(), "malformed");
    return 0;
  }
  require(!pod->id.uid.empty() && !pod->id.name.empty() && !pod->id.namespace_name.empty(),
          "has an identity");
  require(pod->containers.size() <= kube::kMostContainers, "containers are bounded");
  require(pod->labels.size() <= kube::kMostLabels, "labels are bounded");
  for (const auto& [key, value] : pod->annotations) {
    require(kube::kept_annotation(key), "annotations are ours");
  }
  require(kube::parse_pod(text) == *pod, "the same again");
  // A member that comes twice counts as it comes last, which a glimpse does not wait for.
  if (text.find("\"metadata\"") == text.rfind("\"metadata\"")) {
    require(!glimpse.id.uid.empty(), "a glimpse sees it");
  }
  (void)kube::resize_phase(*pod);
  (void)kube::last_resized_by(*pod);
  (void)kube::cgroup_uid(*pod);
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds = test::recorded_pods();
  seeds.emplace_back(
      R"({"metadata":{"name":"p","namespace":"ns","uid":"u"},"spec":{"containers":[{"name":"a",)"
      R"("resizePolicy":[{"resourceName":"cpu","restartPolicy":"NotRequired"}]}]}})");
  return seeds;
}
