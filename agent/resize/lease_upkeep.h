// SPDX-License-Identifier: Apache-2.0
//
// Whether a limit that is stored is in force, by the kubelet's word and by the files; what becomes
// of a lease on memory, and of a slice that has stayed behind its containers.
#pragma once

#include "agent/resize/lane.h"

namespace plimsoll::agent {

// What stands in the cgroup since then, from now on with an end; one that was there goes on.
void take_lease(const Lane<Bytes>& lane, Bytes limit, LeaseWhy why, MonotonicTime written_at);
void end_lease(const Lane<Bytes>& lane, Bytes to, std::string_view cause);
// The API being of no use: written under a lease.
void write_directly(const Lane<Bytes>& lane, Bytes from, Bytes to, LeaseWhy why);
// What a direct write would be for now.
LeaseWhy lease_why(const Lane<Bytes>& lane);

void verify(Step& step);
void keep_leases(Step& step);
void repair_slice(Step& step);

}  // namespace plimsoll::agent
