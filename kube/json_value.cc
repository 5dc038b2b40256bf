// SPDX-License-Identifier: Apache-2.0
#include "kube/json_value.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace plimsoll::kube {
namespace {

using Json = nlohmann::json;

// Counted before parsing: the parser's own stack grows with the nesting.
int nesting_of(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  bool escaped = false;
  for (const char c : text) {
    if (escaped) {
      escaped = false;
    } else if (in_string) {
      escaped = c == '\\';
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return deepest;
}

// Decides for the parser what is kept. The parser asks for each key, container and value; what lies
// below a member that is not kept is asked for too, and is answered without a look.
class Sieve {
 public:
  Sieve(const JsonDocument::Keep& keep, std::size_t most_values)
      : keep_(keep), most_values_(most_values) {}

  bool operator()(int depth, Json::parse_event_t event, const Json& parsed) {
    if (event == Json::parse_event_t::key) return on_key(depth, parsed);
    if (event == Json::parse_event_t::object_end || event == Json::parse_event_t::array_end) {
      if (depth < dropped_) dropped_ = 0;  // the object of that key
      return true;
    }
    if (dropped_ && depth >= dropped_) return false;
    return ++values_ <= most_values_;
  }

  bool full() const { return values_ > most_values_; }

 private:
  bool on_key(int depth, const Json& key) {
    if (dropped_ && depth > dropped_) return false;
    dropped_ = 0;
    while (!depths_.empty() && depths_.back() >= depth) {
      depths_.pop_back();
      path_.pop_back();
    }
    depths_.push_back(depth);
    path_.push_back(key.get_ref<const std::string&>());
    if (keep_ && !keep_(path_)) dropped_ = depth;
    return dropped_ == 0 && !full();
  }

  const JsonDocument::Keep& keep_;
  std::size_t most_values_;
  std::size_t values_ = 0;
  int dropped_ = 0;  // depth of the key that is not kept; 0: none
  std::vector<std::string> path_;
  std::vector<int> depths_;  // of the keys in `path_`
};

// Where `wanted` is below `from`; false: not there. Only for messages: it searches.
bool find_path(const Json& from, const Json* wanted, std::string& path) {
  if (&from == wanted) return true;
  const std::size_t length = path.size();
  for (auto member = from.begin(); member != from.end(); ++member) {
    if (!member->is_structured() && &*member != wanted) continue;
    if (from.is_object()) {
      if (!path.empty()) path += '.';
      path += member.key();
    } else {
      path += '[' + std::to_string(member - from.begin()) + ']';
    }
    if (find_path(*member, wanted, path)) return true;
    path.resize(length);
  }
  return false;
}

}  // namespace

struct JsonStorage {
  Json root;
  std::optional<Error> problem;
};

JsonDocument::JsonDocument(std::unique_ptr<JsonStorage> storage) : storage_(std::move(storage)) {}
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;
JsonDocument& JsonDocument::operator=(JsonDocument&&) noexcept = default;
JsonDocument::~JsonDocument() = default;

Result<JsonDocument> JsonDocument::parse(std::string_view text, const Keep& keep,
                                         const JsonLimits& limits) {
  // The parser takes a NUL for the end, whatever follows.
  if (text.find('\0') != std::string_view::npos) return fail(Code::kMalformed, "not JSON");
  if (nesting_of(text) > limits.deepest_nesting) {
    return fail(Code::kMalformed,
                "JSON nested deeper than " + std::to_string(limits.deepest_nesting) + " levels");
  }
  Sieve sieve(keep, limits.most_values);
  auto storage = std::make_unique<JsonStorage>();
  storage->root = Json::parse(
      text.begin(), text.end(),
      [&](int depth, Json::parse_event_t event, const Json& parsed) {
        return sieve(depth, event, parsed);
      },
      /*allow_exceptions=*/false);
  if (sieve.full()) {
    return fail(Code::kMalformed,
                "JSON of more than " + std::to_string(limits.most_values) + " values");
  }
  if (storage->root.is_discarded()) return fail(Code::kMalformed, "not JSON");
  return JsonDocument(std::move(storage));
}

JsonValue JsonDocument::root() const {
  const Json& root = storage_->root;
  return {storage_.get(), root.is_null() ? nullptr : &root};
}

const std::optional<Error>& JsonDocument::problem() const { return storage_->problem; }

namespace {

const Json& json_of(const void* value) { return *static_cast<const Json*>(value); }

}  // namespace

JsonValue JsonValue::operator[](std::string_view key) const {
  if (!present()) return *this;
  const Json& json = json_of(value_);
  if (!json.is_object()) {
    problem("is not an object");
    return {storage_, nullptr};
  }
  const auto member = json.find(key);
  if (member == json.end() || member->is_null()) return {storage_, nullptr};
  return {storage_, &*member};
}

void JsonValue::for_each_element(const std::function<void(JsonValue)>& visit) const {
  if (!present()) return;
  const Json& json = json_of(value_);
  if (!json.is_array()) return problem("is not an array");
  for (const Json& element : json) {
    visit({storage_, element.is_null() ? nullptr : &element});
  }
}

void JsonValue::for_each_member(
    const std::function<void(std::string_view, JsonValue)>& visit) const {
  if (!present()) return;
  const Json& json = json_of(value_);
  if (!json.is_object()) return problem("is not an object");
  for (auto member = json.begin(); member != json.end(); ++member) {
    visit(member.key(), {storage_, member->is_null() ? nullptr : &*member});
  }
}

std::string JsonValue::text() const {
  if (!present()) return {};
  if (const auto* const text = json_of(value_).get_ptr<const std::string*>()) return *text;
  problem("is not a string");
  return {};
}

std::optional<std::int64_t> JsonValue::integer() const {
  if (!present()) return std::nullopt;
  const Json& json = json_of(value_);
  // A number above 2^63-1 is kept unsigned.
  if (const auto* const large = json.get_ptr<const std::uint64_t*>();
      large == nullptr || std::in_range<std::int64_t>(*large)) {
    if (json.is_number_integer()) return json.get<std::int64_t>();
  }
  problem("is not a whole number");
  return std::nullopt;
}

bool JsonValue::boolean() const {
  if (!present()) return false;
  if (const auto* const value = json_of(value_).get_ptr<const bool*>()) return *value;
  problem("is neither true nor false");
  return false;
}

std::size_t JsonValue::size() const {
  return present() && json_of(value_).is_structured() ? json_of(value_).size() : 0;
}

std::string JsonValue::text_or_number() const {
  return present() && json_of(value_).is_number() ? json_of(value_).dump() : text();
}

void JsonValue::problem(std::string_view what) const {
  auto& problem = storage_->problem;
  if (problem) return;
  std::string path;
  if (present()) find_path(storage_->root, &json_of(value_), path);
  problem = Error{Code::kMalformed,
                  (path.empty() ? "the document" : path) + std::string(" ") + std::string(what)};
}

}  // namespace plimsoll::kube
