// SPDX-License-Identifier: Apache-2.0
#include "kube/pod_list.h"

#include <utility>

#include "kube/json_value.h"

namespace plimsoll::kube {

PodListReader::PodListReader(OnPod on_pod, OnSkipped on_skipped)
    : on_pod_(std::move(on_pod)),
      on_skipped_(std::move(on_skipped)),
      members_("items", kLargestPod,
               [this](const JsonMembers::Member& member) { on_member(member); }) {}

Result<void> PodListReader::feed(std::string_view chunk) {
  if (auto fed = members_.feed(chunk); !fed) return fed;
  if (!kind_.empty() && kind_ != R"("PodList")") {
    return fail(Code::kMalformed, "the list of pods is a " + kind_.substr(0, 64));
  }
  return {};
}

Result<PodListEnd> PodListReader::end() const {
  if (!members_.complete()) return fail(Code::kMalformed, "the list of pods was cut");
  if (kind_.empty() || end_.resource_version.empty()) {
    return fail(Code::kMalformed, "the list of pods has no kind or no resourceVersion");
  }
  return end_;
}

void PodListReader::on_member(const JsonMembers::Member& member) {
  if (member.key == "items") return on_item(member);
  if (member.key == "kind") kind_ = member.value;
  if (member.key != "metadata") return;
  const auto document = JsonDocument::parse(member.value);
  if (!document) return;
  end_.resource_version = document->root()["resourceVersion"].text();
  end_.continue_token = document->root()["continue"].text();
}

void PodListReader::on_item(const JsonMembers::Member& member) {
  if (!member.whole) {
    on_skipped_(glimpse_pod(member.value),
                {Code::kMalformed, "a pod of more than " + to_string(Bytes{kLargestPod})});
    return;
  }
  if (member.value == "null") return;  // "items": null is an empty list
  if (auto pod = parse_pod(member.value)) {
    on_pod_(std::move(*pod));
  } else {
    on_skipped_(glimpse_pod(member.value), pod.error());
  }
}

}  // namespace plimsoll::kube
