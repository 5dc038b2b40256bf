// SPDX-License-Identifier: Apache-2.0
//
// Cuts the text of one JSON object, as it arrives in pieces, into its members, so that a reply of
// megabytes is read with the memory of its largest member. It looks at quotes and brackets only:
// whoever reads a member's text finds what else is wrong in it.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace plimsoll::kube {

class JsonMembers {
 public:
  struct Member {
    std::string_view key;  // as it was written, escapes and all
    std::string_view value;
    bool whole = true;  // false: `value` is only the beginning, the rest was too much
  };
  // Member and its texts are valid during the call only.
  using OnMember = std::function<void(const Member&)>;

  // The elements of the array `elements_of` come one by one, each as a member of that key.
  // nullopt: no array is taken apart.
  JsonMembers(std::optional<std::string> elements_of, std::size_t largest_value,
              OnMember on_member);

  // kMalformed: this is no JSON object, and nothing more is read until reset(). Blanks after the
  // object are accepted.
  Result<void> feed(std::string_view chunk);

  // Whether nothing but blanks has come, and whether the object has been closed.
  bool untouched() const { return place_ == Place::kStart; }
  bool complete() const { return place_ == Place::kEnd; }

  // From here on another object is read.
  void reset();

 private:
  enum class Place {
    kStart,
    kFirstKey,
    kNextKey,
    kInKey,
    kColon,
    kValue,
    kFirstElement,
    kElement,
    kInString,
    kInScalar,
    kInBrackets,
    kInBracketsString,
    kAfterValue,
    kEnd,
    kBroken,
  };

  bool step(char c);
  bool step_between(char c);
  bool step_inside(char c);
  void begin_value(char c);
  void end_value();
  void keep(char c);

  std::optional<std::string> elements_of_;
  std::size_t largest_value_;
  OnMember on_member_;
  Place place_ = Place::kStart;
  bool in_array_ = false;  // among the elements of `elements_of_`
  bool escaped_ = false;   // the character before was a backslash
  bool whole_ = true;
  std::size_t depth_ = 0;  // open brackets of the value
  std::string key_;
  std::string value_;
};

}  // namespace plimsoll::kube
