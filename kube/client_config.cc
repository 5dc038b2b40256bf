// SPDX-License-Identifier: Apache-2.0
#include "kube/client_config.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <system_error>

namespace plimsoll::kube {
namespace {

bool is_port(std::string_view text) {
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, port);
  return error == std::errc() && rest == end && port != 0;
}

bool is_host(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == ':';
  });
}

}  // namespace

Result<ClientConfig> in_cluster(std::string_view host, std::string_view port,
                                std::string_view directory) {
  if (!is_host(host)) {
    return fail(Code::kMalformed, "KUBERNETES_SERVICE_HOST is no address: '" + std::string(host) +
                                      "'; it is set in every pod");
  }
  if (!is_port(port)) {
    return fail(Code::kMalformed, "KUBERNETES_SERVICE_PORT is no port: '" + std::string(port) +
                                      "'; it is set in every pod");
  }
  const bool is_ipv6 = host.find(':') != std::string_view::npos;
  ClientConfig config;
  config.server = "https://" + (is_ipv6 ? "[" + std::string(host) + "]" : std::string(host)) + ":" +
                  std::string(port);
  config.credentials.ca.file = std::string(directory) + "/ca.crt";
  config.credentials.token.file = std::string(directory) + "/token";
  return config;
}

}  // namespace plimsoll::kube
