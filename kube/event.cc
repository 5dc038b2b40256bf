// SPDX-License-Identifier: Apache-2.0
#include "kube/event.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <nlohmann/json.hpp>

namespace plimsoll::kube {
namespace {

// At most `most` bytes and no half of a character, which would not be JSON.
std::string shortened(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string(text);
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return std::string(text.substr(0, end));
}

std::string hex(std::uint64_t number) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(16, '0');
  for (std::size_t i = text.size(); i > 0; --i, number >>= 4U) text[i - 1] = kDigits[number & 15U];
  return text;
}

// What may not stand in a path is percent-encoded, so that no name can change which path it is.
std::string path_part(std::string_view name) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string text;
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_';
    if (plain) {
      text += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      text += {'%', kDigits[byte >> 4U], kDigits[byte & 15U]};
    }
  }
  return text;
}

std::string events_path(std::string_view name_space) {
  return "/apis/events.k8s.io/v1/namespaces/" + path_part(name_space) + "/events";
}

// Whatever bytes a container's name or a server's message had: JSON replaces what is not UTF-8.
std::string dumped(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string micro_time(WallTime time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  const std::time_t seconds = whole.time_since_epoch().count();
  const auto micros = static_cast<std::uint64_t>((time - whole).count());
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 40> text{};
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::string fraction = std::to_string(micros);
  fraction.insert(0, 6 - fraction.size(), '0');
  return std::string(text.data(), length) + "." + fraction + "Z";
}

std::string event_name(std::string_view object, std::uint64_t unique) {
  const std::string end = "." + hex(unique);
  std::string_view begin = object.substr(0, kLongestName - end.size());
  // A cut name may end in what may not stand before a dot.
  while (!begin.empty() && (begin.back() == '.' || begin.back() == '-')) begin.remove_suffix(1);
  return std::string(begin) + end;
}

std::string_view event_namespace(const EventSubject& subject) {
  return subject.name_space.empty() ? std::string_view("default") : subject.name_space;
}

Request create_event(const Event& event) {
  const std::string name_space(event_namespace(event.subject));
  nlohmann::json regarding{{"apiVersion", "v1"},
                           {"kind", event.subject.kind},
                           {"name", event.subject.name},
                           {"uid", event.subject.uid}};
  if (!event.subject.name_space.empty()) regarding["namespace"] = name_space;
  if (!event.subject.container.empty()) {
    regarding["fieldPath"] = "spec.containers{" + event.subject.container + "}";
  }
  const nlohmann::json body{{"apiVersion", "events.k8s.io/v1"},
                            {"kind", "Event"},
                            {"metadata", {{"name", event.name}, {"namespace", name_space}}},
                            {"regarding", regarding},
                            {"reason", shortened(event.reason, kLongestReason)},
                            {"action", shortened(event.action, kLongestReason)},
                            {"note", shortened(event.note, kLongestNote)},
                            {"type", event.warning ? "Warning" : "Normal"},
                            {"eventTime", micro_time(event.time)},
                            {"reportingController", event.controller},
                            {"reportingInstance", shortened(event.instance, kLongestReason)}};
  return {.method = Method::kPost,
          .path = events_path(name_space),
          .content_type = "application/json",
          .body = dumped(body)};
}

Request update_series(std::string_view name_space, std::string_view name, std::uint32_t count,
                      WallTime last) {
  const nlohmann::json body{
      {"series",
       {{"count", std::max<std::uint32_t>(count, 2)}, {"lastObservedTime", micro_time(last)}}}};
  return {.method = Method::kPatch,
          .path = events_path(name_space) + "/" + path_part(name),
          .content_type = "application/merge-patch+json",
          .body = dumped(body)};
}

}  // namespace plimsoll::kube
