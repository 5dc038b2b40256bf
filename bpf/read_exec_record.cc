// SPDX-License-Identifier: Apache-2.0
#include "bpf/read_exec_record.h"

#include "bpf/exec_records.h"

namespace plimsoll::bpf {

std::optional<ExecEvent> read_exec_record(const void* data, std::size_t size) noexcept {
  if (size != sizeof(pl_exec_event)) return std::nullopt;
  const auto& record = *static_cast<const pl_exec_event*>(data);
  if (record.kind < PL_EXEC_START || record.kind > PL_EXEC_FOUND) return std::nullopt;
  return ExecEvent{
      .time = MonotonicTime(Nanoseconds(static_cast<std::int64_t>(record.time_ns))),
      .kind = static_cast<ExecEvent::Kind>(record.kind),
      .command = {
          .watch = record.command.watch, .command = record.command.command, .pid = record.pid}};
}

}  // namespace plimsoll::bpf
