// SPDX-License-Identifier: Apache-2.0
//
// HTTP/1.1 messages as values, and the reading of them from bytes. Used by the server and the
// client here.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace plimsoll::test {

struct HttpRequest {
  std::string method;
  std::string target;                          // as it came: "/api/v1/pods?watch=1"
  std::string path;                            // of it, percent-decoded
  std::map<std::string, std::string> query;    // decoded; of a name given twice, the last
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  // Of the client's certificate, when it had a good one.
  std::string client_name;
  std::vector<std::string> client_groups;

  // "" when absent.
  std::string header(const std::string& lower_case_name) const;
  std::string parameter(const std::string& name) const;
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

// Of "a=1&b=2".
std::map<std::string, std::string> query_of(std::string_view text);
std::string percent_decoded(std::string_view text);
std::string percent_encoded(std::string_view text);
std::string_view reason_phrase(int status);

// Reads until it has `enough` bytes or until what it calls says that there are no more (0).
using ReadSome = std::function<std::size_t(char* buffer, std::size_t size)>;

// A connection's bytes, with what was read beyond the last message kept for the next.
class MessageReader {
 public:
  explicit MessageReader(ReadSome read) : read_(std::move(read)) {}

  // None at the end of the connection or when it is no HTTP. `before_body` is called when the
  // sender waits for leave to send the body.
  std::optional<HttpRequest> request(const std::function<void()>& before_body);
  // `on_body`, when given, gets the body piece by piece and false ends the reading.
  std::optional<HttpResponse> response(const std::function<bool(std::string_view)>& on_body = {});

 private:
  bool more();
  std::optional<std::string> line();
  std::optional<std::map<std::string, std::string>> header_lines();
  bool body(const std::map<std::string, std::string>& headers, bool until_end,
            const std::function<bool(std::string_view)>& on_body);
  bool exactly(std::size_t size, const std::function<bool(std::string_view)>& on_body);

  ReadSome read_;
  std::string pending_;
};

}  // namespace plimsoll::test
