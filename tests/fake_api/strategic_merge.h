// SPDX-License-Identifier: Apache-2.0
//
// The three ways to change an object by PATCH, as the API server carries them out.
#pragma once

#include <string>
#include <variant>

#include "tests/fake_api/json.h"
#include "tests/fake_api/status.h"

namespace plimsoll::test {

// The changed object, or the refusal.
using Patched = std::variant<Json, Reply>;

// Strategic merge: lists that have a merge key (containers by name, conditions by type …) merge,
// others are replaced; null removes; $patch and $setElementOrder are understood.
Patched strategic_merge(const Json& object, const Json& patch);

// RFC 7386 and RFC 6902.
Patched merge_patch(const Json& object, const Json& patch);
Patched json_patch(const Json& object, const Json& operations);

// By Content-Type; 415 for what the server does not take.
Patched apply_patch(const Json& object, const std::string& content_type, const Json& patch);

}  // namespace plimsoll::test
