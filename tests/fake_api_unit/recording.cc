// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api_unit/recording.h"
#include "tests/support/source_path.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <utility>

namespace plimsoll::test {
namespace {

namespace fs = std::filesystem;

fs::path folder() { return source_path("tests/contract/kube"); }

std::string parameter_text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

HttpRequest request_of(const Json& recorded) {
  HttpRequest request;
  request.method = text_at(recorded, "method");
  request.path = text_at(recorded, "path");
  request.target = request.path;
  for (const auto& [name, value] : member(recorded, "query").items()) {
    request.query[name] = parameter_text(value);
  }
  for (const auto& [name, value] : member(recorded, "headers").items()) {
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (lower != "authorization") request.headers[lower] = parameter_text(value);
  }
  const Json& body = member(recorded, "body");
  if (body.is_string()) {
    request.body = body.get<std::string>();
  } else if (!body.is_null()) {
    request.body = body.dump();
  }
  return request;
}

bool is_pod(const Json& body) {
  return text_at(body, "kind") == "Pod" && member(body, "spec").contains("containers");
}

std::uint64_t version_of(const Json& pod) {
  const std::string text = text_at(member(pod, "metadata"), "resourceVersion");
  return text.empty() ? 0 : std::stoull(text);
}

struct Seen {
  std::string recording;
  std::size_t index;
  Json pod;
};

// In place of an exchange's index: it was seen in a watch.
constexpr std::size_t kWatched = 1000;

// Every pod that was stored and shown, by uid. Dry runs were shown and not stored.
const std::map<std::string, std::vector<Seen>>& seen_pods() {
  static const auto kSeen = [] {
    std::map<std::string, std::vector<Seen>> seen;
    for (const std::string& name : recording_names()) {
      for (const RecordedExchange& exchange : exchanges_of(name)) {
        if (!is_pod(exchange.body) || exchange.request.parameter("dryRun") == "All") continue;
        seen[text_at(exchange.body["metadata"], "uid")].push_back(
            {name, exchange.index, exchange.body});
      }
      const Json whole = recording(name);
      for (const Json& event : member(whole, "watch_events")) {
        const Json& pod = member(event.at(1), "object");
        if (is_pod(pod)) seen[text_at(pod["metadata"], "uid")].push_back({name, kWatched, pod});
      }
    }
    return seen;
  }();
  return kSeen;
}

// The last state of that pod in another answer, no younger than `pod`.
std::optional<Json> earlier(const RecordedExchange& exchange, const Json& pod) {
  const auto found = seen_pods().find(text_at(pod["metadata"], "uid"));
  if (found == seen_pods().end()) return std::nullopt;
  const Seen* best = nullptr;
  for (const Seen& seen : found->second) {
    // The same version in an earlier answer: this request changed nothing.
    const bool later =
        std::pair(seen.recording, seen.index) >= std::pair(exchange.recording, exchange.index);
    if (version_of(seen.pod) > version_of(pod)) continue;
    if (later && version_of(seen.pod) == version_of(pod)) continue;
    if (best == nullptr || version_of(seen.pod) > version_of(best->pod)) best = &seen;
  }
  return best == nullptr ? std::nullopt : std::optional<Json>(best->pod);
}

// The last state of a pod of that namespace and name in what was recorded before.
std::optional<Json> last_before(const RecordedExchange& exchange) {
  const std::size_t begin = exchange.request.path.find("/pods/");
  if (begin == std::string::npos) return std::nullopt;
  const std::string rest = exchange.request.path.substr(begin + 6);
  const std::string name = rest.substr(0, rest.find('/'));
  std::optional<Json> best;
  for (const std::string& other : recording_names()) {
    for (const RecordedExchange& seen : exchanges_of(other)) {
      if (other > exchange.recording ||
          (other == exchange.recording && seen.index >= exchange.index)) {
        return best;
      }
      if (is_pod(seen.body) && text_at(seen.body["metadata"], "name") == name &&
          seen.request.parameter("dryRun") != "All") {
        best = seen.body;
      }
    }
  }
  return best;
}

}  // namespace

std::vector<std::string> recording_names() {
  static const auto kNames = [] {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder())) {
      if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }();
  return kNames;
}

Json recording(const std::string& name) {
  std::ifstream file(folder() / (name + ".json"));
  if (!file) throw std::runtime_error("no recording " + name);
  return Json::parse(file);
}

const std::vector<RecordedExchange>& exchanges_of(std::string_view name) {
  static std::map<std::string, std::vector<RecordedExchange>, std::less<>> known;
  const auto found = known.find(name);
  if (found != known.end()) return found->second;
  std::vector<RecordedExchange> exchanges;
  const Json whole = recording(std::string(name));
  for (const Json& entry : member(whole, "exchanges")) {
    const Json& response = member(entry, "response");
    exchanges.push_back({std::string(name), exchanges.size(), text_at(entry, "identity"),
                         request_of(entry["request"]), response.value("status", 0),
                         member(response, "headers"), member(response, "body"),
                         member(response, "stream"), text_at(entry, "note")});
  }
  return known.emplace(name, std::move(exchanges)).first->second;
}

Json pod_in(const std::string& name, std::size_t index) {
  return exchanges_of(name).at(index).body;
}

Json undone(Json pod) {
  if (const Json& whole = member(pod["status"], "resources"); pod["spec"].contains("resources")) {
    if (whole.is_object()) pod["spec"]["resources"] = whole;
    pod["metadata"]["generation"] = pod["metadata"]["generation"].get<int>() - 1;
    pod["metadata"]["resourceVersion"] = std::to_string(version_of(pod) - 1);
    return pod;
  }
  for (const auto& [list, statuses] : {std::pair{"containers", "containerStatuses"},
                                       std::pair{"initContainers", "initContainerStatuses"}}) {
    if (!pod["spec"].contains(list)) continue;
    for (Json& container : pod["spec"][list]) {
      for (const Json& status : member(pod["status"], statuses)) {
        if (status["name"] == container["name"] && status.contains("resources")) {
          container["resources"] = status["resources"];
        }
      }
    }
  }
  pod["metadata"]["generation"] = pod["metadata"]["generation"].get<int>() - 1;
  pod["metadata"]["resourceVersion"] = std::to_string(version_of(pod) - 1);
  return pod;
}

std::optional<Json> pod_before(const RecordedExchange& exchange) {
  if (!is_pod(exchange.body)) return last_before(exchange);
  if (exchange.request.method == "GET") return exchange.body;
  if (exchange.request.method == "POST") return std::nullopt;
  if (auto known = earlier(exchange, exchange.body)) return known;
  const std::string& path = exchange.request.path;
  if (path.size() > 7 && path.compare(path.size() - 7, 7, "/status") == 0) {
    Json pod = exchange.body;
    pod["status"] = {{"phase", "Pending"}, {"qosClass", exchange.body["status"]["qosClass"]}};
    pod["metadata"]["resourceVersion"] = std::to_string(version_of(pod) - 1);
    return pod;
  }
  Json pod = undone(exchange.body);
  if (exchange.request.method == "DELETE") pod["metadata"].erase("deletionTimestamp");
  pod["spec"].erase("ephemeralContainers");
  return pod;
}

}  // namespace plimsoll::test
