// SPDX-License-Identifier: Apache-2.0
//
// The tables of kube/status: which status with which text is which cause. Pure. The texts are
// those of kube-apiserver 1.27 to 1.36; tests/contract/kube has a recording of most.
#pragma once

#include <string_view>

#include "kube/status.h"

namespace plimsoll::kube {

Cause cause_of(int http_status, const Status& status);

// Of a reply that is no Status object: plain text of the API server, or some proxy's page.
Cause cause_of_plain(int http_status, std::string_view text);

}  // namespace plimsoll::kube
