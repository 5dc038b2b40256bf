// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/list_api.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <random>
#include <utility>
#include <variant>

#include "tests/fake_api/base64url.h"
#include "tests/fake_api/pod_api.h"
#include "tests/fake_api/selector.h"

namespace plimsoll::test {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kLongBody = 8 * 1024;

std::optional<std::uint64_t> number(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct Place {
  std::uint64_t version = 0;
  std::string start;  // the key to go on with, exclusive of its last zero byte
};

std::string token_of(const Place& place) {
  return base64url_encoded(
      Json{{"v", "meta.k8s.io/v1"}, {"rv", place.version}, {"start", place.start + '\0'}}.dump());
}

std::optional<Place> place_of(const std::string& token) {
  const Json parsed = Json::parse(base64url_decoded(token), nullptr, false);
  if (!parsed.is_object() || !parsed.contains("rv") || !parsed.contains("start")) {
    return std::nullopt;
  }
  Place place{parsed["rv"].get<std::uint64_t>(), parsed["start"].get<std::string>()};
  if (!place.start.empty() && place.start.back() == '\0') place.start.pop_back();
  return place;
}

// "/demo/web": the key in etcd below the resource.
std::string key_of(const Json& object) {
  const Json& metadata = member(object, "metadata");
  return "/" + text_at(metadata, "namespace") + "/" + text_at(metadata, "name");
}

bool wants_metadata(const HttpRequest& request) {
  return request.header("accept").find("as=PartialObjectMetadata") != std::string::npos;
}

// Items of a list carry neither kind nor apiVersion, unless only their metadata is asked for.
Json as_item(const HttpRequest& request, const Json& object) {
  if (wants_metadata(request)) return {{"metadata", object["metadata"]}};
  Json item = object;
  item.erase("kind");
  item.erase("apiVersion");
  return item;
}

std::string kind_of(const std::string& resource) {
  if (resource == "pods") return "Pod";
  if (resource == "nodes") return "Node";
  if (resource == "events") return "Event";
  if (resource == "limitranges") return "LimitRange";
  if (resource == "resourcequotas") return "ResourceQuota";
  return "Namespace";
}

std::optional<Reply> unacceptable(const HttpRequest& request) {
  const std::string accept = request.header("accept");
  if (accept.empty() || accept.find("application/json") != std::string::npos ||
      accept.find("*/*") != std::string::npos) {
    return std::nullopt;
  }
  return status_reply(406, "NotAcceptable",
                      "406: Not Acceptable\n\nAvailable representations: application/json, "
                      "application/yaml, application/vnd.kubernetes.protobuf, "
                      "application/json;stream=watch, "
                      "application/vnd.kubernetes.protobuf;stream=watch",
                      Json::object());
}

// What a LIST's resourceVersion and resourceVersionMatch do not allow. The lock is released while
// it waits for a version from the future.
std::optional<Reply> bad_version(Cluster& cluster, std::unique_lock<std::mutex>& lock,
                                 const HttpRequest& request) {
  const std::string text = request.parameter("resourceVersion");
  if (text.empty()) return std::nullopt;
  const std::optional<std::uint64_t> version = number(text);
  if (!version) {
    return invalid_reply("ListOptions", "",
                         {invalid_cause("resourceVersion", in_quotes(text), "must be a number")},
                         "meta.k8s.io");
  }
  const bool exact = request.parameter("resourceVersionMatch") == "Exact";
  if (exact && *version == 0) {
    return invalid_reply(
        "ListOptions", "",
        {forbidden_cause("resourceVersionMatch",
                         "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"")},
        "meta.k8s.io");
  }
  if (exact && *version < cluster.store.oldest()) {
    return status_reply(410, "Expired", "The resourceVersion for the provided list is too old.");
  }
  if (*version <= cluster.store.version()) return std::nullopt;
  const bool came = cluster.changed.wait_for(lock, cluster.future_list_wait, [&] {
    return cluster.stopping || cluster.store.version() >= *version;
  });
  if (came && !cluster.stopping) return std::nullopt;
  Reply reply =
      status_reply(504, "Timeout",
                   "Timeout: Too large resource version: " + text +
                       ", current: " + std::to_string(cluster.store.version()),
                   {{"causes", Json::array({{{"reason", "ResourceVersionTooLarge"},
                                             {"message", "Too large resource version"}}})},
                    {"retryAfterSeconds", 1}});
  reply.headers["Retry-After"] = "1";
  return reply;
}

Json event_line(const std::string& type, const Json& object) {
  return {{"type", type}, {"object", object}};
}

Json bookmark(std::uint64_t version, const std::string& kind, bool initial_end) {
  Json metadata{{"resourceVersion", std::to_string(version)}};
  if (initial_end) metadata["annotations"] = {{"k8s.io/initial-events-end", "true"}};
  Json object{{"kind", kind}, {"apiVersion", "v1"}, {"metadata", std::move(metadata)}};
  // As the empty object of the type reads.
  if (kind == "Pod") object["spec"] = {{"containers", nullptr}};
  object["status"] = Json::object();
  return event_line("BOOKMARK", object);
}

class Watch {
 public:
  Watch(Cluster& cluster, const HttpRequest& request, const Route& route, Selector selector,
        Exchange& exchange)
      : cluster_(cluster),
        request_(request),
        route_(route),
        selector_(std::move(selector)),
        exchange_(exchange),
        bookmarks_(request.parameter("allowWatchBookmarks") == "true" ||
                   request.parameter("allowWatchBookmarks") == "1") {}

  void run(const std::string& from);

 private:
  bool say(const Json& line) { return exchange_.write(line.dump() + "\n"); }
  bool initial();
  bool follow(seconds length, Clock::time_point end);
  std::vector<std::string> news();
  std::optional<Json> line_of(const Change& change) const;
  Json view(const Json& object) const {
    if (!wants_metadata(request_)) return object;
    return {{"kind", "PartialObjectMetadata"},
            {"apiVersion", "meta.k8s.io/v1"},
            {"metadata", object["metadata"]}};
  }

  Cluster& cluster_;
  const HttpRequest& request_;
  const Route& route_;
  Selector selector_;
  Exchange& exchange_;
  bool bookmarks_;
  std::uint64_t seen_ = 0;
};

bool Watch::initial() {
  std::vector<std::string> lines;
  {
    const std::lock_guard lock(cluster_.mutex);
    for (const Object& object : cluster_.store.list(route_.resource, route_.access.space)) {
      if (!selector_.takes(*object)) continue;
      lines.push_back(event_line("ADDED", view(*object)).dump() + "\n");
    }
    seen_ = cluster_.store.version();
    if (request_.parameter("sendInitialEvents") == "true") {
      lines.push_back(bookmark(seen_, kind_of(route_.resource), true).dump() + "\n");
    }
  }
  return std::all_of(lines.begin(), lines.end(),
                     [&](const std::string& line) { return exchange_.write(line); });
}

// An object that leaves the selection is DELETED to the watcher, one that comes into it ADDED.
std::optional<Json> Watch::line_of(const Change& change) const {
  if (change.resource != route_.resource) return std::nullopt;
  const bool is_in = selector_.takes(*change.object) && change.type != "DELETED";
  const bool was_in = change.before && selector_.takes(*change.before);
  if (!is_in && !was_in) return std::nullopt;
  const char* type = !is_in ? "DELETED" : was_in ? "MODIFIED" : "ADDED";
  return event_line(type, view(*change.object));
}

// With the lock held.
std::vector<std::string> Watch::news() {
  std::vector<std::string> lines;
  for (const Change& change : cluster_.store.changes_after(seen_)) {
    seen_ = change.version;
    if (const auto line = line_of(change)) lines.push_back(line->dump() + "\n");
  }
  return lines;
}

bool Watch::follow(seconds length, Clock::time_point end) {
  // A bookmark comes between 1 and 3 seconds before the end, when there is that much time.
  const Clock::time_point last_mark = end - seconds(2);
  bool closing_mark = bookmarks_ && length >= seconds(3);
  Clock::time_point next_mark = Clock::now() + cluster_.bookmark_interval;
  while (Clock::now() < end) {
    std::vector<std::string> lines;
    {
      std::unique_lock lock(cluster_.mutex);
      // In slices, so that a client that left is noticed.
      const Clock::time_point wake = std::min(end, Clock::now() + milliseconds(50));
      cluster_.changed.wait_until(
          lock, wake, [&] { return cluster_.stopping || cluster_.store.version() > seen_; });
      if (cluster_.stopping) return false;
      lines = news();
      // The cache's newest version, also when nothing of it was for this watcher.
      seen_ = std::max(seen_, cluster_.store.version());
    }
    for (const std::string& line : lines) {
      if (!exchange_.write(line)) return false;
    }
    const Clock::time_point now = Clock::now();
    const bool is_last = closing_mark && now >= last_mark;
    if (bookmarks_ && (now >= next_mark || is_last)) {
      if (!say(bookmark(seen_, kind_of(route_.resource), false))) return false;
      next_mark = now + cluster_.bookmark_interval;
      if (is_last) closing_mark = false;
    }
    if (!exchange_.pause(milliseconds(1))) return false;
  }
  return !closing_mark || say(bookmark(seen_, kind_of(route_.resource), false));
}

void Watch::run(const std::string& from) {
  const std::optional<std::uint64_t> timeout = number(request_.parameter("timeoutSeconds"));
  // The server's own: between 30 minutes and an hour.
  std::minstd_rand random{std::random_device{}()};
  const seconds length(timeout.value_or(1800 + random() % 1800));
  const Clock::time_point end = Clock::now() + length;
  const std::uint64_t version = number(from).value_or(0);
  if (!exchange_.start(200, {{"Content-Type", "application/json"}})) return;
  bool future = false;
  std::optional<Json> expired;
  if (version == 0) {
    if (!initial()) return;
  } else {
    const std::lock_guard lock(cluster_.mutex);
    seen_ = version;
    future = version > cluster_.store.version();
    if (version < cluster_.store.oldest()) {
      Reply status = status_reply(410, "Expired",
                                  "too old resource version: " + from + " (" +
                                      std::to_string(cluster_.store.oldest()) + ")");
      expired = event_line("ERROR", status.body);
    }
  }
  if (expired) {
    say(*expired);
    exchange_.finish();
    return;
  }
  // From the future: nothing at all, no bookmark, until the time is up.
  if (future ? !exchange_.pause(end - Clock::now()) : !follow(length, end)) return;
  exchange_.finish();
}

}  // namespace

bool send(Exchange& exchange, const Reply& reply) {
  if (!reply.text.empty()) return exchange.reply(reply.status, reply.headers, reply.text);
  Headers headers = reply.headers;
  headers["Content-Type"] = "application/json";
  const std::string body = reply.body.dump();
  if (body.size() < kLongBody) return exchange.reply(reply.status, headers, body);
  if (!exchange.start(reply.status, headers)) return false;
  for (std::size_t at = 0; at < body.size(); at += kLongBody) {
    if (!exchange.write(std::string_view(body).substr(at, kLongBody))) return false;
  }
  return exchange.finish();
}

Reply list_objects(Cluster& cluster, const HttpRequest& request, const Route& route) {
  if (auto refused = unacceptable(request)) return *refused;
  auto selected = Selector::from(request, route.access.space);
  if (auto* refused = std::get_if<Reply>(&selected)) return std::move(*refused);
  const Selector& selector = std::get<Selector>(selected);
  std::unique_lock lock(cluster.mutex);
  Place from;
  const std::string token = request.parameter("continue");
  if (!token.empty()) {
    const std::optional<Place> place = place_of(token);
    if (!place) {
      return status_reply(400, "BadRequest",
                          "invalid continue token: continue key is not valid: it does not decode");
    }
    from = *place;
  } else if (auto refused = bad_version(cluster, lock, request)) {
    return *refused;
  }
  // The watch cache answers whole.
  const bool whole = request.parameter("resourceVersion") == "0";
  const std::size_t limit =
      whole ? 0 : static_cast<std::size_t>(number(request.parameter("limit")).value_or(0));
  const std::uint64_t version = from.version != 0 ? from.version : cluster.store.version();
  Json metadata{{"resourceVersion", std::to_string(version)}};
  Json items = Json::array();
  std::string last;
  std::size_t remaining = 0;
  for (const Object& object : cluster.store.list(route.resource, route.access.space)) {
    const std::string key = key_of(*object);
    if (!selector.takes(*object) || (!from.start.empty() && key <= from.start)) continue;
    if (limit > 0 && items.size() == limit) {
      ++remaining;
      continue;
    }
    items.push_back(as_item(request, *object));
    last = key;
  }
  if (remaining > 0) {
    metadata["continue"] = token_of({version, last});
    if (selector.is_all()) metadata["remainingItemCount"] = remaining;
  }
  Reply reply;
  const bool brief = wants_metadata(request);
  reply.body = {{"kind", brief ? "PartialObjectMetadataList" : kind_of(route.resource) + "List"},
                {"apiVersion", brief ? "meta.k8s.io/v1" : "v1"},
                {"metadata", std::move(metadata)},
                {"items", std::move(items)}};
  return reply;
}

void watch_objects(Cluster& cluster, const HttpRequest& request, const Route& route,
                   Exchange& exchange) {
  const auto refuse = [&](const Reply& reply) { send(exchange, reply); };
  if (auto refused = unacceptable(request)) return refuse(*refused);
  auto selected = Selector::from(request, route.access.space);
  if (auto* refused = std::get_if<Reply>(&selected)) return refuse(*refused);
  const std::string from = request.parameter("resourceVersion");
  if (!from.empty() && !number(from)) {
    return refuse(status_reply(500, "",
                               "resourceVersion: Invalid value: " + in_quotes(from) +
                                   ": strconv.ParseUint: parsing " + in_quotes(from) +
                                   ": invalid syntax"));
  }
  Watch(cluster, request, route, std::get<Selector>(std::move(selected)), exchange).run(from);
}

}  // namespace plimsoll::test
