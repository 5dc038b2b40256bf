// SPDX-License-Identifier: Apache-2.0
//
// Paths of cgroups and ids of containers: what is found in a path is a part of it.
#include "agent/pods/cgroup_name.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzz_target.h"

using namespace plimsoll;  // NOLINT(google-build-using-namespace): a program of its own
using plimsoll::test::require;

namespace {

bool is_prefix(std::string_view of, std::string_view text) {
  if (of.starts_with('/')) of.remove_prefix(1);
  if (text.starts_with('/')) text.remove_prefix(1);
  return of.starts_with(text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = test::text_of(data, size);
  const agent::CgroupName name = agent::parse_cgroup_name(text);
  require(is_prefix(text, name.pod_path), "the pod is above");
  require(is_prefix(text, name.container_path), "the container is above");
  if (!name.pod_uid.empty()) {
    require(agent::canonical_pod_uid(name.pod_uid) == name.pod_uid, "uids have one spelling");
  }
  if (name.kind == agent::CgroupKind::kContainer) {
    require(!name.container_id.empty() && !name.pod_uid.empty(), "a container has its ids");
  }
  (void)agent::canonical_pod_uid(text);
  (void)agent::unit_of_cgroup(text);
  if (const auto id = agent::parse_status_container_id(text)) {
    require(!id->id.empty() && id->id.find('/') == std::string::npos, "an id is no path");
  }
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  const std::string uid = "73010e0f-0fb2-4ba3-8d0d-fb43a43c8532";
  const std::string uid_in_unit = "73010e0f_0fb2_4ba3_8d0d_fb43a43c8532";
  const std::string id = "963f4cd6a9fbcec2444b976a00b5fd753a32eb91e89083b202e3e9b709466c52";
  const std::string slice =
      "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + uid_in_unit + ".slice/";
  return {slice + "cri-containerd-" + id + ".scope",
          slice + "crio-" + id + ".scope/container",
          slice + "crio-conmon-" + id + ".scope",
          slice + "docker-" + id + ".scope/docker/" + id,
          "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + uid_in_unit + ".slice",
          "kubepods/besteffort/pod" + uid + "/" + id,
          "/kubepods/pod0123456789abcdef0123456789abcdef/crio-" + id,
          "/system.slice/a\\x2db.service",
          "containerd://" + id,
          "cri-o://" + id};
}
