// SPDX-License-Identifier: Apache-2.0
//
// A parsed JSON document that is read without surprises: a missing member is an absent value, and a
// value of the wrong type is noted as the document's problem, once, with its path. Nothing throws,
// and nesting and the number of values are bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace plimsoll::kube {

class JsonDocument;
struct JsonStorage;  // the parsed values, in json_value.cc

// A place in a document, present or not. Valid as long as the document lives.
class JsonValue {
 public:
  // Neither missing nor null.
  bool present() const { return value_ != nullptr; }

  // Absent values have absent members and no elements.
  JsonValue operator[](std::string_view key) const;
  void for_each_element(const std::function<void(JsonValue)>& visit) const;
  void for_each_member(const std::function<void(std::string_view key, JsonValue)>& visit) const;

  // What is absent reads as "", nullopt, false and 0.
  std::string text() const;
  std::optional<std::int64_t> integer() const;
  bool boolean() const;
  std::size_t size() const;  // of an array or object
  // A string's text, or a number as it was written.
  std::string text_or_number() const;

  // Notes that this value is `what`, e.g. "is not a time".
  void problem(std::string_view what) const;

 private:
  friend class JsonDocument;
  JsonValue(JsonStorage* storage, const void* value) : storage_(storage), value_(value) {}

  JsonStorage* storage_ = nullptr;
  const void* value_ = nullptr;
};

struct JsonLimits {
  std::size_t most_values = 65'536;  // kept
  int deepest_nesting = 64;
};

class JsonDocument {
 public:
  // Whether a member is kept: `path` is the keys from the root to it, arrays left out. What is not
  // kept costs no memory.
  using Keep = std::function<bool(std::span<const std::string> path)>;

  // kMalformed: not JSON, or beyond the limits.
  static Result<JsonDocument> parse(std::string_view text, const Keep& keep = {},
                                    const JsonLimits& limits = {});

  JsonDocument(const JsonDocument&) = delete;
  JsonDocument& operator=(const JsonDocument&) = delete;
  JsonDocument(JsonDocument&&) noexcept;
  JsonDocument& operator=(JsonDocument&&) noexcept;
  ~JsonDocument();

  JsonValue root() const;

  // The first problem that reading came across.
  const std::optional<Error>& problem() const;

 private:
  explicit JsonDocument(std::unique_ptr<JsonStorage> storage);

  std::unique_ptr<JsonStorage> storage_;
};

}  // namespace plimsoll::kube
