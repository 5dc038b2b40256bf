// SPDX-License-Identifier: Apache-2.0
#include "kube/client_config.h"

#include <gtest/gtest.h>

#include <string>

namespace plimsoll::kube::client_config_test {
namespace {

TEST(InCluster, UsesTheServiceAccount) {
  const auto config = in_cluster("10.96.0.1", "443");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->server, "https://10.96.0.1:443");
  EXPECT_EQ(config->credentials.ca.file, "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt");
  EXPECT_EQ(config->credentials.token.file, "/var/run/secrets/kubernetes.io/serviceaccount/token");
  EXPECT_TRUE(config->credentials.certificate.absent());
}

TEST(InCluster, AnIpv6AddressGetsBrackets) {
  EXPECT_EQ(in_cluster("fd00::1", "6443")->server, "https://[fd00::1]:6443");
}

TEST(InCluster, TheDirectoryCanBeGiven) {
  EXPECT_EQ(in_cluster("a", "1", "/x")->credentials.token.file, "/x/token");
}

TEST(InCluster, WhatIsNoHostOrPortIsRefused) {
  for (const char* host : {"", "a b", "a/b", "user@host", "[::1]", "a\n"}) {
    const auto config = in_cluster(host, "443");
    ASSERT_FALSE(config) << host;
    EXPECT_EQ(config.error().code, Code::kMalformed);
  }
  for (const char* port : {"", "0", "65536", "-1", "443x", " 443"}) {
    EXPECT_FALSE(in_cluster("10.96.0.1", port)) << port;
  }
}

}  // namespace
}  // namespace plimsoll::kube::client_config_test
