// SPDX-License-Identifier: Apache-2.0
//
// The control port's own paths, /fake/…: what a test in another process tells the fake with one
// plain HTTP request. README.md lists them.
#pragma once

#include "tests/fake_api/fake_api.h"
#include "tests/fake_api/http_message.h"
#include "tests/fake_api/status.h"

namespace plimsoll::test {

Reply control_reply(FakeApi& api, const HttpRequest& request);

}  // namespace plimsoll::test
