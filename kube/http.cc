// SPDX-License-Identifier: Apache-2.0
#include "kube/http.h"

namespace plimsoll::kube {

std::string_view to_string(Method method) {
  switch (method) {
    case Method::kGet:
      return "GET";
    case Method::kPost:
      return "POST";
    case Method::kPatch:
      return "PATCH";
  }
  return "unknown";
}

}  // namespace plimsoll::kube
