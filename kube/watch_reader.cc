// SPDX-License-Identifier: Apache-2.0
#include "kube/watch_reader.h"

#include <utility>

namespace plimsoll::kube {
namespace {

WatchEvent skipped(const PodGlimpse& glimpse, Error error) {
  WatchEvent event{.kind = WatchEvent::Kind::kSkipped, .error = std::move(error)};
  event.pod.id = glimpse.id;
  event.pod.resource_version = glimpse.resource_version;
  return event;
}

Error malformed(std::string message) { return {Code::kMalformed, std::move(message)}; }

WatchEvent read_pod(WatchEvent::Kind kind, const JsonMembers::Member& object) {
  if (!object.whole) {
    return skipped(glimpse_pod(object.value),
                   malformed("a pod of more than " + to_string(Bytes{kLargestPod})));
  }
  auto pod = parse_pod(object.value);
  if (!pod) return skipped(glimpse_pod(object.value), pod.error());
  return {.kind = kind, .pod = std::move(*pod)};
}

// Of a deletion and a bookmark the beginning is enough, so that nothing in the rest can hide them.
WatchEvent read_deletion(const JsonMembers::Member& object) {
  const PodGlimpse glimpse = glimpse_pod(object.value);
  WatchEvent event = skipped(glimpse, {});
  event.kind = WatchEvent::Kind::kDeleted;
  if (glimpse.id.uid.empty() || glimpse.id.namespace_name.empty() || glimpse.id.name.empty()) {
    return skipped(glimpse, malformed("a deletion that does not say of which pod"));
  }
  return event;
}

WatchEvent read_bookmark(const JsonMembers::Member& object) {
  const PodGlimpse glimpse = glimpse_pod(object.value);
  if (glimpse.resource_version.empty()) {
    return skipped(glimpse, malformed("a bookmark without resourceVersion"));
  }
  WatchEvent event{.kind = WatchEvent::Kind::kBookmark};
  event.pod.resource_version = glimpse.resource_version;
  return event;
}

WatchEvent read_error(const JsonMembers::Member& object) {
  auto status = object.whole ? parse_status(object.value) : std::nullopt;
  if (!status) return skipped({}, malformed("an ERROR event without a Status"));
  return {.kind = WatchEvent::Kind::kError, .status = std::move(*status)};
}

WatchEvent read_object(std::string_view type, const JsonMembers::Member& object) {
  if (type == R"("ADDED")") return read_pod(WatchEvent::Kind::kAdded, object);
  if (type == R"("MODIFIED")") return read_pod(WatchEvent::Kind::kModified, object);
  if (type == R"("DELETED")") return read_deletion(object);
  if (type == R"("BOOKMARK")") return read_bookmark(object);
  if (type == R"("ERROR")") return read_error(object);
  return skipped(glimpse_pod(object.value),
                 malformed("an event of type " + std::string(type.substr(0, 64))));
}

}  // namespace

WatchReader::WatchReader(OnEvent on_event)
    : on_event_(std::move(on_event)),
      members_(std::nullopt, kLargestPod,
               [this](const JsonMembers::Member& member) { on_member(member); }) {}

bool WatchReader::feed(std::string_view chunk) {
  while (wanted_ && !chunk.empty()) {
    const std::size_t newline = chunk.find('\n');
    if (!broken_ && !members_.feed(chunk.substr(0, newline))) broken_ = true;
    if (newline == std::string_view::npos) break;
    chunk.remove_prefix(newline + 1);
    on_line_end();
  }
  return wanted_;
}

// The API server writes the type before the object; the other way round the object waits.
void WatchReader::on_member(const JsonMembers::Member& member) {
  if (member.key == "type") {
    type_ = member.value;
    if (early_object_) {
      event_ = read_object(
          type_, {.key = {}, .value = early_object_->text, .whole = early_object_->whole});
      early_object_.reset();
    }
  } else if (member.key == "object") {
    if (type_.empty()) {
      early_object_ = EarlyObject{std::string(member.value), member.whole};
    } else {
      event_ = read_object(type_, member);
    }
  }
}

void WatchReader::on_line_end() {
  const bool empty = members_.untouched() && !broken_;
  const bool complete = members_.complete() && !broken_;
  members_.reset();
  broken_ = false;
  type_.clear();
  early_object_.reset();
  auto event = std::exchange(event_, std::nullopt);
  if (empty) return;
  if (!complete || !event) {
    // The pod may be known from the part that made sense.
    event = skipped(event ? PodGlimpse{event->pod.id, event->pod.resource_version} : PodGlimpse{},
                    malformed("a line of the watch that is no event"));
  }
  wanted_ = on_event_(std::move(*event));
}

}  // namespace plimsoll::kube
