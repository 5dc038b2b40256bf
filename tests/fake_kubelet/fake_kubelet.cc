// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_kubelet/fake_kubelet.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "tests/fake_api/pod_resources.h"
#include "tests/fake_kubelet/api_client.h"
#include "tests/fake_kubelet/pod_worker.h"

namespace plimsoll::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kTurn{10};

}  // namespace

struct FakeKubelet::State {
  FakeKubeletOptions options;
  KubeletApi api;
  PodWorker worker;
  mutable std::mutex mutex;
  mutable std::condition_variable turned;
  std::map<std::string, PodState> pods;  // by uid
  std::deque<Json> news;                 // lines of the watch
  std::atomic<bool> stop = false;
  std::thread watcher;
  std::thread loop;

  explicit State(FakeKubeletOptions given)
      : options(std::move(given)), api(options.api, options.node), worker(options, api) {}

  void take(const Json& line);
  void run();
  PodState* find(const std::string& key) {
    const auto found = std::find_if(pods.begin(), pods.end(),
                                    [&](const auto& entry) { return entry.second.key() == key; });
    return found == pods.end() ? nullptr : &found->second;
  }
};

void FakeKubelet::State::take(const Json& line) {
  const Json& object = member(line, "object");
  const std::string uid = text_at(member(object, "metadata"), "uid");
  if (uid.empty()) return;
  const bool known = pods.count(uid) > 0;
  const bool leaves = text_at(line, "type") == "DELETED" ||
                      member(object["metadata"], "deletionTimestamp").is_string();
  if (leaves) {
    if (!known) return;
    worker.remove(pods[uid]);
    if (text_at(line, "type") != "DELETED") api.confirm_deletion(pods[uid]);
    pods.erase(uid);
    return;
  }
  if (known) {
    worker.changed(pods[uid], object);
  } else if (auto pod = worker.admit(object)) {
    pods.emplace(uid, std::move(*pod));
  }
}

void FakeKubelet::State::run() {
  while (!stop) {
    {
      std::unique_lock lock(mutex);
      turned.wait_for(lock, kTurn, [&] { return stop || !news.empty(); });
      while (!news.empty()) {
        const Json line = std::move(news.front());
        news.pop_front();
        take(line);
      }
      for (auto& [uid, pod] : pods) worker.turn(pod);
    }
    turned.notify_all();
    // Somebody who waits for the lock gets it.
    std::this_thread::yield();
  }
}

FakeKubelet::FakeKubelet(FakeKubeletOptions options)
    : state_(std::make_unique<State>(std::move(options))) {
  const Result<void> registered =
      state_->api.register_node(state_->options.cpu, state_->options.memory);
  if (!registered) throw std::runtime_error(registered.error().message);
  State* state = state_.get();
  state->watcher = std::thread([state] {
    state->api.watch(state->stop, [state](Json line) {
      const std::lock_guard lock(state->mutex);
      state->news.push_back(std::move(line));
      state->turned.notify_all();
    });
  });
  state->loop = std::thread([state] { state->run(); });
}

FakeKubelet::~FakeKubelet() {
  state_->stop = true;
  state_->turned.notify_all();
  state_->watcher.join();
  state_->loop.join();
  for (auto& [uid, pod] : state_->pods) state_->worker.remove(pod);
}

void FakeKubelet::set_mode(const std::string& pod, ResizeMode mode) {
  const std::lock_guard lock(state_->mutex);
  state_->worker.set_mode(pod, mode);
}

void FakeKubelet::set_delay(milliseconds least, milliseconds most) {
  const std::lock_guard lock(state_->mutex);
  state_->worker.set_delay(least, most);
}

bool FakeKubelet::daemon_reload(const std::string& pod) {
  const std::lock_guard lock(state_->mutex);
  PodState* found = state_->find(pod);
  if (found != nullptr) state_->worker.cgroups().reset(*found);
  return found != nullptr;
}

bool FakeKubelet::restart_container(const std::string& pod, const std::string& container) {
  const std::lock_guard lock(state_->mutex);
  PodState* found = state_->find(pod);
  return found != nullptr && state_->worker.restart(*found, container);
}

bool FakeKubelet::write_slice(const std::string& pod, std::int64_t bytes) {
  const std::lock_guard lock(state_->mutex);
  PodState* found = state_->find(pod);
  if (found != nullptr) state_->worker.cgroups().write_slice(*found, bytes);
  return found != nullptr;
}

std::optional<ContainerPlace> FakeKubelet::place(const std::string& pod,
                                                 const std::string& container) const {
  const std::lock_guard lock(state_->mutex);
  const PodState* found = state_->find(pod);
  if (found == nullptr) return std::nullopt;
  for (const ContainerState& one : found->containers) {
    if (one.name != container) continue;
    ContainerPlace place{one.id, found->slice, one.group, one.running, one.ready(), one.restarts};
    if (one.running) place.running_since = one.running_since;
    place.pod_ready_since = found->ready_since;
    return place;
  }
  return std::nullopt;
}

std::size_t FakeKubelet::settled() const {
  const std::lock_guard lock(state_->mutex);
  return static_cast<std::size_t>(
      std::count_if(state_->pods.begin(), state_->pods.end(), [](const auto& entry) {
        const PodState& pod = entry.second;
        return pod.phase == PodState::Phase::kNone && same_amounts(pod.spec, pod.allocated) &&
               std::all_of(pod.containers.begin(), pod.containers.end(),
                           [](const ContainerState& one) { return one.running; });
      }));
}

bool FakeKubelet::wait(const std::function<bool()>& condition, milliseconds most) const {
  const auto end = KubeletClock::now() + most;
  while (!condition()) {
    if (KubeletClock::now() >= end) return false;
    std::unique_lock lock(state_->mutex);
    state_->turned.wait_for(lock, kTurn);
  }
  return true;
}

}  // namespace plimsoll::test
