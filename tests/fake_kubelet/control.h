// SPDX-License-Identifier: Apache-2.0
//
// The fake kubelet's control port: what a test in another process tells it with one plain HTTP
// request. tests/fake_api/README.md lists the paths.
#pragma once

#include "tests/fake_api/http_message.h"
#include "tests/fake_api/status.h"
#include "tests/fake_kubelet/fake_kubelet.h"

namespace plimsoll::test {

Reply kubelet_control_reply(FakeKubelet& kubelet, const HttpRequest& request);

}  // namespace plimsoll::test
