// SPDX-License-Identifier: Apache-2.0
#include "kube/kubeconfig.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/kube/scratch_directory.h"

namespace plimsoll::kube::kubeconfig_test {
namespace {

// One context; what the cluster and the user hold is the test's.
std::string kubeconfig(const std::string& cluster, const std::string& user) {
  return R"(apiVersion: v1
kind: Config
current-context: here
contexts:
- name: there
  context: {cluster: other, user: other}
- name: here
  context: {cluster: mine, user: me, namespace: demo}
clusters:
- name: mine
  cluster: {)" +
         cluster + R"(}
users:
- name: me
  user: {)" +
         user + "}\n";
}

constexpr const char* kServer = "server: 'https://10.0.0.1:6443'";
constexpr const char* kToken = "token: secret";

TEST(Kubeconfig, TheCurrentContextIsUsed) {
  const auto config = parse_kubeconfig(
      kubeconfig(std::string(kServer) + ", certificate-authority: ca.pem", kToken), "/home/me");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->server, "https://10.0.0.1:6443");
  EXPECT_EQ(config->credentials.ca, (CredentialSource{.file = "/home/me/ca.pem"}));
  EXPECT_EQ(config->credentials.token, (CredentialSource{.text = "secret"}));
  EXPECT_TRUE(config->credentials.certificate.absent());
  EXPECT_TRUE(config->credentials.key.absent());
  EXPECT_EQ(config->tls_server_name, "");
}

TEST(Kubeconfig, AbsolutePathsStay) {
  const auto config =
      parse_kubeconfig(kubeconfig(std::string(kServer) + ", certificate-authority: /etc/ca.pem",
                                  "client-certificate: /etc/me.crt, client-key: keys/me.key"),
                       "/home/me");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->credentials.ca.file, "/etc/ca.pem");
  EXPECT_EQ(config->credentials.certificate.file, "/etc/me.crt");
  EXPECT_EQ(config->credentials.key.file, "/home/me/keys/me.key");
}

TEST(Kubeconfig, DataComesBeforeAFile) {
  const auto config = parse_kubeconfig(
      kubeconfig(std::string(kServer) +
                     ", certificate-authority: ca.pem, certificate-authority-data: Y2E=",
                 "client-certificate-data: Y2VydA==, client-key-data: a2V5"),
      "/");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->credentials.ca, (CredentialSource{.text = "ca"}));
  EXPECT_EQ(config->credentials.certificate, (CredentialSource{.text = "cert"}));
  EXPECT_EQ(config->credentials.key, (CredentialSource{.text = "key"}));
}

TEST(Kubeconfig, ATokenFileComesBeforeAToken) {
  const auto config =
      parse_kubeconfig(kubeconfig(kServer, "token: old, tokenFile: /run/token"), "/");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->credentials.token, (CredentialSource{.file = "/run/token"}));
}

TEST(Kubeconfig, TheTlsNameIsKept) {
  const auto config = parse_kubeconfig(
      kubeconfig(std::string(kServer) + ", tls-server-name: kube.example", kToken), "/");
  EXPECT_EQ(config->tls_server_name, "kube.example");
}

TEST(Kubeconfig, JsonIsReadToo) {
  const auto config = parse_kubeconfig(
      R"({"current-context":"a","contexts":[{"name":"a","context":{"cluster":"c","user":"u"}}],
          "clusters":[{"name":"c","cluster":{"server":"https://h"}}],
          "users":[{"name":"u","user":{"token":"t"}}]})",
      "/");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->server, "https://h");
}

TEST(Kubeconfig, WhatIsNotSupportedIsNamedAndExplained) {
  struct Row {
    std::string cluster;
    std::string user;
    std::string named;
  };
  const std::string server = kServer;
  for (const Row& row : std::vector<Row>{
           {server, "exec: {command: aws-iam-authenticator}", "exec runs a program"},
           {server, "token: a, exec: {command: x}", "exec runs a program"},
           {server, "auth-provider: {name: gcp}", "auth-provider was removed"},
           {server, "username: a, password: b", "username is a password login"},
           {server, "token: a, as: admin", "as acts for somebody else"},
           {server + ", insecure-skip-tls-verify: true", kToken, "insecure-skip-tls-verify"},
           {server + ", insecure-skip-tls-verify: 'yes'", kToken, "insecure-skip-tls-verify"},
           {server + ", proxy-url: 'http://p'", kToken, "proxy-url is not supported"},
       }) {
    const auto config = parse_kubeconfig(kubeconfig(row.cluster, row.user), "/");
    ASSERT_FALSE(config) << row.named;
    EXPECT_EQ(config.error().code, Code::kUnsupported);
    EXPECT_NE(config.error().message.find(row.named), std::string::npos) << config.error().message;
    EXPECT_EQ(config.error().message.find("secret"), std::string::npos);
  }
}

TEST(Kubeconfig, WhatIsNotUsedMayBeUnsupported) {
  std::string text = kubeconfig(std::string(kServer) + ", insecure-skip-tls-verify: false", kToken);
  text += "- name: other\n  user: {exec: {command: x}}\n";
  EXPECT_TRUE(parse_kubeconfig(text, "/"));
}

TEST(Kubeconfig, WhatIsMissingOrWrongIsNamed) {
  const std::string good = kubeconfig(kServer, kToken);
  const auto without = [&](const std::string& part, const std::string& instead) {
    std::string text = good;
    text.replace(text.find(part), part.size(), instead);
    return text;
  };
  for (const auto& [text, named] : std::vector<std::pair<std::string, std::string>>{
           {"", "is no map"},
           {"- a", "is no map"},
           {"a: [", "line "},
           {without("current-context: here", ""), "no current-context"},
           {without("current-context: here", "current-context: nowhere"), "no 'nowhere'"},
           {without("cluster: mine", "cluster: other"), "no 'other' in clusters"},
           {without("user: me", "user: you"), "no 'you' in users"},
           {without("user: me, ", ""), "needs a cluster and a user"},
           {without("cluster: {server", "clusters: {server"), "has no cluster"},
           {without(kServer, ""), "has no server"},
           {without(kToken, ""), "has no token"},
           {without(kToken, "client-certificate: a"), "need each other"},
           {without(kToken, "client-certificate-data: '*'"), "is no base64"},
           {without(kToken, "token: [a]"), "has no token"},
       }) {
    const auto config = parse_kubeconfig(text, "/");
    ASSERT_FALSE(config) << text;
    EXPECT_EQ(config.error().code, Code::kMalformed) << config.error().message;
    EXPECT_NE(config.error().message.find(named), std::string::npos)
        << named << ": " << config.error().message;
  }
}

TEST(Kubeconfig, AFileIsReadWithItsDirectory) {
  const ScratchDirectory directory;
  directory.write("config", kubeconfig(kServer, "tokenFile: token"));
  const auto config = load_kubeconfig(directory / "config");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->credentials.token.file, directory / "token");
  EXPECT_EQ(load_kubeconfig(directory / "none").error().code, Code::kGone);
}

}  // namespace
}  // namespace plimsoll::kube::kubeconfig_test
