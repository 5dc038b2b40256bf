// SPDX-License-Identifier: Apache-2.0
#include "kube/json_members.h"

#include <utility>

namespace plimsoll::kube {
namespace {

constexpr std::size_t kLongestKey = 256;
// A buffer that one large value has made is given back.
constexpr std::size_t kKeptBuffer = 64 * 1024;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

}  // namespace

JsonMembers::JsonMembers(std::optional<std::string> elements_of, std::size_t largest_value,
                         OnMember on_member)
    : elements_of_(std::move(elements_of)),
      largest_value_(largest_value),
      on_member_(std::move(on_member)) {}

void JsonMembers::reset() {
  place_ = Place::kStart;
  in_array_ = false;
  escaped_ = false;
  whole_ = true;
  depth_ = 0;
  key_.clear();
  value_.clear();
}

Result<void> JsonMembers::feed(std::string_view chunk) {
  for (const char c : chunk) {
    if (!step(c)) {
      place_ = Place::kBroken;
      return fail(Code::kMalformed, "what was received is not a JSON object");
    }
  }
  return {};
}

// False: `c` may not come here.
bool JsonMembers::step(char c) {
  switch (place_) {
    case Place::kInKey:
    case Place::kInString:
    case Place::kInScalar:
    case Place::kInBrackets:
    case Place::kInBracketsString:
      return step_inside(c);
    case Place::kBroken:
      return false;
    default:
      return is_blank(c) || step_between(c);
  }
}

bool JsonMembers::step_between(char c) {
  switch (place_) {
    case Place::kStart:
      place_ = Place::kFirstKey;
      return c == '{';
    case Place::kFirstKey:
    case Place::kNextKey:
      if (c == '}' && place_ == Place::kFirstKey) {
        place_ = Place::kEnd;
        return true;
      }
      key_.clear();
      place_ = Place::kInKey;
      return c == '"';
    case Place::kColon:
      place_ = Place::kValue;
      return c == ':';
    case Place::kValue:
      if (c == '[' && key_ == elements_of_) {
        in_array_ = true;
        place_ = Place::kFirstElement;
        return true;
      }
      begin_value(c);
      return c != ',' && c != '}' && c != ']' && c != ':';
    case Place::kFirstElement:
    case Place::kElement:
      if (c == ']' && place_ == Place::kFirstElement) {
        in_array_ = false;
        place_ = Place::kAfterValue;
        return true;
      }
      begin_value(c);
      return c != ',' && c != '}' && c != ']' && c != ':';
    case Place::kAfterValue:
      if (c == ',') {
        place_ = in_array_ ? Place::kElement : Place::kNextKey;
        return true;
      }
      if (in_array_) {
        in_array_ = false;
        return c == ']';
      }
      place_ = Place::kEnd;
      return c == '}';
    default:
      return false;
  }
}

bool JsonMembers::step_inside(char c) {
  if (place_ == Place::kInScalar) {
    if (c == ',' || c == '}' || c == ']' || is_blank(c)) {
      end_value();
      return is_blank(c) || step_between(c);
    }
    keep(c);
    return true;
  }
  const bool quote = c == '"' && !escaped_;
  escaped_ = c == '\\' && !escaped_ && place_ != Place::kInBrackets;
  if (place_ == Place::kInKey) {
    if (quote) {
      place_ = Place::kColon;
    } else {
      key_.push_back(c);
    }
    return key_.size() <= kLongestKey;
  }
  keep(c);
  if (place_ == Place::kInString) {
    if (quote) end_value();
  } else if (place_ == Place::kInBracketsString) {
    if (quote) place_ = Place::kInBrackets;
  } else if (quote) {
    place_ = Place::kInBracketsString;
  } else if (c == '{' || c == '[') {
    ++depth_;
  } else if (c == '}' || c == ']') {
    if (--depth_ == 0) end_value();
  }
  return true;
}

void JsonMembers::begin_value(char c) {
  value_.clear();
  whole_ = true;
  escaped_ = false;
  depth_ = 0;
  keep(c);
  if (c == '"') {
    place_ = Place::kInString;
  } else if (c == '{' || c == '[') {
    depth_ = 1;
    place_ = Place::kInBrackets;
  } else {
    place_ = Place::kInScalar;
  }
}

void JsonMembers::end_value() {
  place_ = Place::kAfterValue;
  on_member_({.key = key_, .value = value_, .whole = whole_});
  if (value_.capacity() > kKeptBuffer) std::string().swap(value_);
}

void JsonMembers::keep(char c) {
  if (value_.size() < largest_value_) {
    value_.push_back(c);
  } else {
    whole_ = false;
  }
}

}  // namespace plimsoll::kube
