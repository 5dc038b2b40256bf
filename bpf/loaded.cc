// SPDX-License-Identifier: Apache-2.0
#include "bpf/loaded.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <array>
#include <string>

#include "base/fd.h"
#include "base/file.h"
#include "bpf/memory_records.h"

namespace plimsoll::bpf {

bool functions_are_traced() {
  const Result<std::string> ftrace = read_file("/proc/sys/kernel/ftrace_enabled");
  return !ftrace || !ftrace->starts_with('0');
}

Result<void> check_function_tracing() {
  if (functions_are_traced()) return {};
  return fail(Code::kUnsupported,
              "functions are not traced (sysctl kernel.ftrace_enabled is 0; set it to 1)");
}

Result<void> check_page_size(std::size_t bytes) {
  if (bytes == std::size_t{1} << PL_PAGE_SHIFT) return {};
  return fail(Code::kUnsupported, "pages of " + std::to_string(bytes / 1024) +
                                      " KiB; run a kernel with pages of 4 KiB");
}

Result<void> attach(bpf_program* program, bpf_link*& link, const LibbpfLog& log) {
  link = bpf_program__attach(program);
  if (link != nullptr) return {};
  return errno_error(
      errno, std::string("attach the BPF program ") + bpf_program__name(program) + log.tail());
}

Result<void> walk(const bpf_program* program, int cgroup_fd, Walk how, const char* what) {
  bpf_iter_link_info info{};
  info.cgroup.order =
      how == Walk::kOne ? BPF_CGROUP_ITER_SELF_ONLY : BPF_CGROUP_ITER_DESCENDANTS_PRE;
  info.cgroup.cgroup_fd = static_cast<std::uint32_t>(cgroup_fd);
  LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &info, .link_info_len = sizeof(info));
  const std::unique_ptr<bpf_link, int (*)(bpf_link*)> link(
      bpf_program__attach_iter(program, &options), bpf_link__destroy);
  if (!link) return errno_error(errno, what);
  const Fd run(bpf_iter_create(bpf_link__fd(link.get())));
  if (!run) return errno_error(errno, what);
  std::array<char, 16> nothing{};
  while (::read(run.get(), nothing.data(), nothing.size()) > 0) {
  }
  return {};
}

Result<void> look_up(const bpf_program* program, int cgroup_fd, std::uint32_t& result,
                     const char* controller) {
  shared(result).store(PL_TRACK_NOT_RUN);
  auto walked = walk(program, cgroup_fd, Walk::kOne, "look up the cgroup in the kernel");
  if (!walked) return walked;
  switch (shared(result).load()) {
    case PL_TRACK_OK:
      return {};
    case PL_TRACK_NO_CONTROLLER:
      return fail(Code::kUnsupported,
                  std::string("the cgroup has no ") + controller + " controller");
    case PL_TRACK_MAP_FULL:
      return fail(Code::kDenied, "the table of tracked cgroups is full");
    default:
      return fail(Code::kGone, "the cgroup vanished while it was looked up");
  }
}

Result<void> run(const bpf_program* program, const char* what) {
  LIBBPF_OPTS(bpf_test_run_opts, options);
  if (bpf_prog_test_run_opts(bpf_program__fd(program), &options) == 0) return {};
  return errno_error(errno, what);
}

std::uint64_t missed(const bpf_program* program) {
  bpf_prog_info info{};
  std::uint32_t size = sizeof(info);
  const int fd = bpf_program__fd(program);
  return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 ? info.recursion_misses : 0;
}

}  // namespace plimsoll::bpf
