// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/http_message.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <utility>

namespace plimsoll::test {
namespace {

constexpr std::size_t kLongestLine = 64 * 1024;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::optional<std::size_t> number(std::string_view text, int base) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

std::string value_of(const std::map<std::string, std::string>& headers, const std::string& name) {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

}  // namespace

std::string HttpRequest::header(const std::string& lower_case_name) const {
  return value_of(headers, lower_case_name);
}

std::string HttpRequest::parameter(const std::string& name) const { return value_of(query, name); }

std::map<std::string, std::string> query_of(std::string_view text) {
  std::map<std::string, std::string> query;
  while (!text.empty()) {
    const std::string_view one = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(one.size() + 1, text.size()));
    const std::size_t equals = one.find('=');
    std::string value = equals == std::string_view::npos ? "" : std::string(one.substr(equals + 1));
    std::replace(value.begin(), value.end(), '+', ' ');
    query[percent_decoded(one.substr(0, equals))] = percent_decoded(value);
  }
  return query;
}

std::string percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 &&
        hex_digit(text[i + 2]) >= 0) {
      decoded += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.' || c == '~') {
      encoded += c;
    } else {
      encoded += '%';
      encoded += kDigits[byte / 16];
      encoded += kDigits[byte % 16];
    }
  }
  return encoded;
}

std::string_view reason_phrase(int status) {
  constexpr std::array kPhrases{std::pair{200, std::string_view("OK")},
                                std::pair{201, std::string_view("Created")},
                                std::pair{400, std::string_view("Bad Request")},
                                std::pair{401, std::string_view("Unauthorized")},
                                std::pair{403, std::string_view("Forbidden")},
                                std::pair{404, std::string_view("Not Found")},
                                std::pair{405, std::string_view("Method Not Allowed")},
                                std::pair{406, std::string_view("Not Acceptable")},
                                std::pair{409, std::string_view("Conflict")},
                                std::pair{410, std::string_view("Gone")},
                                std::pair{413, std::string_view("Request Entity Too Large")},
                                std::pair{415, std::string_view("Unsupported Media Type")},
                                std::pair{422, std::string_view("Unprocessable Entity")},
                                std::pair{429, std::string_view("Too Many Requests")},
                                std::pair{500, std::string_view("Internal Server Error")},
                                std::pair{502, std::string_view("Bad Gateway")},
                                std::pair{503, std::string_view("Service Unavailable")},
                                std::pair{504, std::string_view("Gateway Timeout")}};
  for (const auto& [code, phrase] : kPhrases) {
    if (code == status) return phrase;
  }
  return "Unknown";
}

bool MessageReader::more() {
  std::array<char, 16 * 1024> buffer{};
  const std::size_t size = read_(buffer.data(), buffer.size());
  pending_.append(buffer.data(), size);
  return size > 0;
}

std::optional<std::string> MessageReader::line() {
  std::size_t end = pending_.find("\r\n");
  while (end == std::string::npos) {
    if (pending_.size() > kLongestLine || !more()) return std::nullopt;
    end = pending_.find("\r\n");
  }
  std::string found = pending_.substr(0, end);
  pending_.erase(0, end + 2);
  return found;
}

std::optional<std::map<std::string, std::string>> MessageReader::header_lines() {
  std::map<std::string, std::string> headers;
  for (;;) {
    const std::optional<std::string> text = line();
    if (!text) return std::nullopt;
    if (text->empty()) return headers;
    const std::size_t colon = text->find(':');
    if (colon == std::string::npos) return std::nullopt;
    const std::size_t value = text->find_first_not_of(' ', colon + 1);
    headers[lower(text->substr(0, colon))] = value == std::string::npos ? "" : text->substr(value);
  }
}

bool MessageReader::exactly(std::size_t size,
                            const std::function<bool(std::string_view)>& on_body) {
  while (size > 0) {
    if (pending_.empty() && !more()) return false;
    const std::size_t some = std::min(size, pending_.size());
    if (!on_body(std::string_view(pending_).substr(0, some))) return false;
    pending_.erase(0, some);
    size -= some;
  }
  return true;
}

bool MessageReader::body(const std::map<std::string, std::string>& headers, bool until_end,
                         const std::function<bool(std::string_view)>& on_body) {
  if (lower(value_of(headers, "transfer-encoding")) == "chunked") {
    for (;;) {
      const std::optional<std::string> text = line();
      const std::optional<std::size_t> size = text ? number(*text, 16) : std::nullopt;
      if (!size) return false;
      if (*size == 0) return header_lines().has_value();
      if (!exactly(*size, on_body) || !line()) return false;
    }
  }
  if (const std::string length = value_of(headers, "content-length"); !length.empty()) {
    const std::optional<std::size_t> size = number(length, 10);
    return size && exactly(*size, on_body);
  }
  if (!until_end) return true;
  while (!pending_.empty() || more()) {
    if (!on_body(pending_)) return false;
    pending_.clear();
  }
  return true;
}

std::optional<HttpRequest> MessageReader::request(const std::function<void()>& before_body) {
  const std::optional<std::string> first = line();
  if (!first) return std::nullopt;
  const std::size_t space = first->find(' ');
  const std::size_t last = first->rfind(' ');
  if (space == std::string::npos || last == space) return std::nullopt;
  HttpRequest request;
  request.method = first->substr(0, space);
  request.target = first->substr(space + 1, last - space - 1);
  const std::size_t mark = request.target.find('?');
  request.path = percent_decoded(std::string_view(request.target).substr(0, mark));
  if (mark != std::string::npos) {
    request.query = query_of(std::string_view(request.target).substr(mark + 1));
  }
  auto headers = header_lines();
  if (!headers) return std::nullopt;
  request.headers = std::move(*headers);
  if (lower(request.header("expect")) == "100-continue") before_body();
  const auto keep = [&](std::string_view piece) {
    request.body += piece;
    return true;
  };
  if (!body(request.headers, false, keep)) return std::nullopt;
  return request;
}

std::optional<HttpResponse> MessageReader::response(
    const std::function<bool(std::string_view)>& on_body) {
  const std::optional<std::string> first = line();
  if (!first || first->size() < 12) return std::nullopt;
  const std::optional<std::size_t> status = number(std::string_view(*first).substr(9, 3), 10);
  if (!status) return std::nullopt;
  HttpResponse response;
  response.status = static_cast<int>(*status);
  auto headers = header_lines();
  if (!headers) return std::nullopt;
  response.headers = std::move(*headers);
  if (response.status == 100) return this->response(on_body);
  const auto keep = [&](std::string_view piece) {
    if (on_body) return on_body(piece);
    response.body += piece;
    return true;
  };
  if (!body(response.headers, true, keep) && !on_body) return std::nullopt;
  return response;
}

}  // namespace plimsoll::test
