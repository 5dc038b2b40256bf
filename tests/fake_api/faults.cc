// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/faults.h"

#include <algorithm>
#include <array>
#include <utility>

namespace plimsoll::test {
namespace {

constexpr std::array kKinds{std::pair{std::string_view("delay"), FaultKind::kDelay},
                            std::pair{std::string_view("status"), FaultKind::kStatus},
                            std::pair{std::string_view("refusal"), FaultKind::kRefusal},
                            std::pair{std::string_view("black-hole"), FaultKind::kBlackHole},
                            std::pair{std::string_view("reset"), FaultKind::kReset},
                            std::pair{std::string_view("lose-reply"), FaultKind::kLoseReply},
                            std::pair{std::string_view("garbage"), FaultKind::kGarbage},
                            std::pair{std::string_view("garbage-body"), FaultKind::kGarbageBody},
                            std::pair{std::string_view("cut"), FaultKind::kCut},
                            std::pair{std::string_view("gone"), FaultKind::kGone},
                            std::pair{std::string_view("gone-event"), FaultKind::kGoneEvent}};

bool fits(const std::string& pattern, const std::string& value) {
  return pattern == "*" || pattern == value;
}

bool falls_on(const Fault& fault, const Access& access, const std::string& user) {
  return fits(fault.verb, access.verb) && fits(fault.resource, access.resource) &&
         fits(fault.space, access.space) && fits(fault.name, access.name) && fits(fault.user, user);
}

template <typename T>
void take_number(const Json& text, const char* key, T& value) {
  if (member(text, key).is_number()) value = text[key].get<T>();
}

void take_text(const Json& text, const char* key, std::string& value) {
  if (member(text, key).is_string()) value = text[key].get<std::string>();
}

Reply throttled() {
  // Not a Status: priority and fairness answers before the API does.
  Reply reply{429};
  reply.text = "Too many requests, please try again later.\n";
  reply.headers = {{"Content-Type", "text/plain; charset=utf-8"}, {"Retry-After", "1"}};
  return reply;
}

}  // namespace

Result<Fault> fault_of(const Json& text) {
  if (!text.is_object()) return fail(Code::kMalformed, "a fault is an object");
  Fault fault;
  take_text(text, "verb", fault.verb);
  take_text(text, "resource", fault.resource);
  take_text(text, "namespace", fault.space);
  take_text(text, "name", fault.name);
  take_text(text, "user", fault.user);
  take_text(text, "refusal", fault.refusal);
  const std::string kind = text_at(text, "kind").empty() ? "delay" : text_at(text, "kind");
  const auto found = std::find_if(kKinds.begin(), kKinds.end(),
                                  [&](const auto& entry) { return entry.first == kind; });
  if (found == kKinds.end()) return fail(Code::kMalformed, "no fault is called '" + kind + "'");
  fault.kind = found->second;
  int delay = 0;
  take_number(text, "delay_ms", delay);
  fault.delay = std::chrono::milliseconds(delay);
  take_number(text, "bytes", fault.bytes);
  take_number(text, "times", fault.times);
  take_number(text, "after", fault.after);
  if (member(text, "retry_after").is_number()) fault.retry_after = text["retry_after"].get<int>();
  if (fault.kind == FaultKind::kRefusal) {
    const Result<Reply> known = refusal_reply(fault.refusal, {}, "");
    if (!known) return tl::unexpected(known.error());
  }
  if (fault.kind == FaultKind::kStatus) {
    int code = 500;
    take_number(text, "code", code);
    fault.reply = status_reply(code, text_at(text, "reason"), text_at(text, "message"));
    if (text.contains("text")) {
      fault.reply.text = text_at(text, "text");
      fault.reply.headers["Content-Type"] = "text/plain; charset=utf-8";
    }
  }
  return fault;
}

Result<Reply> refusal_reply(const std::string& refusal, const Access& access,
                            const std::string& user) {
  const std::string& name = access.name;
  const std::string pods = "pods";
  if (refusal == "quota") {
    return forbidden_reply(pods, name,
                           "exceeded quota: rq, requested: limits.memory=1792Mi, used: "
                           "limits.memory=512Mi, limited: limits.memory=1Gi");
  }
  if (refusal == "limitrange") {
    return forbidden_reply(pods, name,
                           "maximum memory usage per Container is 512Mi, but limit is 768Mi");
  }
  if (refusal == "rbac") return Gate::refusal({user, {}, ""}, access);
  if (refusal == "node-capacity") {
    return forbidden_reply(pods, name,
                           "node didn't have enough allocatable resources: memory, requested: "
                           "42949672960, allocatable: 32212254720",
                           Json::array({{{"reason", "NodeCapacity"}}}));
  }
  if (refusal == "policy") {
    const std::string message =
        "ValidatingAdmissionPolicy 'no-growth' with binding 'no-growth' denied request: limits may "
        "not grow";
    return forbidden_reply(pods, name, message, Json::array({{{"message", message}}}));
  }
  if (refusal == "webhook") {
    return status_reply(403, "Forbidden",
                        "admission webhook \"resize.example.com\" denied the request: no");
  }
  if (refusal == "not-ready") {
    return forbidden_reply(pods, name, "not yet ready to handle request");
  }
  if (refusal == "unauthorized") return status_reply(401, "Unauthorized", "Unauthorized");
  if (refusal == "throttled") return throttled();
  if (refusal == "server-error") {
    return status_reply(500, "InternalError", "Internal error occurred: etcdserver: leader changed",
                        {{"causes", Json::array({{{"message", "etcdserver: leader changed"}}})}});
  }
  if (refusal == "unavailable") {
    return status_reply(503, "ServiceUnavailable", "apiserver is shutting down");
  }
  if (refusal == "timeout") {
    return status_reply(504, "Timeout",
                        "Timeout: request did not complete within the allotted timeout",
                        Json::object());
  }
  if (refusal == "conflict") return conflict_reply(pods, name);
  return fail(Code::kMalformed, "no refusal is called '" + refusal + "'");
}

void Faults::add(Fault fault) {
  const std::lock_guard lock(mutex_);
  faults_.push_back(std::move(fault));
}

void Faults::clear() {
  const std::lock_guard lock(mutex_);
  faults_.clear();
}

std::optional<Fault> Faults::take(const Access& access, const std::string& user) {
  const std::lock_guard lock(mutex_);
  for (Fault& fault : faults_) {
    if (fault.times == 0 || !falls_on(fault, access, user)) continue;
    if (fault.after > 0) {
      --fault.after;
      continue;
    }
    if (fault.times > 0) --fault.times;
    return fault;
  }
  return std::nullopt;
}

std::size_t Traffic::begin(RequestRecord record) {
  const std::lock_guard lock(mutex_);
  record.at = std::chrono::steady_clock::now() - start_;
  records_.push_back(std::move(record));
  return cleared_ + records_.size() - 1;
}

void Traffic::end(std::size_t index, int status) {
  const std::lock_guard lock(mutex_);
  if (index < cleared_) return;
  RequestRecord& record = records_[index - cleared_];
  record.status = status;
  record.took = std::chrono::steady_clock::now() - start_ - record.at;
}

std::vector<RequestRecord> Traffic::all() const {
  const std::lock_guard lock(mutex_);
  return records_;
}

void Traffic::clear() {
  const std::lock_guard lock(mutex_);
  cleared_ += records_.size();
  records_.clear();
}

}  // namespace plimsoll::test
