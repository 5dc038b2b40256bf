// SPDX-License-Identifier: Apache-2.0
#include "agent/apiserver/probe.h"

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/fd.h"
#include "base/wakeup.h"
#include "kube/access_review.h"
#include "kube/backoff.h"
#include "kube/status.h"

namespace plimsoll::agent {
namespace {

// The reply's body, or why there is none.
Result<std::string> body_of(const SendRequest& send, const kube::Request& request) {
  const kube::Reply reply = send(request);
  if (!reply) return tl::unexpected(reply.error().error);
  if (!kube::is_success(reply->status)) {
    const kube::Refusal refusal = kube::classify(*reply);
    return fail(refusal.code, refusal.message);
  }
  return reply->body;
}

// A refusal is an answer; only a server that does not answer makes the round worthless.
bool is_away(const Error& error) { return error.code == Code::kUnavailable; }

}  // namespace

Result<ApiFacts> ask_api(const SendRequest& send, const std::string& node_name) {
  ApiFacts facts;
  const auto version = body_of(send, kube::version_request()).and_then([](const std::string& body) {
    return kube::parse_version(body);
  });
  if (!version) return tl::unexpected(version.error());
  const auto listed =
      body_of(send, kube::discovery_request()).and_then([](const std::string& body) {
        return kube::lists_resize(body);
      });
  if (!listed) return tl::unexpected(listed.error());
  facts.version = *version;
  facts.path = kube::resize_path(*version, *listed);

  const auto node =
      body_of(send, kube::node_request(node_name)).and_then([](const std::string& body) {
        return kube::parse_node(body);
      });
  if (!node && is_away(node.error())) return tl::unexpected(node.error());
  if (node) {
    facts.node = *node;
  } else {
    facts.trouble = "the Node object: " + node.error().message;
  }
  if (facts.path == kube::ResizePath::kNone) return facts;
  const bool subresource = facts.path == kube::ResizePath::kSubresource;
  const auto access =
      body_of(send, kube::access_request({.verb = "patch",
                                          .resource = "pods",
                                          .subresource = subresource ? "resize" : ""}))
          .and_then([](const std::string& body) { return kube::parse_access_answer(body); });
  if (!access && is_away(access.error())) return tl::unexpected(access.error());
  if (access) {
    facts.may_resize = access->allowed;
  } else {
    facts.trouble +=
        (facts.trouble.empty() ? "" : "; ") + ("our rights: " + access.error().message);
  }
  return facts;
}

struct ApiProbe::Impl {
  std::unique_ptr<kube::Client> client;
  std::string node_name;
  std::minstd_rand random;
  Wakeup found_facts;

  std::mutex mutex;  // of what follows
  std::condition_variable woken;
  bool stopping = false;
  bool asked = true;
  std::optional<ApiFacts> facts;

  std::thread thread;

  void run() {
    kube::Backoff backoff;
    MonotonicTime not_before = monotonic_now();
    std::unique_lock lock(mutex);
    while (!stopping) {
      if (!asked) {
        woken.wait(lock);
        continue;
      }
      if (monotonic_now() < not_before) {
        woken.wait_until(lock, not_before);
        continue;
      }
      asked = false;
      lock.unlock();
      auto found = ask_api([this](const kube::Request& request) { return client->send(request); },
                           node_name);
      lock.lock();
      if (found) {
        facts = std::move(*found);
        backoff.reset();
        found_facts.ring();
      } else {
        asked = true;
        const double share = std::uniform_real_distribution<double>(0, 1)(random);
        not_before = monotonic_now() + backoff.next(monotonic_now(), share);
      }
    }
  }
};

ApiProbe::ApiProbe(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<ApiProbe>> ApiProbe::start(std::unique_ptr<kube::Client> client,
                                                  std::string node_name, std::uint64_t seed) {
  auto impl = std::make_unique<Impl>();
  impl->client = std::move(client);
  impl->node_name = std::move(node_name);
  impl->random.seed(static_cast<std::minstd_rand::result_type>(seed));
  auto wakeup = Wakeup::make();
  if (!wakeup) return tl::unexpected(wakeup.error());
  impl->found_facts = std::move(*wakeup);
  impl->thread = std::thread([raw = impl.get()] { raw->run(); });
  return std::unique_ptr<ApiProbe>(new ApiProbe(std::move(impl)));
}

ApiProbe::~ApiProbe() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->woken.notify_all();
  impl_->client->stop();
  impl_->thread.join();
}

void ApiProbe::ask_again() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->asked = true;
  }
  impl_->woken.notify_all();
}

std::optional<ApiFacts> ApiProbe::take() {
  const std::lock_guard lock(impl_->mutex);
  impl_->found_facts.clear();
  return std::exchange(impl_->facts, std::nullopt);
}

int ApiProbe::fact_fd() const { return impl_->found_facts.fd(); }

}  // namespace plimsoll::agent
