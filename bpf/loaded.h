// SPDX-License-Identifier: Apache-2.0
//
// What is the same for all objects of programs: how they are loaded, attached and run, the fields
// that they share with us, and how often the kernel has skipped a program. Skeleton is what bpftool
// generates.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "bpf/libbpf_log.h"

struct bpf_link;
struct bpf_program;

namespace plimsoll::bpf {

// A field that the kernel's programs and we use at the same time.
inline std::atomic_ref<std::uint64_t> shared(std::uint64_t& field) {
  return std::atomic_ref<std::uint64_t>(field);
}
inline std::atomic_ref<std::uint32_t> shared(std::uint32_t& field) {
  return std::atomic_ref<std::uint32_t>(field);
}

template <typename Skeleton>
struct SkeletonDeleter {
  void operator()(Skeleton* skeleton) const { Skeleton::destroy(skeleton); }
};
// Detached and unloaded at the end.
template <typename Skeleton>
using Loaded = std::unique_ptr<Skeleton, SkeletonDeleter<Skeleton>>;

template <typename Skeleton>
Result<Loaded<Skeleton>> open_object(const LibbpfLog& log) {
  Loaded<Skeleton> skeleton(Skeleton::open());
  if (!skeleton) return errno_error(errno, "open the BPF object" + log.tail());
  return skeleton;
}

template <typename Skeleton>
Result<void> load_object(Skeleton& skeleton, const LibbpfLog& log) {
  const int error = Skeleton::load(&skeleton);
  if (error != 0) return errno_error(-error, "load the BPF programs" + log.tail());
  return {};
}

// The object as it was compiled.
template <typename Skeleton>
std::string_view elf_of() {
  std::size_t size = 0;
  const void* bytes = Skeleton::elf_bytes(&size);
  return {static_cast<const char*>(bytes), size};
}

// sysctl kernel.ftrace_enabled. Without it the kernel attaches programs to functions, and never
// calls them; where it cannot be read, they are called.
bool functions_are_traced();
// kUnsupported: they are not.
Result<void> check_function_tracing();

// kUnsupported: pages of another size than the programs count in, which is that of x86-64 and of
// most arm64 kernels. A limit that is read as a sixteenth of what it is would be "raised" below the
// usage.
Result<void> check_page_size(std::size_t bytes);

// At the hook that its section names.
Result<void> attach(bpf_program* program, bpf_link*& link, const LibbpfLog& log);
// Runs an iterator over one cgroup, or over it and all below it. `what` begins the error's text.
enum class Walk : std::uint8_t { kOne, kAllBelow };
Result<void> walk(const bpf_program* program, int cgroup_fd, Walk how, const char* what);
// Has an iterator find the cgroup's `controller` in the kernel; it leaves PL_TRACK_* in `result`.
// kGone: the cgroup has vanished; kUnsupported: it has no such controller; kDenied: a full table.
Result<void> look_up(const bpf_program* program, int cgroup_fd, std::uint32_t& result,
                     const char* controller);
// Runs a program that is at no hook.
Result<void> run(const bpf_program* program, const char* what);

// How often the kernel skipped it because it was running on that CPU already; 0 when the kernel
// does not tell.
std::uint64_t missed(const bpf_program* program);

}  // namespace plimsoll::bpf
