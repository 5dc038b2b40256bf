// SPDX-License-Identifier: Apache-2.0
//
// metadata.managedFields: who set which field, as far as an agent reads it. Resources are told
// apart leaf by leaf; of the rest an entry names what its manager wrote.
#pragma once

#include <string>

#include "tests/fake_api/json.h"

namespace plimsoll::test {

// `changed` differs from `old` in resources: the leaves that differ become those of
// (manager, Update, subresource) and nobody else's.
void own_resources(Json& changed, const Json& old, const std::string& manager,
                   const std::string& subresource);

// The manager's entry names the fields of `part`, which is what it wrote below `field` ("spec").
void own_part(Json& object, const std::string& field, const Json& part, const std::string& manager,
              const std::string& subresource);

}  // namespace plimsoll::test
