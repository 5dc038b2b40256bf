// SPDX-License-Identifier: Apache-2.0
#include "kube/kubeconfig.h"

#include <yaml-cpp/yaml.h>

#include <array>
#include <optional>
#include <utility>

#include "base/file.h"
#include "kube/base64.h"

namespace plimsoll::kube {
namespace {

struct Unsupported {
  const char* key;
  std::string_view instead;
};

constexpr std::array kUserUnsupported = {
    Unsupported{"exec",
                "runs a program for a token; use a token, a tokenFile or a client "
                "certificate"},
    Unsupported{"auth-provider",
                "was removed from Kubernetes; use a token, a tokenFile or a "
                "client certificate"},
    Unsupported{"username", "is a password login, which the API server does not have any more"},
    Unsupported{"password", "is a password login, which the API server does not have any more"},
    Unsupported{"as", "acts for somebody else; use that one's own credentials"},
    Unsupported{"as-uid", "acts for somebody else; use that one's own credentials"},
    Unsupported{"as-groups", "acts for somebody else; use that one's own credentials"},
    Unsupported{"as-user-extra", "acts for somebody else; use that one's own credentials"},
};
constexpr std::array kClusterUnsupported = {
    Unsupported{"proxy-url", "is not supported; the API server must be reached directly"},
};

// A scalar under `key`; absent: there is none, or it is empty.
std::optional<std::string> text_of(const YAML::Node& map, const char* key) {
  const YAML::Node node = map.IsMap() ? map[key] : YAML::Node();
  if (!node.IsDefined() || !node.IsScalar() || node.Scalar().empty()) return std::nullopt;
  return node.Scalar();
}

tl::unexpected<Error> malformed(std::string what) {
  return fail(Code::kMalformed, "kubeconfig: " + std::move(what));
}

// contexts, clusters and users are lists of {name, <key>: {...}}.
Result<YAML::Node> named(const YAML::Node& root, const char* list, const char* key,
                         const std::string& name) {
  const YAML::Node entries = root[list];
  if (entries.IsDefined() && entries.IsSequence()) {
    for (const YAML::Node& entry : entries) {
      if (text_of(entry, "name") != name) continue;
      const YAML::Node found = entry[key];
      if (found.IsDefined() && found.IsMap()) return found;
      return malformed(std::string(list) + " '" + name + "' has no " + key);
    }
  }
  return malformed("no '" + name + "' in " + list);
}

template <std::size_t kCount>
Result<void> refuse(const YAML::Node& map, const std::array<Unsupported, kCount>& unsupported,
                    const std::string& where) {
  for (const Unsupported& one : unsupported) {
    const YAML::Node node = map[one.key];
    if (!node.IsDefined() || node.IsNull()) continue;
    return fail(Code::kUnsupported,
                "kubeconfig: " + where + ": " + one.key + " " + std::string(one.instead));
  }
  return {};
}

// `key`-data holds the value itself and comes before `key`, the path of a file.
Result<CredentialSource> source_of(const YAML::Node& map, const std::string& key,
                                   std::string_view directory) {
  if (const auto data = text_of(map, (key + "-data").c_str())) {
    auto decoded = decode_base64(*data);
    if (!decoded || decoded->empty()) return malformed(key + "-data is no base64");
    return CredentialSource{.text = std::move(*decoded)};
  }
  auto path = text_of(map, key.c_str());
  if (!path) return CredentialSource{};
  if (!path->starts_with('/')) path = std::string(directory) + "/" + *path;
  return CredentialSource{.file = std::move(*path)};
}

Result<CredentialSource> token_of(const YAML::Node& user, std::string_view directory) {
  auto file = source_of(user, "tokenFile", directory);
  if (!file || !file->absent()) return file;
  return CredentialSource{.text = text_of(user, "token").value_or("")};
}

Result<ClientConfig> read_cluster(const YAML::Node& cluster, const std::string& name,
                                  std::string_view directory) {
  const std::string where = "cluster '" + name + "'";
  if (auto fine = refuse(cluster, kClusterUnsupported, where); !fine) {
    return tl::unexpected(fine.error());
  }
  const auto insecure = text_of(cluster, "insecure-skip-tls-verify");
  if (insecure && *insecure != "false") {
    return fail(Code::kUnsupported, "kubeconfig: " + where +
                                        ": insecure-skip-tls-verify would trust anybody; give "
                                        "the cluster's certificate-authority");
  }
  ClientConfig config;
  const auto server = text_of(cluster, "server");
  if (!server) return malformed(where + " has no server");
  config.server = *server;
  config.tls_server_name = text_of(cluster, "tls-server-name").value_or("");
  auto ca = source_of(cluster, "certificate-authority", directory);
  if (!ca) return tl::unexpected(ca.error());
  config.credentials.ca = std::move(*ca);
  return config;
}

Result<void> read_user(const YAML::Node& user, const std::string& name, std::string_view directory,
                       CredentialSources& credentials) {
  if (auto fine = refuse(user, kUserUnsupported, "user '" + name + "'"); !fine) return fine;
  auto token = token_of(user, directory);
  if (!token) return tl::unexpected(token.error());
  auto certificate = source_of(user, "client-certificate", directory);
  if (!certificate) return tl::unexpected(certificate.error());
  auto key = source_of(user, "client-key", directory);
  if (!key) return tl::unexpected(key.error());
  if (certificate->absent() != key->absent()) {
    return malformed("user '" + name + "': client-certificate and client-key need each other");
  }
  if (token->absent() && certificate->absent()) {
    return malformed("user '" + name + "' has no token, tokenFile or client certificate");
  }
  credentials.token = std::move(*token);
  credentials.certificate = std::move(*certificate);
  credentials.key = std::move(*key);
  return {};
}

Result<ClientConfig> read_config(const YAML::Node& root, std::string_view directory) {
  if (!root.IsMap()) return malformed("is no map");
  const auto context_name = text_of(root, "current-context");
  if (!context_name) return malformed("has no current-context");
  const auto context = named(root, "contexts", "context", *context_name);
  if (!context) return tl::unexpected(context.error());
  const auto cluster_name = text_of(*context, "cluster");
  const auto user_name = text_of(*context, "user");
  if (!cluster_name || !user_name) {
    return malformed("context '" + *context_name + "' needs a cluster and a user");
  }
  const auto cluster = named(root, "clusters", "cluster", *cluster_name);
  if (!cluster) return tl::unexpected(cluster.error());
  const auto user = named(root, "users", "user", *user_name);
  if (!user) return tl::unexpected(user.error());

  auto config = read_cluster(*cluster, *cluster_name, directory);
  if (!config) return config;
  if (auto fine = read_user(*user, *user_name, directory, config->credentials); !fine) {
    return tl::unexpected(fine.error());
  }
  return config;
}

}  // namespace

Result<ClientConfig> parse_kubeconfig(std::string_view text, std::string_view directory) {
  try {
    return read_config(YAML::Load(std::string(text)), directory);
  } catch (const YAML::Exception& error) {
    if (error.mark.is_null()) return malformed(error.msg);
    return malformed("line " + std::to_string(error.mark.line + 1) + ": " + error.msg);
  }
}

Result<ClientConfig> load_kubeconfig(const std::string& path) {
  const auto text = read_file(path);
  if (!text) return tl::unexpected(text.error());
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash);
  return parse_kubeconfig(*text, directory);
}

}  // namespace plimsoll::kube
