// SPDX-License-Identifier: Apache-2.0
#include "bpf/trial_load.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/filter.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string_view>

#include "base/fd.h"
#include "bpf/cpu_programs.h"
#include "bpf/exec_programs.h"
#include "bpf/libbpf_log.h"
#include "bpf/loaded.h"
#include "bpf/memory_programs.h"

namespace plimsoll::bpf {
namespace {

using Object = std::unique_ptr<bpf_object, void (*)(bpf_object*)>;

Object open(std::string_view elf) {
  return {bpf_object__open_mem(elf.data(), elf.size(), nullptr), bpf_object__close};
}

// 0, or the errno of loading and attaching this program and no other.
int try_alone(std::string_view elf, const std::string& name) {
  const Object object = open(elf);
  if (!object) return errno;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object.get()) {
    bpf_program__set_autoload(program, bpf_program__name(program) == name);
  }
  if (const int error = bpf_object__load(object.get()); error != 0) return -error;
  program = bpf_object__find_program_by_name(object.get(), name.c_str());
  if (bpf_program__type(program) == BPF_PROG_TYPE_SYSCALL) return 0;
  // The only iterators that we have are over cgroups; this one looks at the root.
  bpf_iter_link_info info{};
  info.cgroup.order = BPF_CGROUP_ITER_SELF_ONLY;
  LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &info, .link_info_len = sizeof(info));
  const bool iterator = bpf_program__expected_attach_type(program) == BPF_TRACE_ITER;
  const std::unique_ptr<bpf_link, int (*)(bpf_link*)> link(
      iterator ? bpf_program__attach_iter(program, &options) : bpf_program__attach(program),
      bpf_link__destroy);
  return link ? 0 : errno;
}

template <typename Programs>
ObjectTrial try_load(std::string_view elf, const Result<Programs>& loaded) {
  ObjectTrial trial{.tried = true, .refused = loaded ? "" : loaded.error().message, .programs = {}};
  const LibbpfLog quiet;
  const Object object = open(elf);
  bpf_program* program = nullptr;
  if (object) {
    bpf_object__for_each_program(program, object.get()) {
      const std::string name = bpf_program__name(program);
      trial.programs.push_back({name, bpf_program__section_name(program),
                                trial.refused.empty() ? 0 : try_alone(elf, name)});
    }
  }
  return trial;
}

// The least that a program that reads kernel memory needs, without libbpf's help.
int try_permission() {
  const std::array<bpf_insn, 2> program{
      bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
      bpf_insn{.code = BPF_JMP | BPF_EXIT}};
  const Fd fd(bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "plimsoll_trial", "Dual BSD/GPL",
                            program.data(), program.size(), nullptr));
  return fd ? 0 : errno;
}

int try_types() {
  const LibbpfLog quiet;
  const std::unique_ptr<btf, void (*)(btf*)> types(btf__load_vmlinux_btf(), btf__free);
  return types ? 0 : errno;
}

}  // namespace

TrialLoad trial_load() {
  TrialLoad trial{.btf_error = try_types(), .permission_error = try_permission()};
  trial.function_tracing = functions_are_traced();
  if (trial.btf_error != 0 || trial.permission_error != 0) return trial;
  // To take a program from a function again then is a WARNING in the kernel's log (6.12).
  if (trial.function_tracing) {
    const Result<MemoryPrograms> memory = MemoryPrograms::load(HoldBounds{});
    trial.memory = try_load(MemoryPrograms::elf(), memory);
    if (memory) trial.holds_in_lock = memory->holds_in_lock();
    trial.cpu = try_load(CpuPrograms::elf(), CpuPrograms::load());
  }
  trial.exec = try_load(ExecPrograms::elf(), ExecPrograms::load());
  return trial;
}

}  // namespace plimsoll::bpf
