// SPDX-License-Identifier: Apache-2.0
//
// What a transport tells libcurl: once, per credentials, per request.
#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "kube/transport.h"

namespace plimsoll::kube {
namespace {

struct FreeUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
struct FreeText {
  void operator()(char* text) const { curl_free(text); }
};

std::string part_of(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return {};
  const std::unique_ptr<char, FreeText> owned(text);
  return owned.get();
}

struct Server {
  std::string host;  // an IPv6 address with brackets
  std::string port;
  std::string path;  // without the slash at its end
};

Result<Server> parse_server(const std::string& text) {
  const auto refused = [&](std::string_view why) {
    return fail(Code::kMalformed, "server '" + text + "' " + std::string(why));
  };
  const std::unique_ptr<CURLU, FreeUrl> url(curl_url());
  if (curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
    return refused("is no URL; https://host:port is one");
  }
  if (part_of(url.get(), CURLUPART_SCHEME) != "https") return refused("is not https");
  for (const CURLUPart part :
       {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT}) {
    if (!part_of(url.get(), part).empty()) return refused("has more than a host, port and path");
  }
  Server server{part_of(url.get(), CURLUPART_HOST), part_of(url.get(), CURLUPART_PORT),
                part_of(url.get(), CURLUPART_PATH)};
  while (server.path.ends_with('/')) server.path.pop_back();
  return server;
}

long milliseconds(Nanoseconds duration) {
  const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(duration).count();
  return static_cast<long>(std::clamp<decltype(rounded)>(rounded, 0, 1L << 30));
}

// Empty: none, which is also what takes away an earlier one.
void set_blob(CURL* easy, CURLoption option, const std::string& text) {
  curl_blob blob{};
  blob.data = const_cast<char*>(text.data());  // NOLINT: libcurl copies it
  blob.len = text.size();
  blob.flags = CURL_BLOB_COPY;
  curl_easy_setopt(easy, option, text.empty() ? nullptr : &blob);
}

curl_socket_t open_socket(void* sockets, curlsocktype, curl_sockaddr* address) {
  return static_cast<OpenSockets*>(sockets)->open(address->family, address->socktype,
                                                  address->protocol);
}

int close_socket(void* sockets, curl_socket_t fd) {
  return static_cast<OpenSockets*>(sockets)->close(fd);
}

}  // namespace

int OpenSockets::open(int family, int type, int protocol) {
  const std::lock_guard lock(mutex_);
  if (stopped_.load(std::memory_order_relaxed)) return -1;
  const int fd = ::socket(family, type | SOCK_CLOEXEC, protocol);
  if (fd < 0) return -1;
  if (family == AF_INET || family == AF_INET6) {
    // With libcurl's idle time and interval: a host that vanished is known after half a minute,
    // also by who only reads. Unacknowledged data of ours is given up after 20 s.
    constexpr int kProbes = 3;
    constexpr unsigned kUnacknowledgedMs = 20'000;
    ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &kProbes, sizeof(kProbes));
    ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnacknowledgedMs, sizeof(kUnacknowledgedMs));
  }
  open_.push_back(fd);
  return fd;
}

int OpenSockets::close(int fd) {
  const std::lock_guard lock(mutex_);
  open_.erase(std::remove(open_.begin(), open_.end(), fd), open_.end());
  return ::close(fd);
}

void OpenSockets::stop() {
  const std::lock_guard lock(mutex_);
  stopped_.store(true, std::memory_order_release);
  for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
}

void Transport::FreeEasy::operator()(void* easy) const { curl_easy_cleanup(easy); }
void Transport::FreeList::operator()(void* list) const {
  curl_slist_free_all(static_cast<curl_slist*>(list));
}

Transport::~Transport() = default;

Result<std::unique_ptr<Transport>> Transport::make(const ClientConfig& config) {
  static std::once_flag initialised;
  std::call_once(initialised, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });

  const auto server = parse_server(config.server);
  if (!server) return tl::unexpected(server.error());
  std::unique_ptr<Transport> transport(new Transport());
  transport->easy_.reset(curl_easy_init());
  if (!transport->easy_) return fail(Code::kUnavailable, "libcurl gives no handle");
  const std::string address = server->host + ":" + server->port;
  transport->base_ = "https://" + address + server->path;
  if (!config.tls_server_name.empty()) {
    // libcurl verifies the name in the URL, so that is the certificate's; the rest stays.
    const std::string named = config.tls_server_name + ":" + server->port;
    transport->base_ = "https://" + named + server->path;
    transport->host_header_ = "Host: " + address;
    transport->connect_to_ = named + ":" + address;
  }
  transport->set_constants(config);
  return transport;
}

void Transport::set_constants(const ClientConfig& config) {
  CURL* const easy = easy_.get();
  const auto set = [easy](CURLoption option, auto value) { curl_easy_setopt(easy, option, value); };
  set(CURLOPT_PROTOCOLS_STR, "https");
  set(CURLOPT_SSL_VERIFYPEER, 1L);
  set(CURLOPT_SSL_VERIFYHOST, 2L);
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  set(CURLOPT_KEYPASSWD, "");  // else OpenSSL asks at the terminal for an encrypted key's
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
  set(CURLOPT_PROXY, "");  // none, whatever the environment says
  set(CURLOPT_NOPROXY, "*");
  set(CURLOPT_FOLLOWLOCATION, 0L);  // a redirect would carry the token elsewhere
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_ACCEPT_ENCODING, "gzip");  // a LIST of 300 pods: 32 KB for 705 KB
  set(CURLOPT_USERAGENT, config.user_agent.c_str());
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_QUICK_EXIT, 1L);  // stop() does not wait for a name server
  set(CURLOPT_NOPROGRESS, 0L);  // on_progress

  set(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(config.connect_deadline));
  set(CURLOPT_MAXCONNECTS, 1L);
  set(CURLOPT_MAXAGE_CONN, 3600L);  // the server ends what is idle; its FIN is seen before use
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_TCP_KEEPIDLE, 15L);
  set(CURLOPT_TCP_KEEPINTVL, 5L);
  set(CURLOPT_UPKEEP_INTERVAL_MS, milliseconds(config.ping_interval));

  set(CURLOPT_OPENSOCKETFUNCTION, &open_socket);
  set(CURLOPT_OPENSOCKETDATA, &sockets_);
  set(CURLOPT_CLOSESOCKETFUNCTION, &close_socket);
  set(CURLOPT_CLOSESOCKETDATA, &sockets_);
  if (!connect_to_.empty()) {
    connect_list_.reset(curl_slist_append(nullptr, connect_to_.c_str()));
    set(CURLOPT_CONNECT_TO, static_cast<curl_slist*>(connect_list_.get()));
  }
}

void Transport::set_tls(const Credentials& credentials) {
  if (tls_set_ && tls_.ca == credentials.ca && tls_.certificate == credentials.certificate &&
      tls_.key == credentials.key) {
    return;
  }
  tls_ = credentials;
  tls_.token.clear();
  CURL* const easy = easy_.get();
  if (!tls_.ca.empty()) {
    // The cluster's CA and no other: libcurl adds the system's directory to a CA that it is given.
    curl_easy_setopt(easy, CURLOPT_CAINFO, nullptr);
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  }
  set_blob(easy, CURLOPT_CAINFO_BLOB, tls_.ca);
  set_blob(easy, CURLOPT_SSLCERT_BLOB, tls_.certificate);
  set_blob(easy, CURLOPT_SSLKEY_BLOB, tls_.key);
  tls_set_ = true;
  fresh_ = true;  // the kept connection was made with the old ones
}

void Transport::set_request(const Request& request) {
  CURL* const easy = easy_.get();
  curl_easy_setopt(easy, CURLOPT_URL, (base_ + request.path).c_str());
  if (request.method == Method::kGet) {
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, nullptr);
    return;
  }
  curl_easy_setopt(easy, CURLOPT_POST, 1L);
  curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST,
                   request.method == Method::kPatch ? "PATCH" : nullptr);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.data());
  curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
}

void Transport::set_deadline(const Request& request, bool is_stream) {
  // 0 is none. A stream has no end of its own; on_progress watches its head and its silence.
  const long deadline = is_stream ? 0L : milliseconds(request.deadline);
  curl_easy_setopt(easy_.get(), CURLOPT_TIMEOUT_MS, deadline);
}

}  // namespace plimsoll::kube
