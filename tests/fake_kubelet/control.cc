// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_kubelet/control.h"

#include <map>

namespace plimsoll::test {
namespace {

Reply bad(const std::string& why) { return status_reply(400, "BadRequest", why); }

Reply done(bool good) {
  if (!good) return status_reply(404, "NotFound", "no such pod or container");
  Reply reply;
  reply.body = {{"done", true}};
  return reply;
}

Reply set_mode(FakeKubelet& kubelet, const Json& body) {
  static const std::map<std::string, ResizeMode> kModes{{"apply", ResizeMode::kApply},
                                                        {"never", ResizeMode::kNever},
                                                        {"deferred", ResizeMode::kDeferred},
                                                        {"infeasible", ResizeMode::kInfeasible}};
  const auto mode = kModes.find(text_at(body, "mode"));
  if (mode == kModes.end()) return bad("mode is apply, never, deferred or infeasible");
  kubelet.set_mode(body.value("pod", "*"), mode->second);
  return done(true);
}

Reply place(const FakeKubelet& kubelet, const std::string& pod, const std::string& container) {
  const auto found = kubelet.place(pod, container);
  if (!found) return done(false);
  Reply reply;
  reply.body = {{"id", found->id},       {"slice", found->slice},
                {"group", found->group}, {"running", found->running},
                {"ready", found->ready}, {"restarts", found->restarts}};
  const auto add_time = [&reply](const char* key, const auto& since) {
    if (!since) return;
    reply.body[key] = std::chrono::duration<double>(since->time_since_epoch()).count();
  };
  add_time("running_since", found->running_since);
  add_time("pod_ready_since", found->pod_ready_since);
  return reply;
}

}  // namespace

Reply kubelet_control_reply(FakeKubelet& kubelet, const HttpRequest& request) {
  Json body = Json::object();
  if (!request.body.empty()) {
    const Result<Json> parsed = parse_json_or_yaml(request.body);
    if (!parsed) return bad(parsed.error().message);
    body = *parsed;
  }
  const std::string pod = text_at(body, "pod");
  try {
    if (request.path == "/fake/mode") return set_mode(kubelet, body);
    if (request.path == "/fake/delay") {
      kubelet.set_delay(std::chrono::milliseconds(body.at("least_ms").get<int>()),
                        std::chrono::milliseconds(body.at("most_ms").get<int>()));
      return done(true);
    }
    if (request.path == "/fake/daemon-reload") return done(kubelet.daemon_reload(pod));
    if (request.path == "/fake/restart") {
      return done(kubelet.restart_container(pod, text_at(body, "container")));
    }
    if (request.path == "/fake/slice") {
      return done(kubelet.write_slice(pod, body.at("bytes").get<std::int64_t>()));
    }
    if (request.path == "/fake/place") {
      return place(kubelet, request.parameter("pod"), request.parameter("container"));
    }
    if (request.path == "/fake/settled") {
      Reply reply;
      reply.body = {{"settled", kubelet.settled()}};
      return reply;
    }
  } catch (const Json::exception& error) {
    return bad(error.what());
  }
  return status_reply(404, "NotFound", "no such control path");
}

}  // namespace plimsoll::test
