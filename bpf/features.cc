// SPDX-License-Identifier: Apache-2.0
#include "bpf/features.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/filter.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <span>
#include <system_error>
#include <utility>

#include "base/fd.h"

using u64 = std::uint64_t;
#include "probe.skel.h"

namespace plimsoll::bpf {
namespace {

using Bss = probe_bpf::probe_bpf__bss;
using Runs = u64 Bss::*;

// How one answer is got: its programs are loaded and attached, the last one is run where it counts,
// and then `runs` must have grown.
struct Question {
  Answer Features::*answer = nullptr;
  std::vector<std::string_view> programs;
  Runs runs = nullptr;
};

const std::vector<Question>& questions() {
  static const std::vector<Question> kQuestions = {
      {&Features::kernel_reads, {"on_read"}, &Bss::read_runs},
      {&Features::loop, {"on_loop"}, &Bss::loop_runs},
      {&Features::ring_buffer, {"on_ring_buffer"}, &Bss::ring_buffer_runs},
      {&Features::cgroup_iterator, {"on_cgroup"}, &Bss::iterator_runs},
      {&Features::function_entry, {"on_function_entry"}, &Bss::function_entry_runs},
      {&Features::function_exit, {"on_function_exit"}, &Bss::function_exit_runs},
      {&Features::hook_charge, {"on_charge_hook"}},
      {&Features::hook_reclaim, {"on_reclaim_hook"}},
      {&Features::hook_oom, {"on_oom_hook", "on_oom_end_hook"}},
      {&Features::tracepoint, {"on_tracepoint", "on_packet"}, &Bss::tracepoint_runs},
      {&Features::hook_reclaim_tracepoint, {"on_tracepoint_hook"}},
  };
  return kQuestions;
}

Answer no(std::string why, int error = 0) {
  return {.yes = false, .why = std::move(why), .error = error};
}

Answer refused(std::string_view step, int error) {
  // The kernel's own "not supported", which user space has no name for.
  constexpr int kEnotsupp = 524;
  const std::string text = error == kEnotsupp
                               ? "not supported (ENOTSUPP)"
                               : std::error_code(error, std::generic_category()).message();
  return no(std::string(step) + ": " + text, error);
}

struct ProbeDeleter {
  void operator()(probe_bpf* skeleton) const { probe_bpf::destroy(skeleton); }
};
using Link = std::unique_ptr<bpf_link, int (*)(bpf_link*)>;

// The object with the programs of some questions.
class Probe {
 public:
  explicit Probe(std::span<const Question> asked) : skeleton_(probe_bpf::open()) {
    if (!skeleton_) {
      state_ = refused("open", errno);
      return;
    }
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, skeleton_->obj) {
      const std::string_view name = bpf_program__name(program);
      bpf_program__set_autoload(program, std::ranges::any_of(asked, [&](const Question& question) {
                                  return std::ranges::count(question.programs, name) != 0;
                                }));
    }
    bpf_map__set_autocreate(skeleton_->maps.records,
                            bpf_program__autoload(skeleton_->progs.on_ring_buffer));
    if (const int error = probe_bpf::load(skeleton_.get()); error != 0) {
      state_ = refused("load", -error);
    }
  }

  Answer ask(const Question& question) {
    if (!state_.yes) return state_;
    bpf_program* last = nullptr;
    for (const std::string_view name : question.programs) {
      last = bpf_object__find_program_by_name(skeleton_->obj, std::string(name).c_str());
      if (Answer attached = attach(last); !attached.yes) return attached;
    }
    if (question.runs == nullptr) return state_;
    if (Answer ran = run(last); !ran.yes) return ran;
    // At least once: somebody else may run the same tests of the kernel at the same time.
    if (skeleton_->bss->*question.runs == 0) {
      return no("the kernel attached the program but did not call it");
    }
    return state_;
  }

 private:
  Answer attach(const bpf_program* program) {
    const bpf_prog_type type = bpf_program__type(program);
    if (type == BPF_PROG_TYPE_SOCKET_FILTER || type == BPF_PROG_TYPE_SYSCALL) return state_;
    // An iterator looks at the root here, which is there even where nothing is mounted.
    bpf_iter_link_info info{};
    info.cgroup.order = BPF_CGROUP_ITER_SELF_ONLY;
    LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &info, .link_info_len = sizeof(info));
    links_.emplace_back(program == skeleton_->progs.on_cgroup
                            ? bpf_program__attach_iter(program, &options)
                            : bpf_program__attach(program),
                        bpf_link__destroy);
    return links_.back() ? state_ : refused("attach", errno);
  }

  Answer run(const bpf_program* program) {
    if (program == skeleton_->progs.on_cgroup) {
      const Fd iterator(bpf_iter_create(bpf_link__fd(links_.back().get())));
      std::array<char, 16> nothing{};
      const bool done = iterator && ::read(iterator.get(), nothing.data(), nothing.size()) >= 0;
      return done ? state_ : refused("read", errno);
    }
    std::array<char, 64> packet{};
    LIBBPF_OPTS(bpf_test_run_opts, options);
    if (bpf_program__type(program) == BPF_PROG_TYPE_SOCKET_FILTER) {
      options.data_in = packet.data();
      options.data_size_in = packet.size();
    }
    const int error = bpf_prog_test_run_opts(bpf_program__fd(program), &options);
    return error == 0 ? state_ : refused("run", errno);
  }

  std::unique_ptr<probe_bpf, ProbeDeleter> skeleton_;
  std::vector<Link> links_;
  Answer state_{.yes = true};
};

// All at once, which is what a good kernel answers; true when every answer was yes.
bool ask_all(Features& features) {
  Probe probe(questions());
  return std::ranges::all_of(questions(), [&](const Question& question) {
    features.*question.answer = probe.ask(question);
    return (features.*question.answer).yes;
  });
}

Answer ask_alone(const btf* types, const Question& question) {
  Answer answer = Probe(std::span(&question, 1)).ask(question);
  // That the kernel does not know a name is told in words of its own.
  const auto missing = [&](const char* name, std::uint32_t kind) {
    return !answer.yes && btf__find_by_name_kind(types, name, kind) < 0;
  };
  const auto functions = std::to_array<std::pair<Answer Features::*, const char*>>(
      {{&Features::hook_charge, "page_counter_try_charge"},
       {&Features::hook_reclaim, "try_to_free_mem_cgroup_pages"},
       {&Features::hook_oom, "mem_cgroup_out_of_memory"}});
  for (const auto& [hook, name] : functions) {
    if (hook == question.answer && missing(name, BTF_KIND_FUNC)) {
      return no(std::string("this kernel has no function ") + name + " (inlined or renamed)");
    }
  }
  if (question.answer == &Features::hook_reclaim_tracepoint &&
      missing("btf_trace_mm_vmscan_memcg_reclaim_end", BTF_KIND_TYPEDEF)) {
    return no("this kernel has no tracepoint mm_vmscan_memcg_reclaim_end");
  }
  if (question.answer == &Features::cgroup_iterator &&
      missing("bpf_iter__cgroup", BTF_KIND_STRUCT)) {
    return no("this kernel has no iterator over cgroups");
  }
  return answer;
}

// The least that a program that reads kernel memory needs, without libbpf's help.
Answer probe_permitted() {
  const std::array<bpf_insn, 2> program{
      bpf_insn{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
      bpf_insn{.code = BPF_JMP | BPF_EXIT}};
  const Fd fd(bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "plimsoll_probe", "Dual BSD/GPL",
                            program.data(), program.size(), nullptr));
  return fd ? Answer{.yes = true} : refused("load", errno);
}

}  // namespace

const std::vector<NamedAnswer>& feature_names() {
  static const std::vector<NamedAnswer> kNames = {
      {"btf", "kernel types (BTF)", &Features::btf},
      {"permitted", "permission to load BPF programs", &Features::permitted},
      {"kernel_reads", "reads of kernel memory from BPF", &Features::kernel_reads},
      {"loop", "bpf_loop", &Features::loop},
      {"ring_buffer", "BPF ring buffer", &Features::ring_buffer},
      {"cgroup_iterator", "BPF cgroup iterator", &Features::cgroup_iterator},
      {"function_entry", "programs at function entry (fentry)", &Features::function_entry},
      {"function_exit", "programs at function end (fexit)", &Features::function_exit},
      {"hook_charge", "fentry page_counter_try_charge", &Features::hook_charge},
      {"hook_reclaim", "fexit try_to_free_mem_cgroup_pages", &Features::hook_reclaim},
      {"hook_oom", "fentry+fexit mem_cgroup_out_of_memory", &Features::hook_oom},
      {"tracepoint", "programs at tracepoints (tp_btf)", &Features::tracepoint},
      {"hook_reclaim_tracepoint", "tp_btf mm_vmscan_memcg_reclaim_end",
       &Features::hook_reclaim_tracepoint},
  };
  return kNames;
}

Features probe_features() {
  Features features;
  utsname name{};
  if (::uname(&name) == 0) features.release = std::data(name.release);

  // What libbpf would say here is said by the answers.
  const libbpf_print_fn_t print = libbpf_set_print(nullptr);
  const std::unique_ptr<btf, void (*)(btf*)> types(btf__load_vmlinux_btf(), btf__free);
  features.btf = types ? Answer{.yes = true} : refused("read /sys/kernel/btf/vmlinux", errno);
  features.permitted = probe_permitted();
  if (features.btf.yes && features.permitted.yes) {
    if (!ask_all(features)) {
      for (const Question& question : questions()) {
        features.*question.answer = ask_alone(types.get(), question);
      }
    }
  } else {
    const bool denied = !features.permitted.yes;
    for (const Question& question : questions()) {
      features.*question.answer = no(denied ? "not tried without permission to load BPF programs"
                                            : "not tried without BTF");
    }
  }
  libbpf_set_print(print);
  return features;
}

std::string to_string(const Features& features) {
  std::string text;
  for (const NamedAnswer& entry : feature_names()) {
    const Answer& answer = features.*entry.answer;
    text += std::string(entry.id) + (answer.yes ? " yes" : " no (" + answer.why + ")") + "\n";
  }
  return text;
}

}  // namespace plimsoll::bpf
