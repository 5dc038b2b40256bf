// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/annotations.h"

#include <algorithm>

#include "base/printable.h"

namespace plimsoll::agent {
namespace {

constexpr std::array<std::string_view, kAnnotations> kNames{
    "enabled",       "memory-ceiling", "memory-floor", "look-ahead", "cpu-ceiling",
    "startup-boost", "startup-time",   "dry-run",      "actuation",  "announce"};

constexpr std::array<AnnotationDoc, kAnnotations> kDocs{{
    {Annotation::kEnabled, "`\"true\"`, `\"false\"`",
     "Opts in, where the operator wants that (`pods.opt_in`), or out, always. May be a label too; "
     "one that says `\"false\"` wins. `\"true\"` does not help against the operator's "
     "`pods.selector` and `pods.namespaces`.",
     "not managed"},
    {Annotation::kMemoryCeiling, "a quantity, `4Gi`",
     "The most that the memory limit may grow to: from the declared limit, which means not at all, "
     "to what the operator allows (`pods.ceiling`, `pods.ceiling_max`).",
     "not grown"},
    {Annotation::kMemoryFloor, "a quantity, `256Mi`",
     "How far the limit may go down when less is needed: from the declared request to the declared "
     "limit. Without it, the limit never goes below what was declared.",
     "the declared limit"},
    {Annotation::kLookAhead, "a duration, `5s`",
     "A grant covers the measured growth rate for this long: from `1ms` to the operator's "
     "`pods.look_ahead_max`. Without it, `memory.look_ahead`.",
     "`memory.look_ahead`"},
    {Annotation::kCpuCeiling, "a quantity, `\"2\"`, `1500m`",
     "The most that the CPU limit may grow to when it is throttled: from the declared limit, which "
     "means not at all, to what the operator allows (`pods.cpu_ceiling`, `pods.cpu_ceiling_max`).",
     "not grown"},
    {Annotation::kStartupBoost, "a quantity, `\"4\"`, `2500m`",
     "The CPU limit while the container starts: from the declared limit, which means no other, to "
     "what the operator allows (`startup.boost`, `startup.boost_max`).",
     "not boosted"},
    {Annotation::kStartupTime, "a duration, `45s`",
     "That ends after this at the latest: from `1s` to the operator's `startup.time`, which it is "
     "without the annotation.",
     "`startup.time`"},
    {Annotation::kDryRun, "`\"true\"`, `\"false\"`",
     "Decide and report, change nothing. `\"false\"` does not help against the operator's "
     "`pods.dry_run`.",
     "a dry run"},
    {Annotation::kActuation, "`resize`, `resize-then-cgroup`, `cgroup`",
     "How limits are raised, each allowing more than the one before; at most the operator's "
     "`pods.actuation`.",
     "`resize`"},
    {Annotation::kAnnounce, "a list of commands, `make=2Gi,ninja`",
     "Commands that need room while they run, by the last part of the path that they are started "
     "by, each with what it needs beyond what is in use before, all that it starts included; "
     "without a size, what it is known to have needed. The limit is raised when one begins, as far "
     "as the ceiling and the budgets allow, and goes down again after the last one has ended. "
     "Without it, `announce.default`; empty: none.",
     "nothing is announced"},
}};

std::optional<Annotation> annotation_of(std::string_view name) {
  const auto* const found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<Annotation>(found - kNames.begin());
}

// "app" of "app.plimsoll.dev/enabled", "" of "plimsoll.dev/enabled"; nullopt: not ours.
std::optional<std::string_view> container_of(std::string_view prefix) {
  if (!prefix.ends_with(kAnnotationPrefix)) return std::nullopt;
  prefix.remove_suffix(kAnnotationPrefix.size());
  if (prefix.empty()) return prefix;
  if (!prefix.ends_with('.')) return std::nullopt;
  prefix.remove_suffix(1);
  return prefix;
}

std::string all_names() {
  std::string text;
  for (const std::string_view name : kNames) {
    text.append(text.empty() ? "" : ", ").append(name);
  }
  return text;
}

}  // namespace

std::string_view to_string(Annotation key) { return kNames.at(static_cast<std::size_t>(key)); }

std::span<const AnnotationDoc> annotation_docs() { return kDocs; }

std::string render_annotation_docs() {
  std::string text =
      R"(# What a pod can say

The operator decides in the configuration ([config.md](config.md), `pods.*` and `startup.*`) which pods
are managed and how far; a pod's author narrows that with annotations, and with the label
`plimsoll.dev/enabled`.

```yaml
metadata:
  labels:
    plimsoll.dev/enabled: "true"
  annotations:
    plimsoll.dev/memory-ceiling: 4Gi         # every container of the pod
    app.plimsoll.dev/memory-ceiling: 2Gi     # the container "app"
    proxy.plimsoll.dev/enabled: "false"      # and "proxy" not at all
    app.plimsoll.dev/announce: make=1Gi,npm  # "app" runs builds
    app.plimsoll.dev/cpu-ceiling: 1500m      # has up to 1.5 CPUs when it is throttled
    app.plimsoll.dev/startup-boost: "4"      # and four while it starts,
    app.plimsoll.dev/startup-time: 45s       # which takes no longer than this
```

`plimsoll.dev/<key>` holds for all containers of the pod, `<container>.plimsoll.dev/<key>` for one of
them and comes before the former. A container's name is a DNS label, so that is a valid annotation for
every container.

| key | value | meaning | taken as, when it cannot be read |
|---|---|---|---|
)";
  for (const AnnotationDoc& doc : annotation_docs()) {
    text.append("| `").append(to_string(doc.key)).append("` | ").append(doc.value).append(" | ");
    text.append(doc.meaning).append(" | ").append(doc.when_bad).append(" |\n");
  }
  text +=
      R"(
**Annotations only narrow.** What goes beyond the operator's bounds is cut to them. What cannot be read
is taken for the narrowest that it could mean, as the last column says: whoever wrote a ceiling wanted
one. A bad annotation of a container does not fall back to the pod's. An unknown key under
`plimsoll.dev/`, or a container that the pod does not have or that cannot be grown, changes nothing.
Each of these is said in a Kubernetes Event on the pod, which quotes the value and says what is allowed.

Not managed, whatever is said:
- pods that the operator's `pods.selector` or `pods.namespaces` leave out;
- BestEffort pods and containers without a memory limit (or with one of 0, which the kubelet takes for
  none): there is nothing to raise. A limit of the pod as a whole is not grown by itself;
- init containers that end (sidecars are managed);
- where writing to cgroups is not allowed (`resize`): static pods, containers with resource claims, and
  containers whose `resizePolicy` wants a restart, for the API refuses to resize them or restarts them.

What the API server cannot be asked about stays at what it has allowed before: static pods, pods with
resource claims, and all pods of a server that cannot resize. The operator opens that for namespaces
with a budget (`fallback.unasked`). A container whose `resizePolicy` wants a restart is asked for in dry
runs only, and written as far as their answers go. No container gets more than the pod-level limit.

A pod of a RuntimeClass that is a sandbox (it has overhead, or is called after gVisor or Kata) is managed,
and told that its guest may keep the memory that it had when it started.

A limit that somebody else sets (a person, a VerticalPodAutoscaler, a boost controller) is what the
container declares from then on: its ceilings follow it, and it is protected as before, the other
resource too. Only a limit that the same actor has put back twice after we had raised it is left alone
for a while (`coexist.mode: yield`).

Opting out keeps nothing. A container that is not to be raised any more (by `enabled`, `dry-run`, a
`cpu-ceiling` of its limit, or because the operator leaves it out) and was raised gives that back before
it is let go, across a restart of the agent too: the limits of its cgroups go down to its spec, and its
spec goes back to what its author declared, as far as its usage allows.

The CPU limit of a container that is managed is left alone:
- where the operator has turned that off (`pods.cpu`), and where the container declares none;
- in Guaranteed pods: there the limit is the request, and one above it would be another QoS class;
- where writing to cgroups is not allowed (`resize`) and its `resizePolicy` for CPU wants a restart.

This page is written by `render_annotation_docs()` in `agent/pods/annotations.cc`; a test compares the two.
)";
  return text;
}

const FoundAnnotation* PodAnnotations::get(std::size_t container, Annotation key) const {
  if (const auto& own = containers[container].get(key)) return &*own;
  const auto& of_pod = pod.get(key);
  return of_pod ? &*of_pod : nullptr;
}

PodAnnotations sort_annotations(const Labels& annotations,
                                std::span<const std::string> container_names) {
  PodAnnotations sorted;
  sorted.containers.resize(container_names.size());
  const auto complain = [&](const std::string& name, std::string text) {
    if (sorted.problems.size() < kMostProblems) sorted.problems.push_back({name, std::move(text)});
  };
  for (const auto& [name, value] : annotations) {
    const std::size_t slash = name.find('/');
    if (slash == std::string::npos) continue;
    const auto container = container_of(std::string_view(name).substr(0, slash));
    if (!container) continue;
    const auto key = annotation_of(std::string_view(name).substr(slash + 1));
    const auto of = std::find(container_names.begin(), container_names.end(), *container);
    if (!key) {
      complain(name, "no annotation of Plimsoll; there are " + all_names() + "; ignored");
    } else if (container->empty()) {
      sorted.pod.set(*key, {name, value});
    } else if (of == container_names.end()) {
      complain(name, "the pod has no container " + in_quotes(*container) + "; ignored");
    } else {
      sorted.containers[static_cast<std::size_t>(of - container_names.begin())].set(*key,
                                                                                    {name, value});
    }
  }
  return sorted;
}

std::optional<bool> parse_yes_no(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

}  // namespace plimsoll::agent
