// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/selector.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace plimsoll::test {
namespace {

constexpr std::array kFields{"metadata.name",
                             "metadata.namespace",
                             "spec.nodeName",
                             "spec.restartPolicy",
                             "spec.schedulerName",
                             "spec.serviceAccountName",
                             "spec.hostNetwork",
                             "status.phase",
                             "status.podIP",
                             "status.nominatedNodeName",
                             "involvedObject.name",
                             "involvedObject.uid",
                             "involvedObject.namespace",
                             "reason"};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::string field_of(const Json& object, const std::string& path) {
  const Json* at = &object;
  std::size_t begin = 0;
  while (begin <= path.size()) {
    const std::size_t end = std::min(path.find('.', begin), path.size());
    at = &member(*at, std::string_view(path).substr(begin, end - begin));
    begin = end + 1;
  }
  return at->is_string() ? at->get<std::string>() : "";
}

}  // namespace

std::variant<Selector, Reply> Selector::from(const HttpRequest& request, const std::string& space) {
  Selector selector;
  if (!space.empty()) selector.terms_.push_back({false, "metadata.namespace", space, true});
  for (const char* kind : {"fieldSelector", "labelSelector"}) {
    const bool label = std::string_view(kind) == "labelSelector";
    for (const std::string& part : split(request.parameter(kind))) {
      const std::size_t equals = part.find('=');
      if (equals == std::string::npos) {
        return status_reply(400, "BadRequest",
                            "invalid selector: '" + part + "'; can't understand '" + part + "'");
      }
      const bool unequal = equals > 0 && part[equals - 1] == '!';
      const std::string name = part.substr(0, equals - (unequal ? 1 : 0));
      const std::size_t value = part.find_first_not_of('=', equals);
      if (!label && std::find(kFields.begin(), kFields.end(), name) == kFields.end()) {
        return status_reply(400, "BadRequest", "field label not supported: " + name);
      }
      selector.terms_.push_back(
          {label, name, value == std::string::npos ? "" : part.substr(value), !unequal});
    }
  }
  return selector;
}

bool Selector::takes(const Json& object) const {
  return std::all_of(terms_.begin(), terms_.end(), [&](const Term& term) {
    const std::string value = term.label
                                  ? text_at(member(member(object, "metadata"), "labels"), term.name)
                                  : field_of(object, term.name);
    return (value == term.value) == term.equal;
  });
}

}  // namespace plimsoll::test
