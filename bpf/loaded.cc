// SPDX-License-Identifier: Apache-2.0
#include "bpf/loaded.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

namespace plimsoll::bpf {

std::uint64_t missed(const bpf_program* program) {
  bpf_prog_info info{};
  std::uint32_t size = sizeof(info);
  const int fd = bpf_program__fd(program);
  return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 ? info.recursion_misses : 0;
}

}  // namespace plimsoll::bpf
