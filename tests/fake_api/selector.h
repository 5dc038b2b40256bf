// SPDX-License-Identifier: Apache-2.0
//
// Selector: which pods a LIST or WATCH is about.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "tests/fake_api/http_message.h"
#include "tests/fake_api/json.h"
#include "tests/fake_api/status.h"

namespace plimsoll::test {

class Selector {
 public:
  // From fieldSelector, labelSelector and the namespace of the path ("" for all); 400 for fields
  // that the server does not know.
  static std::variant<Selector, Reply> from(const HttpRequest& request, const std::string& space);

  bool takes(const Json& object) const;
  bool is_all() const { return terms_.empty(); }

 private:
  struct Term {
    bool label = false;
    std::string name;
    std::string value;
    bool equal = true;
  };
  std::vector<Term> terms_;
};

}  // namespace plimsoll::test
