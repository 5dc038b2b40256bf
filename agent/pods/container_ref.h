// SPDX-License-Identifier: Apache-2.0
//
// ContainerRef: which container something is about, as logs, timelines and Events name it.
#pragma once

#include <string>

namespace plimsoll::agent {

// A container; a pod when `container` is empty.
struct ContainerRef {
  std::string name_space;
  std::string pod;
  std::string uid;
  std::string container;

  bool operator==(const ContainerRef&) const = default;
};

}  // namespace plimsoll::agent
