// SPDX-License-Identifier: Apache-2.0
//
// fake-apiserver: FakeApi as a program, and `fake-apiserver request`, which says one thing to a
// control port. README.md has examples.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "tests/fake_api/fake_api.h"
#include "tests/fake_api/http_client.h"
#include "tests/fake_api/parent.h"

namespace {

using plimsoll::test::FakeApi;
using plimsoll::test::FakeApiOptions;
using plimsoll::test::Json;

std::string read(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

Json document(const std::string& text) {
  auto parsed = plimsoll::test::parse_json_or_yaml(text);
  if (!parsed) throw std::runtime_error(parsed.error().message);
  return *parsed;
}

int serve(const FakeApiOptions& options, const std::vector<std::string>& pods, bool keep) {
  sigset_t ends = plimsoll::test::block_ending_signals();
  if (!keep) plimsoll::test::end_with_parent();
  FakeApi api(options);
  for (const std::string& path : pods) {
    const auto reply = api.create_pod(document(read(path)));
    if (reply.status >= 300) throw std::runtime_error(path + ": " + reply.body.dump());
  }
  const Json where{{"port", api.port()},
                   {"control_port", api.control_port()},
                   {"url", api.url()},
                   {"directory", api.directory()}};
  std::printf("%s\n", where.dump().c_str());
  std::fflush(stdout);
  int signal = 0;
  ::sigwait(&ends, &signal);
  return 0;
}

int request(std::uint16_t port, plimsoll::test::PlainRequest what) {
  if (!what.body.empty()) {
    const std::string text = what.body[0] == '@' ? read(what.body.substr(1)) : what.body;
    what.body = document(text).dump();
  }
  const auto response = plimsoll::test::plain_exchange(port, what);
  if (!response) throw std::runtime_error(response.error().message);
  std::printf("%s\n", response->body.c_str());
  return response->status < 300 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("An API server for tests, on loopback");
  app.require_subcommand(0, 1);
  FakeApiOptions options;
  std::vector<std::string> pods;
  bool keep = false;
  bool no_resize = false;
  app.add_option("--version", options.version, "1.27 to 1.36")->capture_default_str();
  app.add_option("--port", options.port, "of the API, TLS; 0: any")->capture_default_str();
  app.add_option("--control-port", options.control_port, "plain HTTP; 0: any")
      ->capture_default_str();
  app.add_option("--directory", options.directory, "ca.crt, token, namespace, kubeconfig go here");
  app.add_option("--node", options.node, "that the agent's token names")->capture_default_str();
  app.add_option("--agent", options.agent, "the agent's user")->capture_default_str();
  app.add_option("--pod", pods, "a pod to begin with, JSON or YAML; may come often");
  app.add_flag("--no-resize", no_resize, "without InPlacePodVerticalScaling (up to 1.34)");
  app.add_flag("--keep", keep, "go on when the parent ends");

  CLI::App* say = app.add_subcommand("request", "one request to a control port");
  std::uint16_t port = 0;
  plimsoll::test::PlainRequest what;
  std::string type = "application/strategic-merge-patch+json";
  std::string user;
  say->add_option("port", port)->required();
  say->add_option("method", what.method)->required();
  say->add_option("target", what.target)->required();
  say->add_option("body", what.body, "JSON or YAML, or @FILE");
  say->add_option("--type", type, "Content-Type of a PATCH")->capture_default_str();
  say->add_option("--user", user, "who asks; else an admin");
  CLI11_PARSE(app, argc, argv);
  try {
    if (!say->parsed()) {
      options.resize_enabled = !no_resize;
      return serve(options, pods, keep);
    }
    if (what.method == "PATCH") what.headers["Content-Type"] = type;
    if (!user.empty()) what.headers["X-Fake-User"] = user;
    return request(port, what);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fake-apiserver: %s\n", error.what());
    return 1;
  }
}
