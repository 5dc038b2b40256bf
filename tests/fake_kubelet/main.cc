// SPDX-License-Identifier: Apache-2.0
//
// fake-kubelet: FakeKubelet as a program. tests/fake_api/README.md has examples.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <stdexcept>

#include "tests/fake_api/http_server.h"
#include "tests/fake_api/list_api.h"
#include "tests/fake_api/parent.h"
#include "tests/fake_kubelet/control.h"
#include "tests/fake_kubelet/fake_kubelet.h"

namespace {

using plimsoll::test::FakeKubelet;
using plimsoll::test::FakeKubeletOptions;
using plimsoll::test::Json;

int serve(const FakeKubeletOptions& options, std::uint16_t control_port, bool keep) {
  sigset_t ends = plimsoll::test::block_ending_signals();
  if (!keep) plimsoll::test::end_with_parent();
  FakeKubelet kubelet(options);
  plimsoll::test::HttpServer control(
      [&kubelet](const plimsoll::test::HttpRequest& request, plimsoll::test::Exchange& exchange) {
        plimsoll::test::send(exchange, plimsoll::test::kubelet_control_reply(kubelet, request));
      },
      control_port, nullptr);
  const Json where{{"control_port", control.port()}};
  std::printf("%s\n", where.dump().c_str());
  std::fflush(stdout);
  int signal = 0;
  ::sigwait(&ends, &signal);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("A kubelet for tests, beside fake-apiserver");
  FakeKubeletOptions options;
  std::uint16_t control_port = 0;
  std::string driver = "systemd";
  int least = 300;
  int most = 700;
  int error = 11'000;
  int backoff = 10'000;
  bool keep = false;
  bool no_sandbox = false;
  app.add_option("--api", options.api, "control port of fake-apiserver")->required();
  app.add_option("--control-port", control_port, "0: any")->capture_default_str();
  app.add_option("--node", options.node)->capture_default_str();
  app.add_option("--cpu", options.cpu, "allocatable")->capture_default_str();
  app.add_option("--memory", options.memory, "allocatable")->capture_default_str();
  app.add_option("--cgroup-root", options.cgroup_root, "where cgroup2 is mounted")
      ->capture_default_str();
  app.add_option("--driver", driver, "systemd or cgroupfs")
      ->check(CLI::IsMember({"systemd", "cgroupfs"}))
      ->capture_default_str();
  app.add_option("--runtime", options.layout.runtime)
      ->check(CLI::IsMember({"containerd", "cri-o", "docker"}))
      ->capture_default_str();
  app.add_option("--prefix", options.layout.prefix, "names above kubepods, as --cgroup-root has");
  app.add_option("--logs", options.logs, "directory for the containers' output");
  app.add_option("--least-delay", least, "ms, of a resize")->capture_default_str();
  app.add_option("--most-delay", most, "ms, of a resize")->capture_default_str();
  app.add_option("--error-delay", error, "ms, until a failed lowering says so")
      ->capture_default_str();
  app.add_option("--backoff", backoff, "ms, of the second restart")->capture_default_str();
  app.add_flag("--slice-left-small", options.slice_left_small, "k/k#138760");
  app.add_flag("--no-sandbox", no_sandbox, "without the pause container's cgroup");
  app.add_flag("--keep", keep, "go on when the parent ends");
  CLI11_PARSE(app, argc, argv);
  options.layout.systemd = driver == "systemd";
  options.least_delay = std::chrono::milliseconds(least);
  options.most_delay = std::chrono::milliseconds(most);
  options.error_delay = std::chrono::milliseconds(error);
  options.backoff = std::chrono::milliseconds(backoff);
  options.sandbox = !no_sandbox;
  try {
    return serve(options, control_port, keep);
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "fake-kubelet: %s\n", problem.what());
    return 1;
  }
}
