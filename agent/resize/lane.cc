// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/lane.h"

namespace plimsoll::agent {
namespace {

using kube::Resizability;

// A reason against any growth at all, by whatever way; the others only rule out the API.
bool rules_out_growth(Resizability why) {
  switch (why) {
    case Resizability::kOtherNode:
    case Resizability::kWindows:
    case Resizability::kBestEffort:
    case Resizability::kFinished:
    case Resizability::kNoSuchContainer:
    case Resizability::kNotRunning:
    case Resizability::kNoLimit:
    case Resizability::kNoRequest:
      return true;
    default:
      return false;
  }
}

std::uint64_t mixed(std::uint64_t x) {  // the finalizer of splitmix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

std::uint64_t hashed(std::string_view text) {  // FNV-1a
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

}  // namespace

template <class Amount>
std::optional<Range<Amount>> Lane<Amount>::range() const {
  if (policy == nullptr) return std::nullopt;
  Range<Amount> range;
  if constexpr (kMemory) {
    range = {policy->floor, policy->ceiling};
  } else {
    if (!policy->cpu || !own.spec) return std::nullopt;
    range = {policy->cpu->floor, policy->cpu->most()};
  }
  range.floor = own.floor.value_or(range.floor);
  range.most = std::max(range.most, range.floor);
  return range;
}

template <class Amount>
bool Lane<Amount>::wants_dry_run() const {
  const std::optional<Range<Amount>> range = this->range();
  return range && policy->actuation == Actuation::kResizeThenCgroup && !policy->dry_run &&
         may_try() && !yielding() && range->most > spec();
}

// By what the author and the operator want.
template <class Amount>
bool Lane<Amount>::is_written() const {
  return !policy->dry_run && policy->actuation != Actuation::kResize;
}

template <class Amount>
bool Lane<Amount>::only_files() const {
  return policy->actuation == Actuation::kCgroup || !resizable();
}

// No further than what is stored already.
template <class Amount>
bool Lane<Amount>::is_held() const {
  return yielding() || rules_out_growth(step.state.resizable) || rules_out_growth(own.resizable);
}

// By the operator's word, whatever the API server would say, or as nobody asks it.
template <class Amount>
bool Lane<Amount>::needs_no_word() const {
  if (policy->actuation == Actuation::kCgroup || step.config.fallback.on_refusal) return true;
  if (may_try() || own.allowance.asked) return !step.config.preflight && !own.allowance.refused;
  return kMemory && policy->unasked && !step.unsupported();
}

// Of a limit that may grow, as far as somebody has said.
template <class Amount>
Amount Lane<Amount>::writable(Amount most, Amount base) const {
  if (needs_no_word()) return most;
  const Allowance<Amount>& said = own.allowance;
  Amount upto = said.upto;
  // Nobody could be asked before the API server went away: half as much again.
  if (!said.asked && !said.refused && step.facts.api.away && may_try()) {
    upto = std::max(upto, base + Amount{base.value / 2});
  }
  return std::max(std::min(upto, most), base);
}

template <class Amount>
Amount Lane<Amount>::confirmed() const {
  if constexpr (kMemory) {
    const auto& refused = own.allowance.refused;
    return refused && refused->by_kubelet ? own.allowance.upto : step.ground(container);
  } else {
    const std::optional<Range<MilliCpu>> range = this->range();
    return range ? std::clamp(*own.spec, range->floor, range->most) : spec();
  }
}

template <class Amount>
Allowed<Amount> Lane<Amount>::allowed() const {
  const std::optional<Range<Amount>> range = this->range();
  const Amount base = confirmed();
  Allowed<Amount> result{.write = kMemory ? Amount{} : base, .ask = spec(), .wish = spec()};
  if (!range) return result;
  const bool held = is_held();
  if (!is_written()) {
    if (!kMemory) result.write = range->floor;
  } else if (!held && !(kMemory && policy->leaving)) {
    result.write = writable(range->most, base);
  }
  if (through_api() && !held) {
    result.ask = range->most;
    const auto& refused = own.allowance.refused;
    if (refused && refused->ask_upto && step.now < refused->retry_at) {
      result.ask = std::max(std::min(range->most, *refused->ask_upto), spec());
    }
  }
  const bool nobody_bounds = !held && (policy->dry_run || policy->actuation == Actuation::kCgroup);
  const Amount so_far = std::max({spec(), held ? spec() : result.write, result.ask});
  result.wish = nobody_bounds ? range->most : std::min(range->most, so_far);
  return result;
}

template <class Amount>
EngineBounds<Amount> Lane<Amount>::bounds() const {
  const std::optional<Range<Amount>> range = this->range();
  const Allowed<Amount> so_far = allowed();
  EngineBounds<Amount> bounds{
      .floor = spec(), .ceiling = spec(), .direct_ceiling = so_far.write, .direct_floor = spec()};
  if (kMemory) bounds.direct_floor = Amount{step.ground(container).value};
  if (!range) return bounds;
  bounds.floor = range->floor;
  if constexpr (!kMemory) {
    bounds.ceiling = range->most;
    const bool stays = !is_written() || is_held();
    bounds.direct_floor = stays ? std::max(range->floor, spec()) : range->floor;
    return bounds;
  }
  bounds.ceiling = so_far.wish;
  const bool no_api = only_files();
  if (no_api && !policy->dry_run) bounds.direct_floor = range->floor;
  // A limit that cannot be lowered through the API stays; wishes for it would come again and again.
  if (!no_api && step.state.no_decrease) bounds.floor = std::max(range->floor, spec());
  if (step.facts.api.may_ask && !step.facts.api.away && !no_api) {
    bounds.bridge_within =
        scaled_time(step.facts.api.patch_to_limit, step.config.api.latency_factor);
  }
  return bounds;
}

template <class Amount>
void Lane<Amount>::forget_wish() const {
  own.want.reset();
  step.act(ForgetWish{.container = container.name,
                      .resource = kMemory ? Resource::kMemory : Resource::kCpu});
}

template <class Amount>
void Lane<Amount>::note_lowering_refused() const {
  own.lower_retry_at = step.now + step.config.api.refused_backoff_max;
  forget_wish();
}

template <class Amount>
void Lane<Amount>::hold_back(Refused<Amount> refused, std::optional<Nanoseconds> wait) const {
  std::optional<Refused<Amount>>& known = own.allowance.refused;
  refused.backoff =
      wait.value_or(next_refused_backoff(step, known ? known->backoff : Nanoseconds{}));
  refused.retry_at = step.now + refused.backoff;
  known = std::move(refused);
}

template <class Amount>
void Lane<Amount>::note_refused(Amount upto, SaidBy by, Refused<Amount> refused,
                                std::optional<Nanoseconds> wait) const {
  if (!refused.ask_upto) refused.ask_upto = upto;
  hold_back(std::move(refused), wait);
  own.allowance.say(upto, by, step.now);
  if (upto <= spec()) forget_wish();
  if constexpr (kMemory) {
    if (own.want) own.want = upto;
    if (!own.lease) return;
    if (step.config.fallback.on_refusal) {
      own.lease->why = LeaseWhy::kOverride;
    } else {
      own.lease->withdrawing = own.lease->limit > upto;
    }
  }
}

template <class Amount>
void Lane<Amount>::note_in_force(Amount limit) const {
  Allowance<Amount>& known = own.allowance;
  if (!known.refused || !known.refused->by_kubelet || limit <= known.upto) return;
  known = {};
  known.say(limit, SaidBy::kKubelet, step.now);
}

template <class Amount>
ResizeEvent Lane<Amount>::event(ResizeEvent::Kind kind, Amount from, Amount to) const {
  ResizeEvent event{.kind = kind, .change = Change<Amount>{from, to}, .reason = own.reason};
  if constexpr (kMemory) {
    event.layer = own.layer;
    event.bridged = own.lease.has_value();
  } else {
    event.bridged = own.asked && own.asked->to == to && own.asked->written;
  }
  return event;
}

template <class Amount>
void Lane<Amount>::say(ResizeEvent::Kind kind, Amount from, Amount to, std::string_view cause,
                       std::string_view message, int status) const {
  ResizeEvent said = event(kind, from, to);
  said.cause = cause;
  said.message = message;
  if (status != 0) said.status = status;
  step.say(container.name, std::move(said));
}

Nanoseconds next_refused_backoff(const Step& step, Nanoseconds last) {
  return std::clamp(last * 2, step.config.api.refused_backoff, step.config.api.refused_backoff_max);
}

Nanoseconds backoff_of(const PodResize& state, int attempts, Nanoseconds first, Nanoseconds most) {
  const int doublings = std::clamp(attempts - 1, 0, 20);
  const Nanoseconds bound = std::min(most, Nanoseconds(first.count() << doublings));
  const std::uint64_t random =
      mixed(hashed(state.id.uid) + static_cast<std::uint64_t>(attempts) + state.next_id);
  const double share = static_cast<double>(random >> 11) * 0x1p-53;  // [0, 1)
  return scaled_time(bound, (1 + share) / 2);
}

template struct Lane<Bytes>;
template struct Lane<MilliCpu>;

}  // namespace plimsoll::agent
