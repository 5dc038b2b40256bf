// SPDX-License-Identifier: Apache-2.0
//
// The shortest history that still breaks something: delta debugging over the acts of one that does.
#pragma once

#include <functional>

#include "tests/sim/act.h"

namespace plimsoll::sim {

// `breaks` is asked of each candidate, and is true of `history`.
History shrink(History history, const std::function<bool(const History&)>& breaks);

}  // namespace plimsoll::sim
