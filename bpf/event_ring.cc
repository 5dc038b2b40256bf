// SPDX-License-Identifier: Apache-2.0
#include "bpf/event_ring.h"

#include <bpf/libbpf.h>

#include <cerrno>

namespace plimsoll::bpf {

void RingReader::Deleter::operator()(ring_buffer* ring) const { ring_buffer__free(ring); }

Result<void> RingReader::map(int map_fd, OnRecord on_record, void* context) {
  if (ring_) {
    const int error = ring_buffer__add(ring_.get(), map_fd, on_record, context);
    if (error != 0) return errno_error(-error, "map a further ring buffer");
    return {};
  }
  ring_.reset(ring_buffer__new(map_fd, on_record, context, nullptr));
  if (!ring_) return errno_error(errno, "map the ring buffer");
  return {};
}

void RingReader::consume() noexcept { ring_buffer__consume(ring_.get()); }

}  // namespace plimsoll::bpf
