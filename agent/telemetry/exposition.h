// SPDX-License-Identifier: Apache-2.0
//
// The samples of agent/telemetry/metric_table.h in Prometheus' text exposition format, version
// 0.0.4, written by prometheus-cpp (docs/decisions/0011).
#pragma once

#include <string>

#include "agent/telemetry/process_stats.h"
#include "agent/telemetry/stats.h"

namespace plimsoll::agent {

std::string metrics_text(const AgentStats& stats, const ProcessStats& process);

}  // namespace plimsoll::agent
