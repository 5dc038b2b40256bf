// SPDX-License-Identifier: Apache-2.0
#include "tests/kube/recording.h"
#include "tests/support/source_path.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

namespace plimsoll::test {
namespace {

// The server writes objects in this order too, which is that of Go's structs.
using Json = nlohmann::ordered_json;

std::filesystem::path directory() { return source_path("tests/contract/kube"); }

Json load(const std::string& name) {
  std::ifstream file(directory() / (name + ".json"));
  if (!file) throw std::runtime_error("no recording " + name);
  return Json::parse(file);
}

std::string lines_of(const Json& stream) {
  std::string text;
  for (const Json& entry : stream) text += entry.at("event").dump() + "\n";
  return text;
}

void collect_pods(const Json& json, std::set<std::string>& pods) {
  const auto metadata = json.is_object() ? json.find("metadata") : json.end();
  if (json.is_object() && metadata != json.end() && metadata->contains("uid") &&
      json.contains("spec") && json.at("spec").contains("containers") && json.contains("status")) {
    pods.insert(json.dump());
  }
  if (!json.is_structured()) return;
  for (const Json& part : json) collect_pods(part, pods);
}

}  // namespace

std::vector<RecordedReply> recorded(const std::string& name) {
  std::vector<RecordedReply> replies;
  const Json recording = load(name);
  for (const Json& exchange : recording.at("exchanges")) {
    const Json& request = exchange.at("request");
    const Json& response = exchange.at("response");
    RecordedReply reply{.method = request.at("method").get<std::string>(),
                        .path = request.at("path").get<std::string>(),
                        .request_body = request.value("body", Json()).dump(),
                        .status = response.at("status").get<int>(),
                        .body = {}};
    if (response.contains("stream")) {
      reply.body = lines_of(response.at("stream"));
    } else {
      reply.body = response.at("body").dump();
    }
    replies.push_back(std::move(reply));
  }
  return replies;
}

std::string recorded_watch_events(const std::string& name) {
  std::string text;
  const Json recording = load(name);
  for (const Json& entry : recording.at("watch_events")) text += entry.at(1).dump() + "\n";
  return text;
}

std::vector<std::string> recordings() {
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(directory())) {
    if (file.path().extension() == ".json") names.push_back(file.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> recorded_pods() {
  std::set<std::string> pods;
  for (const std::string& name : recordings()) {
    const Json recording = load(name);
    for (const Json& exchange : recording.at("exchanges")) {
      collect_pods(exchange.at("response"), pods);
    }
    if (recording.contains("watch_events")) collect_pods(recording.at("watch_events"), pods);
  }
  if (pods.size() < 100) throw std::runtime_error("too few recorded pods");
  return {pods.begin(), pods.end()};
}

}  // namespace plimsoll::test
