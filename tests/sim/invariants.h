// SPDX-License-Identifier: Apache-2.0
//
// What must hold after each step, whatever happens. Fed with what the cluster knows for certain
// (what the API has answered, who wrote what), never with what the agent believes.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kube/pod.h"
#include "kube/resize.h"
#include "tests/sim/act.h"
#include "tests/sim/api_server.h"
#include "tests/sim/cgroups.h"
#include "tests/sim/kubelet.h"
#include "tests/sim/node_agent.h"

namespace plimsoll::sim {

enum class Rule : std::uint8_t {
  kAllowed,       // no limit in a cgroup above what the API last allowed for it
  kLeaseEnds,     // everything above the spec comes back
  kLeaves,        // and nothing of it is left on a pod that is not managed any more
  kWithin,        // no pod gets more than its author could have asked for
  kProtected,     // no kill while ceiling, API and budgets had room
  kInNobodysWay,  // no request of another fails because of us
  kFewRequests,
  kBoundedMemory,
  kRests,      // where nothing comes and no time has passed, there is no turn
  kExplained,  // the state file explains every limit
  kAlone,      // one agent has the node
};
std::string_view to_string(Rule rule);

struct Violation {
  Rule rule = Rule::kAllowed;
  MonotonicTime at;
  std::string text;
};

class Invariants {
 public:
  Invariants(const ApiServer& api, const Kubelet& kubelet, const Cgroups& cgroups)
      : api_(api), kubelet_(kubelet), cgroups_(cgroups) {}

  // ---- what happens
  void set_factor(double factor, MonotonicTime now);
  void declared(const kube::Pod& pod, MonotonicTime now);  // by anybody but us
  // The agent has been told that this is stored.
  void told(const kube::Pod& pod);
  void opted(const std::string& uid, bool in, MonotonicTime now);
  void capped(const std::string& uid, Bytes ceiling);
  void agent_began(MonotonicTime now) { agent_since_ = now; }
  void agent_ended() { agent_since_.reset(); }
  // `resizes`: it knows the subresource.
  void api_is(bool answers, bool resizes, MonotonicTime now);
  void watch_is(bool follows, MonotonicTime now);
  void admission_changed(MonotonicTime now);
  // The API has answered a request of the agent's.
  void answered(const agent::SendResize& send, const agent::ResizeOutcome& outcome,
                MonotonicTime now);
  void asked(const agent::SendResize& send, MonotonicTime now);
  void foreign_write(const std::string& uid, MonotonicTime now) { foreign_[uid] = now; }
  void kubelet_is(bool good, MonotonicTime now) {
    kubelet_good_ = good;
    kubelet_since_ = now;
  }
  void disk(bool full) { disk_full_ = full; }

  // ---- what must hold
  std::optional<Violation> after_step(NodeAgent* agent, MonotonicTime now);
  // `need` is what the program wanted when it was killed.
  std::optional<Violation> killed(const std::string& uid, const std::string& name, Bytes need,
                                  MonotonicTime now) const;
  std::optional<Violation> failed(const FailedWrite& write, MonotonicTime now) const;
  // A turn that nothing but its own wish has called.
  std::optional<Violation> woke(MonotonicTime now);
  // A second agent has got the node while one has it.
  static Violation both(MonotonicTime now);
  static std::optional<Violation> grew(Bytes bytes, MonotonicTime now);

 private:
  using Key = std::pair<std::string, std::string>;  // uid, container
  // Of one limit.
  template <class Amount>
  struct Said {
    std::map<Amount, MonotonicTime> yes;  // what the API has said yes to, and until when it holds
    Amount emergency;                     // what it had while the API did not answer
    Amount before;                        // in the step before
    std::optional<MonotonicTime> over_since;  // above what is allowed
  };
  struct Known {
    Bytes declared;  // the largest that others have declared
    Bytes declared_now;
    MonotonicTime declared_at;
    std::optional<MonotonicTime> too_high_since;  // the spec, with no need of it
    kube::Amounts told;                           // the limits that it knows of
    Said<Bytes> memory;
    Said<MilliCpu> cpu;
    std::optional<MonotonicTime> quiet_since;  // above the spec, and not needed
  };
  struct KnownPod {
    bool in = false;
    MonotonicTime opted_at;
    std::optional<Bytes> cap;
  };
  template <class Amount>
  void note_answer(Said<Amount>& said, Amount asked, const std::optional<Amount>& stored,
                   const agent::ResizeOutcome& outcome, MonotonicTime now);
  // What `limit` may be at most; absent: it is no more.
  template <class Amount>
  std::optional<Amount> exceeds(Said<Amount>& said, Amount limit, Amount declared, Amount in_use,
                                bool in_time, MonotonicTime now) const;
  std::optional<Violation> check(const kube::Pod& pod, const RunningContainer& container,
                                 NodeAgent* agent, MonotonicTime now);

  const ApiServer& api_;
  const Kubelet& kubelet_;
  const Cgroups& cgroups_;
  std::map<Key, Known> known_;
  std::map<std::string, KnownPod> pods_;
  std::map<std::string, MonotonicTime> foreign_;
  std::map<std::string, std::deque<MonotonicTime>> requests_;
  std::optional<Violation> too_many_;
  double factor_ = 4;
  double factor_before_ = 4;
  MonotonicTime factor_at_;
  std::optional<MonotonicTime> agent_since_;
  bool answers_ = true;
  bool outage_ = false;  // there was one
  MonotonicTime answers_since_;
  bool resizes_ = true;
  MonotonicTime resizes_since_;
  Nanoseconds could_not_{};  // for so long, before it could again
  bool follows_ = true;
  MonotonicTime follows_since_;
  MonotonicTime admission_since_;
  std::optional<MonotonicTime> admission_first_;
  bool disk_full_ = false;
  std::deque<MonotonicTime> wakes_;
  bool kubelet_good_ = true;
  MonotonicTime kubelet_since_;
};

}  // namespace plimsoll::sim
