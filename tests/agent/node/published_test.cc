// SPDX-License-Identifier: Apache-2.0
//
// A whole node agent (tier C, a tree of ordinary files, the fakes of API server and kubelet) to
// which things happen: each is found in its exposition. What only a kernel makes happen is scraped
// in tests/vm.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

#include "agent/engine/engine.h"
#include "agent/node/node_agent.h"
#include "tests/fake_api/fake_api.h"
#include "tests/fake_api/http_client.h"
#include "tests/fake_kubelet/fake_kubelet.h"
#include "tests/kube/scratch_directory.h"
#include "tests/support/cgroup_tree.h"

namespace plimsoll::agent::published_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kConfig =
    "tick: 100ms\n"
    "tier: C\n"
    "pods: {cpu: false}\n"
    "memory: {shrink_after: 1s}\n"
    "budget: {reserve: 0, namespaces: {demo: 1Gi}}\n"
    "log: {level: error}\n";

std::uint16_t free_port() {
  const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{.sin_family = AF_INET};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(::bind(fd.get(), any, size), 0);
  EXPECT_EQ(::getsockname(fd.get(), any, &size), 0);
  return ntohs(address.sin_port);
}

class PublishedTest : public testing::Test {
 protected:
  PublishedTest() {
    test::FakeKubeletOptions options;
    options.api = api_.control_port();
    options.cgroup_root = tree_.path();
    options.made = [this](const std::string& group) { tree_.add(group); };
    options.least_delay = options.most_delay = milliseconds(40);
    options.sandbox = false;
    kubelet_ = std::make_unique<test::FakeKubelet>(options);
    const auto pod = api_.create_pod(test::Json::parse(R"({"apiVersion":"v1","kind":"Pod",
        "metadata":{"namespace":"demo","name":"web","annotations":{"plimsoll.dev/enabled":"true"}},
        "spec":{"nodeName":"node-a","containers":[{"name":"app","image":"a:1","resources":
        {"limits":{"memory":"64Mi"},"requests":{"memory":"32Mi"}}}]}})"));
    EXPECT_EQ(pod.status, 201) << pod.body.dump();
    EXPECT_TRUE(kubelet_->wait([&] { return kubelet_->settled() == 1; }));
    use(kMiB);
    configure(kConfig);
  }
  ~PublishedTest() override {
    (void)!::eventfd_write(stop_.get(), 1);
    if (turning_.joinable()) turning_.join();
  }

  void start() {
    const auto config = load_config(directory_ / "config.yaml");
    ASSERT_TRUE(config) << config.error().message;
    const AgentOptions options{.node_name = "node-a",
                               .config_file = directory_ / "config.yaml",
                               .api = {.service_host = "127.0.0.1",
                                       .service_port = std::to_string(api_.port()),
                                       .service_account = api_.directory()},
                               .cgroup_root = tree_.path(),
                               .cgroup_filesystem = cgroup::Filesystem::kAny,
                               .state_file = directory_ / "state",
                               .floors_file = directory_ / "floors",
                               .socket = directory_ / "socket",
                               .systemd = std::nullopt};
    auto parts = agent::start(options, *config, {});
    ASSERT_TRUE(parts) << parts.error().message;
    ASSERT_TRUE(*parts);
    auto made = std::make_unique<NodeAgent>(options, std::move(**parts));
    turning_ = std::thread([this, turned = std::move(made)] {
      const auto ended = turned->run(stop_.get());
      EXPECT_TRUE(ended) << ended.error().message;
    });
  }

  // As a ConfigMap changes: at once.
  void configure(const std::string& text) const {
    directory_.write("next",
                     text + "metrics: {address: '127.0.0.1:" + std::to_string(port_) + "'}\n");
    std::filesystem::rename(directory_ / "next", directory_ / "config.yaml");
  }

  std::string group() const { return kubelet_->place("demo/web", "app")->group; }
  void use(std::uint64_t bytes) {
    tree_.set(group(), "memory.current", std::to_string(bytes) + "\n");
  }
  // Usage that rises within a tick, so that the agent has to answer.
  void burst() {
    const std::uint64_t limit = std::stoull(tree_.get(group(), "memory.max"));
    use(limit / 2);
    std::this_thread::sleep_for(milliseconds(300));  // two ticks see it
    use(limit - kMiB);
  }

  // Empty: it does not answer yet.
  std::map<std::string, double> scrape() const {
    std::map<std::string, double> samples;
    const auto reply = test::plain_exchange(port_, {.target = "/metrics"});
    if (!reply) return samples;
    std::istringstream lines(reply->body);
    for (std::string line; std::getline(lines, line);) {
      const std::size_t space = line.rfind(' ');
      if (!line.starts_with('#'))
        samples[line.substr(0, space)] = std::stod(line.substr(space + 1));
    }
    return samples;
  }
  // The sum of all samples that begin so.
  double sum(const std::string& beginning) const {
    double total = 0;
    for (const auto& [name, value] : scrape()) {
      if (name.starts_with(beginning)) total += value;
    }
    return total;
  }
  void reaches(double least, const std::string& beginning) const {
    becomes(beginning, [&](double seen) { return seen >= least; });
  }
  void falls_to(double most, const std::string& beginning) const {
    becomes(beginning, [&](double seen) { return seen <= most; });
  }
  void becomes(const std::string& beginning, const std::function<bool(double)>& so) const {
    double seen = -1;
    for (int i = 0; i < 600; ++i) {
      seen = sum(beginning);
      if (so(seen)) return;
      std::this_thread::sleep_for(milliseconds(50));
    }
    ADD_FAILURE() << beginning << " stays " << seen;
  }

  test::CgroupTree tree_;
  test::FakeApi api_;
  kube::ScratchDirectory directory_;
  std::uint16_t port_ = free_port();
  Fd stop_{::eventfd(0, EFD_CLOEXEC)};
  std::unique_ptr<test::FakeKubelet> kubelet_;
  std::thread turning_;
};

double unix_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

const std::string kRequests = "plimsoll_api_requests_total{verb=";

TEST_F(PublishedTest, WhatTheStartSays) {
  const double before = unix_now();
  start();
  reaches(2, "plimsoll_containers_tracked");
  reaches(1, kRequests + "\"dry_run\"");
  falls_to(0, "plimsoll_containers_unanswered");
  const auto samples = scrape();
  const double taken = samples.at("plimsoll_config_last_reload_success_timestamp_seconds");
  EXPECT_GE(taken, before);
  EXPECT_LE(taken, unix_now());
  EXPECT_GE(sum(kRequests + "\"get\",status=\"2xx\""), 3) << "version, discovery, node";
  EXPECT_GE(sum(kRequests + "\"create\",status=\"2xx\""), 1) << "the rights";
  EXPECT_EQ(sum(kRequests + "\"list\",status=\"2xx\""), 1);
  EXPECT_EQ(samples.at("plimsoll_lost_total{what=\"watch_relists\"}"), 0);
  EXPECT_EQ(samples.at("plimsoll_api_request_seconds_count{verb=\"list\"}"), 1);
  EXPECT_EQ(samples.at("plimsoll_pods"), 1);
  EXPECT_EQ(samples.at("plimsoll_pods_managed"), 1);
  EXPECT_EQ(samples.at("plimsoll_tier{tier=\"C\"}"), 1);
  EXPECT_GE(samples.at("plimsoll_state_writes_total"), 1);
  EXPECT_EQ(samples.at("plimsoll_namespace_budget_bytes{namespace=\"demo\"}"), 1024.0 * kMiB);
  EXPECT_EQ(samples.at("plimsoll_namespace_granted_bytes{namespace=\"demo\"}"), 0);
  // As far as this machine lets a thread be so: another engine in the same place says.
  const auto engine = Engine::start({.tier = bpf::Tier::kC});
  ASSERT_TRUE(engine) << engine.error().message;
  const ReactionQuality quality = (*engine)->status().quality;
  EXPECT_EQ(samples.at("plimsoll_reaction_realtime"),
            quality.realtime && quality.memory_locked ? 1 : 0);
}

TEST_F(PublishedTest, WhoWaitsForTheFirstAnswer) {
  api_.add_fault({.verb = "patch", .kind = test::FaultKind::kRefusal, .refusal = "unavailable"});
  start();
  reaches(1, "plimsoll_containers_unanswered");
  api_.clear_faults();
  falls_to(0, "plimsoll_containers_unanswered");
}

TEST_F(PublishedTest, AWatchAndAListAgain) {
  start();
  reaches(2, "plimsoll_containers_tracked");
  api_.break_connections();
  reaches(1, kRequests + "\"watch\"");
  api_.restart();  // what the watch had seen is not known there any more
  reaches(1, "plimsoll_lost_total{what=\"watch_relists\"}");
  EXPECT_EQ(sum("plimsoll_lost_total{what=\"watch_relists\"}"), 1);
  EXPECT_GE(sum(kRequests + "\"list\",status=\"2xx\""), 2);
}

TEST_F(PublishedTest, AConfigurationRefusedAndTaken) {
  start();
  reaches(2, "plimsoll_containers_tracked");
  const double first = sum("plimsoll_config_last_reload_success_timestamp_seconds");
  configure("tick: never\n");
  reaches(1, "plimsoll_config_reload_failures_total");
  EXPECT_EQ(sum("plimsoll_config_last_reload_successful"), 0);
  EXPECT_EQ(sum("plimsoll_config_last_reload_success_timestamp_seconds"), first);
  reaches(1, "plimsoll_kubernetes_events_total{result=\"posted\"}");
  configure(std::string(kConfig) + "explain: {history: 8}\n");
  reaches(2, "plimsoll_config_generation");
  EXPECT_EQ(sum("plimsoll_config_last_reload_successful"), 1);
  EXPECT_GT(sum("plimsoll_config_last_reload_success_timestamp_seconds"), first);
}

TEST_F(PublishedTest, ARaiseThroughTheApi) {
  start();
  reaches(2, "plimsoll_containers_tracked");
  falls_to(0, "plimsoll_containers_unanswered");
  burst();
  reaches(1, "plimsoll_resizes_total{step=\"applied\"}");
  EXPECT_GE(sum(kRequests + "\"patch\",status=\"2xx\""), 1);
  EXPECT_GE(sum("plimsoll_saves_total"), 1);
  EXPECT_GE(sum("plimsoll_granted_bytes_total"), kMiB);
  reaches(1, "plimsoll_kubernetes_events_total{result=\"posted\"}");
}

TEST_F(PublishedTest, ALeaseThatNobodyConfirms) {
  start();
  reaches(1, kRequests + "\"dry_run\"");
  api_.go();
  reaches(1, kRequests + "\"watch\",status=\"none\"");
  burst();
  reaches(1, "plimsoll_leases_active");
  EXPECT_EQ(sum("plimsoll_leases_expired_total"), 0);
  use(kMiB);
  reaches(1, "plimsoll_leases_expired_total");
  reaches(1, "plimsoll_shrinks_total");
}

}  // namespace
}  // namespace plimsoll::agent::published_test
