// SPDX-License-Identifier: Apache-2.0
#include "agent/record/snapshot_json.h"

#include <concepts>
#include <cstddef>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <utility>

#include "agent/record/snapshot_fields.h"

namespace plimsoll::agent {
namespace {

using nlohmann::json;

std::string_view name_of(Reason value) { return to_string(value); }
std::string_view name_of(ActionKind value) { return to_string(value); }
std::string_view name_of(QosRank value) {
  switch (value) {
    case QosRank::kBestEffort:
      return "best_effort";
    case QosRank::kBurstable:
      return "burstable";
    case QosRank::kGuaranteed:
      return "guaranteed";
  }
  return "unknown";
}
template <typename T>
concept Named = requires(T value) {
  name_of(value);
};

std::uint64_t number_of(CgroupId value) { return static_cast<std::uint64_t>(value); }
std::uint64_t number_of(BudgetGroup value) { return value; }

class Writer {
 public:
  template <typename T>
  void operator()(const char* name, const T& value,
                  const std::type_identity_t<T>& otherwise = T{}) {
    if (!(value == otherwise)) object_[name] = write(value);
  }
  json take() { return std::move(object_); }

  template <typename T>
  requires std::is_arithmetic_v<T>
  static json write(T value) { return value; }
  static json write(Bytes value) { return value.value; }
  static json write(Limit value) { return value.is_max() ? json("max") : json(value.bytes); }
  static json write(Nanoseconds value) { return value.count(); }
  static json write(MonotonicTime value) { return value.time_since_epoch().count(); }
  static json write(CgroupId value) { return number_of(value); }
  static json write(Named auto value) { return name_of(value); }
  static json write(MilliCpu value) { return value.value; }
  template <typename T>
  static json write(const PeakWindowOf<T>& value) {
    return write(value.buckets());
  }
  template <typename T>
  static json write(const std::optional<T>& value) {
    return value ? write(*value) : json();
  }
  template <typename T>
  static json write(const std::vector<T>& values) {
    json list = json::array();
    for (const T& value : values) list.push_back(write(value));
    return list;
  }
  template <typename K, typename T>
  static json write(const std::map<K, T>& values) {
    json object = json::object();
    for (const auto& [key, value] : values) object[std::to_string(number_of(key))] = write(value);
    return object;
  }
  template <typename T>
  requires requires(Writer& writer, const T& value) { fields(writer, value); }
  static json write(const T& value) {
    Writer writer;
    fields(writer, value);
    return writer.take();
  }

 private:
  json object_ = json::object();
};

// Takes the members of one object, with an overload for each of their types; the first error stays.
class Reader {
 public:
  Reader(const json& object, std::string path, std::string& error)
      : object_(object), path_(std::move(path)), error_(error) {
    if (!object.is_object()) complain(path_, "an object");
  }

  template <typename T>
  void operator()(const char* name, T& value, const std::type_identity_t<T>& otherwise = T{}) {
    value = otherwise;
    if (!error_.empty()) return;
    const auto found = object_.find(name);
    if (found == object_.end()) return;
    ++known_;
    read(*found, path_ + "." + name, value);
  }
  void finish() {
    if (error_.empty() && known_ != object_.size()) error_ = path_ + ": a member is not known";
  }

  template <typename T>
  requires requires(Reader& reader, T& value) { fields(reader, value); }
  void read(const json& from, const std::string& path, T& value) {
    Reader reader(from, path, error_);
    fields(reader, value);
    reader.finish();
  }

 private:
  void complain(const std::string& path, const char* wanted) {
    if (error_.empty()) error_ = path + ": not " + wanted;
  }

  template <std::unsigned_integral T>
  requires(!std::same_as<T, bool>) void read(const json& from, const std::string& path, T& value) {
    if (!from.is_number_unsigned() || from.get<std::uint64_t>() > std::numeric_limits<T>::max()) {
      return complain(path, "a whole number in its range");
    }
    value = from.get<T>();
  }
  template <std::signed_integral T>
  void read(const json& from, const std::string& path, T& value) {
    const bool fits = from.is_number_unsigned()
                          ? std::in_range<T>(from.get<std::uint64_t>())
                          : from.is_number_integer() && std::in_range<T>(from.get<std::int64_t>());
    if (!fits) return complain(path, "a whole number in its range");
    value = from.get<T>();
  }
  void read(const json& from, const std::string& path, double& value) {
    if (!from.is_number()) return complain(path, "a number");
    value = from.get<double>();
  }
  void read(const json& from, const std::string& path, bool& value) {
    if (!from.is_boolean()) return complain(path, "true or false");
    value = from.get<bool>();
  }
  void read(const json& from, const std::string& path, Bytes& value) {
    read(from, path, value.value);
  }
  void read(const json& from, const std::string& path, Limit& value) {
    if (from == "max") {
      value = kNoLimit;
    } else {
      read(from, path, value.bytes);
    }
  }
  void read(const json& from, const std::string& path, Nanoseconds& value) {
    std::int64_t count = 0;
    read(from, path, count);
    value = Nanoseconds(count);
  }
  void read(const json& from, const std::string& path, MonotonicTime& value) {
    Nanoseconds time{};
    read(from, path, time);
    value = MonotonicTime(time);
  }
  void read(const json& from, const std::string& path, CgroupId& value) {
    std::uint64_t number = 0;
    read(from, path, number);
    value = CgroupId{number};
  }
  template <Named T>
  void read(const json& from, const std::string& path, T& value) {
    constexpr int kMostNames = 64;
    for (int i = 0; from.is_string() && i < kMostNames; ++i) {
      const T candidate = static_cast<T>(i);
      if (name_of(candidate) == "unknown") break;
      if (name_of(candidate) != from.get_ref<const std::string&>()) continue;
      value = candidate;
      return;
    }
    complain(path, "a known word");
  }
  void read(const json& from, const std::string& path, MilliCpu& value) {
    read(from, path, value.value);
  }
  void read(const json& from, const std::string& path, microseconds& value) {
    Nanoseconds time{};
    read(from, path, time);
    value = std::chrono::duration_cast<microseconds>(time);
  }
  template <typename T>
  void read(const json& from, const std::string& path, PeakWindowOf<T>& value) {
    std::vector<typename PeakWindowOf<T>::Bucket> buckets;
    read(from, path, buckets);
    value = PeakWindowOf<T>::of(buckets);
  }
  template <typename T>
  void read(const json& from, const std::string& path, std::optional<T>& value) {
    read(from, path, value.emplace());
  }
  template <typename T>
  void read(const json& from, const std::string& path, std::vector<T>& values) {
    if (!from.is_array()) return complain(path, "a list");
    for (std::size_t i = 0; i < from.size() && error_.empty(); ++i) {
      read(from[i], path + "[" + std::to_string(i) + "]", values.emplace_back());
    }
  }
  template <typename K, typename T>
  void read(const json& from, const std::string& path, std::map<K, T>& values) {
    if (!from.is_object()) return complain(path, "an object");
    for (const auto& [name, member] : from.items()) {
      const json key = json::parse(name, nullptr, false);
      K number{};
      const std::string inner = std::string(path).append(".").append(name);
      read(key, inner, number);
      read(member, inner, values[number]);
      if (!error_.empty()) return;
    }
  }

  const json& object_;
  std::string path_;
  std::string& error_;
  std::size_t known_ = 0;
};

template <typename T>
Result<T> parse(std::string_view text, const char* what) {
  const json document = json::parse(text, nullptr, false);
  if (document.is_discarded()) return fail(Code::kMalformed, std::string(what) + ": not JSON");
  std::string error;
  T value;
  Reader reader(document, what, error);
  if (error.empty()) {
    fields(reader, value);
    reader.finish();
  }
  if (!error.empty()) return fail(Code::kMalformed, error);
  return value;
}

}  // namespace

std::string to_json(const Snapshot& snapshot) { return Writer::write(snapshot).dump(); }
std::string to_json(const Plan& plan) { return Writer::write(plan).dump(); }
std::string to_json(const History& history) { return Writer::write(history).dump(); }

Result<Snapshot> parse_snapshot(std::string_view json) { return parse<Snapshot>(json, "snapshot"); }
Result<Plan> parse_plan(std::string_view json) { return parse<Plan>(json, "plan"); }
Result<History> parse_history(std::string_view json) { return parse<History>(json, "history"); }

}  // namespace plimsoll::agent
