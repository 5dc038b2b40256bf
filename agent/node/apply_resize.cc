// SPDX-License-Identifier: Apache-2.0
#include "agent/node/apply_resize.h"

#include <string_view>
#include <variant>

#include "agent/node/limit_changes.h"
#include "agent/node/pod_state.h"

namespace plimsoll::agent {
namespace {

// Commands go to the reaction thread and show in the files a moment later.
constexpr Nanoseconds kRaiseShows = std::chrono::milliseconds(20);

// One pod's actions, by their kind.
struct Apply {
  NodePod& pod;
  const ResizeTools& tools;
  MonotonicTime now;

  // Bounds are given with the state saved, before this.
  void operator()(const SetBounds&) const {}

  void operator()(const RaiseLimit& raise) const {
    if (const NodeContainer* container = pod.find(raise.container)) {
      raise_limit(container->slot, raise.limit, raise.reason, "raise", raise.container);
    }
  }

  void operator()(const RepairSlice& repair) const {
    if (!pod.slice || !pod.slice->slot) return;
    raise_limit(*pod.slice->slot, repair.limit, Reason::kBelowChildren, "repair", "");
  }

  void operator()(const LowerLimit& lower) const {
    NodeContainer* container = pod.find(lower.container);
    if (container == nullptr) return;
    const auto lowered = tools.engine.lower(container->slot, lower.limit, lower.reason);
    if (!lowered) {
      failed("lower", lower.container, lowered.error());
      return;
    }
    container->written = limit_of(*lowered);
    tell_systemd(tools.systemd, container->cgroup, limit_of(*lowered));
  }

  void operator()(const SendResize& send) const {
    const bool kept = send.resize.dry_run || is_kept(pod, tools.state.saved_floors());
    if (kept && tools.submit(send, tools.api.status(now).ability.path)) return;
    pod.outcomes.push_back(
        dropped(send, now, kept ? kQueueFull : tools.state.floors_trouble()).outcome);
    pod.due = true;
  }

  void operator()(const ForgetWish& forget) const {
    const NodeContainer* container = pod.find(forget.container);
    if (container == nullptr) return;
    if (forget.resource == Resource::kMemory) {
      tools.engine.forget_wish(container->slot);
    } else {
      tools.engine.forget_cpu_wish(container->slot);
    }
  }

  void raise_limit(Slot slot, Bytes limit, Reason reason, std::string_view what,
                   std::string_view container) const {
    const auto raised = tools.engine.raise(slot, limit, reason);
    if (!raised) failed(what, container, raised.error());
    pod.readable_at = now + kRaiseShows;
  }

  void failed(std::string_view what, std::string_view container, const Error& error) const {
    tools.reporter.log(LogLevel::kWarn, "a limit was not changed",
                       {{"what", what},
                        {"namespace", pod.pod.id.namespace_name},
                        {"pod", pod.pod.id.name},
                        {"container", container},
                        {"error", error.message}});
  }
};

}  // namespace

void apply_resize(std::span<const ResizeAction> actions, NodePod& pod, const ResizeTools& tools,
                  MonotonicTime now) {
  const Apply apply{.pod = pod, .tools = tools, .now = now};
  for (const ResizeAction& action : actions) std::visit(apply, action);
}

}  // namespace plimsoll::agent
