// SPDX-License-Identifier: Apache-2.0
#include "kube/status.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "kube/status_rules.h"

namespace plimsoll::kube {
namespace {

constexpr std::size_t kLargestStatus = 64 * kKiB;
constexpr int kDeepestStatus = 8;
constexpr std::size_t kLongestMessage = 512;
constexpr Nanoseconds kNotReadyPause = std::chrono::seconds(1);

std::string text_of(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::optional<std::int64_t> number_of(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return std::nullopt;
  return found->get<std::int64_t>();
}

void read_details(const nlohmann::json& details, Status& status) {
  status.kind = text_of(details, "kind");
  status.name = text_of(details, "name");
  if (const auto seconds = number_of(details, "retryAfterSeconds"); seconds && *seconds > 0) {
    status.retry_after = std::chrono::seconds(std::min<std::int64_t>(*seconds, 3600));
  }
  const auto causes = details.find("causes");
  if (causes == details.end() || !causes->is_array()) return;
  for (const nlohmann::json& cause : *causes) {
    if (!cause.is_object()) continue;
    status.causes.push_back(
        {text_of(cause, "reason"), text_of(cause, "message"), text_of(cause, "field")});
  }
}

// One line for logs and Events: the API's messages hold diffs of whole pods.
std::string shortened(std::string_view text) {
  std::string line;
  for (const char c : text) {
    if (line.size() >= kLongestMessage) break;
    const bool is_space = static_cast<unsigned char>(c) <= ' ' || c == '\x7f';
    if (!is_space) {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  if (line.size() >= kLongestMessage) {
    // Not in the middle of a UTF-8 sequence.
    while (!line.empty() && (static_cast<unsigned char>(line.back()) & 0xC0U) == 0x80U) {
      line.pop_back();
    }
    if (!line.empty() && static_cast<unsigned char>(line.back()) >= 0xC0U) line.pop_back();
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  return line;
}

Refusal refusal_of(int http_status, const Status* status, std::string_view plain_text) {
  Refusal refusal;
  refusal.cause =
      status != nullptr ? cause_of(http_status, *status) : cause_of_plain(http_status, plain_text);
  refusal.code = code_of(refusal.cause);
  refusal.message = shortened(status != nullptr ? status->message : plain_text);
  if (refusal.message.empty()) refusal.message = "HTTP status " + std::to_string(http_status);
  if (status != nullptr) refusal.retry_after = status->retry_after;
  if (!refusal.retry_after && refusal.cause == Cause::kNotReady) {
    refusal.retry_after = kNotReadyPause;
  }
  refusal.outcome_unknown = refusal.cause == Cause::kServer || refusal.cause == Cause::kTimeout;
  return refusal;
}

}  // namespace

std::optional<Status> parse_status(std::string_view json) {
  if (json.size() > kLargestStatus) return std::nullopt;
  const auto keep = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    return depth <= kDeepestStatus;
  };
  const nlohmann::json object = nlohmann::json::parse(json, keep, /*allow_exceptions=*/false);
  if (!object.is_object() || text_of(object, "kind") != "Status") return std::nullopt;
  Status status;
  const std::int64_t code = number_of(object, "code").value_or(0);
  status.code = code >= 0 && code <= 999 ? static_cast<int>(code) : 0;
  status.reason = text_of(object, "reason");
  status.message = text_of(object, "message");
  const auto details = object.find("details");
  if (details != object.end() && details->is_object()) read_details(*details, status);
  return status;
}

Refusal classify(const Response& response) {
  const auto status = parse_status(response.body);
  Refusal refusal = refusal_of(response.status, status ? &*status : nullptr, response.body);
  if (response.retry_after) refusal.retry_after = response.retry_after;
  return refusal;
}

Refusal classify(const Status& status) { return refusal_of(status.code, &status, {}); }

Refusal classify(const TransportError& error) {
  return {.code = error.error.code,
          .cause = Cause::kTransport,
          .message = shortened(error.error.message),
          .outcome_unknown = error.sent};
}

}  // namespace plimsoll::kube
