// SPDX-License-Identifier: Apache-2.0
//
// Which BPF programs and maps a guest has, to see that nothing stays.
#pragma once

#include <bpf/bpf.h>

#include <algorithm>
#include <cstdint>
#include <set>

namespace plimsoll::test {

// The programs and maps of one moment. What a test before let go of may still be among them: the
// kernel frees it a while later.
class BpfIds {
 public:
  bool new_programs() const { return !covers(programs_, bpf_prog_get_next_id); }
  bool nothing_new() const { return !new_programs() && covers(maps_, bpf_map_get_next_id); }

 private:
  using Next = int (*)(std::uint32_t, std::uint32_t*);
  using Ids = std::set<std::uint32_t>;
  static Ids all(Next next) {
    Ids ids;
    for (std::uint32_t id = 0; next(id, &id) == 0;) ids.insert(id);
    return ids;
  }
  static bool covers(const Ids& before, Next next) {
    return std::ranges::includes(before, all(next));
  }

  Ids programs_ = all(bpf_prog_get_next_id);
  Ids maps_ = all(bpf_map_get_next_id);
};

}  // namespace plimsoll::test
