// SPDX-License-Identifier: Apache-2.0
#include "kube/pod_fields.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "kube/pod.h"

namespace plimsoll::kube {
namespace {

// What is read of a pod. A field without members is a plain value; `any`: a map whose keys are
// data; kElement: every element of a list, as managedFields have them.
struct Field {
  std::string_view name;
  std::span<const Field> members = {};
  bool any = false;
};

constexpr std::array<Field, 2> kAmounts{{{"memory"}, {"cpu"}}};
constexpr std::array<Field, 3> kResources{
    {{"requests", kAmounts}, {"limits", kAmounts}, {"claims"}}};

constexpr std::array<Field, 3> kOwner{{{"kind"}, {"name"}, {"controller"}}};

constexpr std::string_view kElement = "k:";
constexpr std::array<Field, 2> kOwnedAmounts{{{"f:memory"}, {"f:cpu"}}};
constexpr std::array<Field, 1> kOwnedResources{{{"f:limits", kOwnedAmounts}}};
constexpr std::array<Field, 1> kOwnedContainer{{{"f:resources", kOwnedResources}}};
constexpr std::array<Field, 1> kOwnedContainers{{{kElement, kOwnedContainer}}};
constexpr std::array<Field, 2> kOwnedSpec{
    {{"f:containers", kOwnedContainers}, {"f:initContainers", kOwnedContainers}}};
constexpr std::array<Field, 1> kOwned{{{"f:spec", kOwnedSpec}}};
constexpr std::array<Field, 4> kManager{
    {{"manager"}, {"subresource"}, {"time"}, {"fieldsV1", kOwned}}};
constexpr std::array<Field, 10> kMetadata{{{"name"},
                                           {"namespace"},
                                           {"uid"},
                                           {"resourceVersion"},
                                           {"generation"},
                                           {"deletionTimestamp"},
                                           {"labels", {}, true},
                                           {"annotations", {}, true},
                                           {"ownerReferences", kOwner},
                                           {"managedFields", kManager}}};

constexpr std::array<Field, 2> kPolicy{{{"resourceName"}, {"restartPolicy"}}};
// Of the probes it is read that they are there: what is in them is not kept.
constexpr std::array<Field, 6> kContainer{{{"name"},
                                           {"resources", kResources},
                                           {"resizePolicy", kPolicy},
                                           {"restartPolicy"},
                                           {"readinessProbe"},
                                           {"startupProbe"}}};
constexpr std::array<Field, 1> kOs{{{"name"}}};
constexpr std::array<Field, 10> kSpec{{{"nodeName"},
                                       {"runtimeClassName"},
                                       {"priority"},
                                       {"priorityClassName"},
                                       {"restartPolicy"},
                                       {"os", kOs},
                                       {"resources", kResources},
                                       {"overhead", kAmounts},
                                       {"containers", kContainer},
                                       {"initContainers", kContainer}}};

constexpr std::array<Field, 4> kDetails{{{"reason"}, {"startedAt"}, {"exitCode"}, {"finishedAt"}}};
constexpr std::array<Field, 3> kState{
    {{"waiting", kDetails}, {"running", kDetails}, {"terminated", kDetails}}};
constexpr std::array<Field, 9> kContainerStatus{{{"name"},
                                                 {"containerID"},
                                                 {"state", kState},
                                                 {"lastState", kState},
                                                 {"ready"},
                                                 {"started"},
                                                 {"restartCount"},
                                                 {"resources", kResources},
                                                 {"allocatedResources", kAmounts}}};
constexpr std::array<Field, 5> kCondition{
    {{"type"}, {"status"}, {"reason"}, {"message"}, {"observedGeneration"}}};
constexpr std::array<Field, 9> kStatus{{{"phase"},
                                        {"qosClass"},
                                        {"observedGeneration"},
                                        {"resize"},
                                        {"conditions", kCondition},
                                        {"containerStatuses", kContainerStatus},
                                        {"initContainerStatuses", kContainerStatus},
                                        {"resources", kResources},
                                        {"allocatedResources", kAmounts}}};

constexpr std::array<Field, 4> kPod{
    {{"kind"}, {"metadata", kMetadata}, {"spec", kSpec}, {"status", kStatus}}};

}  // namespace

bool is_pod_field(std::span<const std::string> path) {
  std::span<const Field> fields = kPod;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const auto field = std::find_if(fields.begin(), fields.end(), [&](const Field& known) {
      return known.name == path[i] || (known.name == kElement && path[i].starts_with(kElement));
    });
    if (field == fields.end()) return false;
    if (field->any && i + 1 < path.size()) {
      return i + 2 == path.size() && (field->name == "labels" || kept_annotation(path[i + 1]));
    }
    fields = field->members;
  }
  return true;
}

}  // namespace plimsoll::kube
