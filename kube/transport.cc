// SPDX-License-Identifier: Apache-2.0
//
// The easy interface and not the multi one, for two reasons seen in libcurl 7.88: only an easy
// handle's own connections are reached by curl_easy_upkeep(), which sends the HTTP/2 ping, and a
// thread in curl_easy_perform() is woken by shutdown(2) of its socket as fast as by a wake-up call.
#include "kube/transport.h"

#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <initializer_list>
#include <optional>
#include <utility>

#include "kube/retry_after.h"
#include "kube/status.h"

namespace plimsoll::kube {
namespace {

using Kind = TransportError::Kind;

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, FreeList>;

HeaderList list_of(std::initializer_list<std::string> lines) {
  HeaderList list;
  for (const std::string& line : lines) {
    if (line.empty()) continue;
    curl_slist* const longer = curl_slist_append(list.get(), line.c_str());
    if (longer == nullptr) continue;
    static_cast<void>(list.release());
    list.reset(longer);
  }
  return list;
}

Kind kind_of(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
      return Kind::kConnect;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      return Kind::kTls;
    case CURLE_OPERATION_TIMEDOUT:
      return Kind::kDeadline;
    case CURLE_UNSUPPORTED_PROTOCOL:  // what came is no HTTP/1 or later
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
      return Kind::kMalformed;
    default:
      return Kind::kCut;
  }
}

Code code_of(Kind kind) {
  return kind == Kind::kTooLarge || kind == Kind::kMalformed || kind == Kind::kRefused
             ? Code::kMalformed
             : Code::kUnavailable;
}

bool is_header_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

// Nothing that could end a request line or a header early.
bool is_fit(const Request& request) {
  return request.path.starts_with('/') && is_header_text(request.path) &&
         request.path.find_first_of(" #") == std::string::npos && is_header_text(request.accept) &&
         is_header_text(request.content_type);
}

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::chrono::sys_seconds wall_clock() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

long http_status(CURL* easy) {
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

}  // namespace

// What the callbacks of one exchange share.
struct Transport::Exchange {
  Transport& transport;
  const Request& request;
  const StreamReader* reader = nullptr;
  Response response;
  std::string retry_after;
  std::optional<std::chrono::sys_seconds> date;
  std::optional<Kind> ended_by_us;  // why a callback ended it
  bool reader_has_enough = false;
  bool sent = false;
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
  std::optional<std::chrono::steady_clock::time_point> last_byte;  // of the reply

  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* context);
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* context);
  static int on_progress(void* context, curl_off_t, curl_off_t, curl_off_t, curl_off_t);
  static int on_connected(void* context, char*, char*, int, int);

  Reply result(CURLcode code, const char* reason);
};

std::size_t Transport::Exchange::on_header(char* data, std::size_t size, std::size_t count,
                                           void* context) {
  auto& self = *static_cast<Exchange*>(context);
  const std::string_view line(data, size * count);
  self.last_byte = std::chrono::steady_clock::now();
  if (!self.transport.reply_began_) self.transport.reply_began_ = self.last_byte;
  const std::size_t colon = line.find(':');
  if (line.starts_with("HTTP/") || colon == std::string_view::npos) return line.size();
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (same_name(name, "content-type")) self.response.content_type = value;
  if (same_name(name, "retry-after")) self.retry_after = value;
  if (same_name(name, "date")) self.date = parse_http_date(value);
  return line.size();
}

std::size_t Transport::Exchange::on_body(char* data, std::size_t size, std::size_t count,
                                         void* context) {
  auto& self = *static_cast<Exchange*>(context);
  const std::string_view piece(data, size * count);
  self.last_byte = std::chrono::steady_clock::now();
  if (self.reader != nullptr &&
      is_success(static_cast<int>(http_status(self.transport.easy_.get())))) {
    self.reader_has_enough = !(*self.reader->on_data)(piece);
    return self.reader_has_enough ? 0 : piece.size();
  }
  if (piece.size() > self.request.largest_body - self.response.body.size()) {
    self.ended_by_us = Kind::kTooLarge;
    return 0;
  }
  self.response.body.append(piece);
  return piece.size();
}

int Transport::Exchange::on_progress(void* context, curl_off_t, curl_off_t, curl_off_t,
                                     curl_off_t) {
  auto& self = *static_cast<Exchange*>(context);
  if (self.transport.stopped()) return 1;
  if (self.reader == nullptr) return 0;  // libcurl itself keeps the deadline of a whole exchange
  const auto now = std::chrono::steady_clock::now();
  const auto passed = [&](auto since, Nanoseconds deadline) {
    return deadline > Nanoseconds(0) && now - since >= deadline;
  };
  if (!self.last_byte && passed(self.started, self.request.deadline)) {
    self.ended_by_us = Kind::kDeadline;
  } else if (self.last_byte && passed(*self.last_byte, self.reader->idle_deadline)) {
    self.ended_by_us = Kind::kIdle;
  }
  return self.ended_by_us ? 1 : 0;
}

int Transport::Exchange::on_connected(void* context, char*, char*, int, int) {
  static_cast<Exchange*>(context)->sent = true;  // its first byte goes out after this
  return CURL_PREREQFUNC_OK;
}

Reply Transport::Exchange::result(CURLcode code, const char* reason) {
  response.status = static_cast<int>(http_status(transport.easy_.get()));
  if (!retry_after.empty()) {
    response.retry_after = parse_retry_after(retry_after, date.value_or(wall_clock()));
  }
  if (code == CURLE_OK || reader_has_enough) return std::move(response);

  const Kind kind = transport.stopped() ? Kind::kStopped : ended_by_us.value_or(kind_of(code));
  std::string what = std::string(to_string(request.method)) + " " + request.path + ": ";
  if (kind == Kind::kTooLarge) {
    what += "the reply is longer than " + std::to_string(request.largest_body) + " bytes";
  } else if (kind == Kind::kStopped || ended_by_us) {
    what += to_string(kind);
  } else {
    what += *reason != '\0' ? reason : curl_easy_strerror(code);
  }
  return tl::unexpected(TransportError{.kind = kind,
                                       .error = {code_of(kind), std::move(what)},
                                       .sent = sent,
                                       .status = response.status});
}

Reply Transport::exchange(const Request& request, const Credentials& credentials,
                          const StreamReader* reader) {
  const auto refused = [&](Kind kind, std::string_view why) {
    return tl::unexpected(TransportError{
        .kind = kind, .error = {code_of(kind), std::string(why) + ": " + request.path}});
  };
  if (stopped()) return refused(Kind::kStopped, "the client was stopped");
  if (!is_fit(request)) return refused(Kind::kRefused, "no fit request");
  set_tls(credentials);
  set_request(request);

  reply_began_.reset();
  Exchange exchange{*this, request, reader};
  CURL* const easy = easy_.get();
  const HeaderList headers =
      list_of({"Accept: " + request.accept, "Expect:", host_header_,
               request.content_type.empty() ? "" : "Content-Type: " + request.content_type,
               credentials.token.empty() ? "" : "Authorization: Bearer " + credentials.token});
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers.get());
  set_deadline(request, reader != nullptr);
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, fresh_ ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &exchange);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(easy, CURLOPT_XFERINFODATA, &exchange);
  curl_easy_setopt(easy, CURLOPT_PREREQDATA, &exchange);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Exchange::on_header);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Exchange::on_body);
  curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, &Exchange::on_progress);
  curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, &Exchange::on_connected);
  char reason[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, reason);

  const CURLcode code = curl_easy_perform(easy);

  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, nullptr);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, nullptr);
  // A connection on which something failed is not used again: libcurl keeps an HTTP/2 connection
  // after a deadline, though it may be the connection that leads nowhere.
  fresh_ = code != CURLE_OK;
  long opened = 0;
  curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &opened);
  connections_ += static_cast<std::uint64_t>(opened);
  long version = 0;
  curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version);
  if (version != 0) protocol_ = version == CURL_HTTP_VERSION_2_0 ? "HTTP/2" : "HTTP/1.1";
  return exchange.result(code, reason);
}

void Transport::ping() { curl_easy_upkeep(easy_.get()); }

}  // namespace plimsoll::kube
