// SPDX-License-Identifier: Apache-2.0
//
// Which pods the operator means: Kubernetes label selectors and lists of namespace names, parsed
// once when the configuration is read. Values, pure; used by agent/config and
// agent/pods/pod_policy.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace plimsoll::agent {

// Labels or annotations of one object.
using Labels = std::map<std::string, std::string, std::less<>>;

// A label selector in the syntax of `kubectl get -l`: "app=web,tier!=db,env in (dev,ci),!legacy".
// All of its requirements must hold; none at all selects everything. As in Kubernetes, != and notin
// hold for an object without the label too.
class Selector {
 public:
  // Selects everything.
  Selector() = default;
  // kMalformed says what is wrong and where.
  static Result<Selector> parse(std::string_view text);

  bool matches(const Labels& labels) const;
  // What parse() reads back as the same selector, in one spelling of several.
  std::string text() const;

  bool operator==(const Selector&) const = default;

 private:
  enum class Operator : std::uint8_t { kEquals, kNotEquals, kIn, kNotIn, kExists, kNotExists };
  struct Requirement {
    std::string key;
    Operator op = Operator::kExists;
    std::vector<std::string> values;  // sorted, each once

    bool operator==(const Requirement&) const = default;
  };
  class Parser;

  static bool holds(const Requirement& requirement, const Labels& labels);

  std::vector<Requirement> requirements_;
};

// Namespaces by name: "dev-*,ci,!dev-secret". `*` stands for any characters, ! excludes, and an
// exclusion always wins. Only exclusions: all others. Labels of namespaces would need one more
// right than the agent has.
class NamespaceList {
 public:
  // Every namespace.
  NamespaceList() = default;
  static Result<NamespaceList> parse(std::string_view text);

  bool contains(std::string_view name) const;
  std::string text() const;

  bool operator==(const NamespaceList&) const = default;

 private:
  std::vector<std::string> included_;
  std::vector<std::string> excluded_;
};

// Rules of Kubernetes for names, as far as files and annotations may hold them.
bool is_dns_label(std::string_view name);    // a namespace, a container
bool is_label_key(std::string_view key);     // "app", "example.com/tier"
bool is_label_value(std::string_view text);  // may be empty

}  // namespace plimsoll::agent
