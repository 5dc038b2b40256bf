// SPDX-License-Identifier: Apache-2.0
#include "agent/config/selector.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "base/printable.h"

namespace plimsoll::agent {
namespace {

constexpr std::size_t kLongestName = 63;     // of a DNS label, a label's name and value
constexpr std::size_t kLongestPrefix = 253;  // of a DNS subdomain
constexpr std::size_t kMostRequirements = 64;

// Not those of <cctype>, which depend on the locale.
bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_alphanumeric(char c) { return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z'); }

// "[alphanumeric or -_.]*" that begins and ends alphanumeric.
bool is_qualified_name(std::string_view name) {
  return !name.empty() && name.size() <= kLongestName && is_alphanumeric(name.front()) &&
         is_alphanumeric(name.back()) && std::all_of(name.begin(), name.end(), [](char c) {
           return is_alphanumeric(c) || c == '-' || c == '_' || c == '.';
         });
}

bool is_dns_subdomain(std::string_view name) {
  if (name.empty() || name.size() > kLongestPrefix) return false;
  while (true) {
    const std::size_t dot = name.find('.');
    // As Kubernetes has it: parts of a subdomain may be longer than a label of its own.
    const std::string_view part = name.substr(0, dot);
    if (part.empty() || !is_lower_or_digit(part.front()) || !is_lower_or_digit(part.back())) {
      return false;
    }
    if (!std::all_of(part.begin(), part.end(),
                     [](char c) { return is_lower_or_digit(c) || c == '-'; })) {
      return false;
    }
    if (dot == std::string_view::npos) return true;
    name.remove_prefix(dot + 1);
  }
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// `*` stands for any characters. Goes back to the last star only: linear in practice, quadratic at
// worst, and names are short.
bool matches_glob(std::string_view glob, std::string_view name) {
  std::size_t star = std::string_view::npos;
  std::size_t resume = 0;
  std::size_t g = 0;
  std::size_t n = 0;
  while (n < name.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      resume = n;
    } else if (g < glob.size() && glob[g] == name[n]) {
      ++g;
      ++n;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      n = ++resume;
    } else {
      return false;
    }
  }
  return glob.find_first_not_of('*', g) == std::string_view::npos;
}

bool is_namespace_glob(std::string_view glob) {
  return !glob.empty() && glob.size() <= kLongestName &&
         std::all_of(glob.begin(), glob.end(),
                     [](char c) { return is_lower_or_digit(c) || c == '-' || c == '*'; });
}

std::string joined(const std::vector<std::string>& values) {
  std::string text;
  for (std::size_t i = 0; i < values.size(); ++i) text += (i == 0 ? "" : ",") + values[i];
  return text;
}

}  // namespace

bool is_dns_label(std::string_view name) {
  return name.size() <= kLongestName && name.find('.') == std::string_view::npos &&
         is_dns_subdomain(name);
}

bool is_label_key(std::string_view key) {
  const std::size_t slash = key.find('/');
  if (slash == std::string_view::npos) return is_qualified_name(key);
  return is_dns_subdomain(key.substr(0, slash)) && is_qualified_name(key.substr(slash + 1));
}

bool is_label_value(std::string_view text) { return text.empty() || is_qualified_name(text); }

// A word is a run of anything but blanks and ,=!()<>; the grammar needs one word of foresight.
class Selector::Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) { skip_blanks(); }

  Result<Selector> parse() {
    Selector selector;
    while (!at_end()) {
      if (selector.requirements_.size() == kMostRequirements)
        return malformed("has too many parts");
      auto requirement = read_requirement();
      if (!requirement) return tl::unexpected<Error>(requirement.error());
      selector.requirements_.push_back(std::move(*requirement));
      if (at_end()) break;
      if (!take(",")) return malformed("needs a comma before " + rest());
      if (at_end()) return malformed("ends with a comma");
    }
    return selector;
  }

 private:
  Result<Requirement> read_requirement() {
    const bool absent = take("!");
    Requirement requirement{.key = std::string(word())};
    if (!is_label_key(requirement.key)) {
      return malformed(requirement.key.empty()
                           ? "needs the name of a label " + where()
                           : "has " + in_quotes(requirement.key) + ", which is no name of a label");
    }
    if (absent) {
      requirement.op = Operator::kNotExists;
    } else if (take("==") || take("=")) {
      return with_value(std::move(requirement), Operator::kEquals);
    } else if (take("!=")) {
      return with_value(std::move(requirement), Operator::kNotEquals);
    } else if (!at_end() && text_.front() != ',') {
      const std::string_view op = word();
      if (op != "in" && op != "notin") {
        return malformed("needs one of = == != in notin after " + in_quotes(requirement.key));
      }
      return with_values(std::move(requirement), op == "in" ? Operator::kIn : Operator::kNotIn);
    }
    return requirement;
  }

  Result<Requirement> with_value(Requirement requirement, Operator op) {
    requirement.op = op;
    return add_value(requirement).map([&] { return std::move(requirement); });
  }

  Result<Requirement> with_values(Requirement requirement, Operator op) {
    requirement.op = op;
    if (!take("(")) return malformed("needs ( after in or notin");
    do {
      if (auto added = add_value(requirement); !added) return tl::unexpected(added.error());
    } while (take(","));
    if (!take(")")) return malformed("needs ) at the end of a list");
    std::vector<std::string>& values = requirement.values;
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    return requirement;
  }

  // An absent word is the empty value, which is one: "app=" and "app in (a,)".
  Result<void> add_value(Requirement& requirement) {
    const std::string_view value = word();
    if (!is_label_value(value)) {
      return malformed("has " + in_quotes(value) + ", which no label can have as its value");
    }
    requirement.values.emplace_back(value);
    return {};
  }

  bool at_end() const { return text_.empty(); }
  bool take(std::string_view token) {
    if (!text_.starts_with(token)) return false;
    text_.remove_prefix(token.size());
    skip_blanks();
    return true;
  }
  std::string_view word() {
    const std::size_t size = std::min(text_.find_first_of(" \t,=!()<>"), text_.size());
    const std::string_view found = text_.substr(0, size);
    text_.remove_prefix(size);
    skip_blanks();
    return found;
  }
  void skip_blanks() {
    text_.remove_prefix(std::min(text_.find_first_not_of(" \t"), text_.size()));
  }
  std::string rest() const { return in_quotes(text_); }
  std::string where() const { return at_end() ? "at its end" : "before " + rest(); }
  static tl::unexpected<Error> malformed(const std::string& why) {
    return fail(Code::kMalformed,
                "the selector " + why + "; expected one such as \"app=web,env in (dev,ci)\"");
  }

  std::string_view text_;
};

Result<Selector> Selector::parse(std::string_view text) { return Parser(text).parse(); }

bool Selector::holds(const Requirement& requirement, const Labels& labels) {
  const auto label = labels.find(requirement.key);
  const bool exists = label != labels.end();
  const bool listed = exists && std::binary_search(requirement.values.begin(),
                                                   requirement.values.end(), label->second);
  switch (requirement.op) {
    case Operator::kEquals:
    case Operator::kIn:
      return listed;
    case Operator::kNotEquals:
    case Operator::kNotIn:
      return !listed;
    case Operator::kExists:
      return exists;
    case Operator::kNotExists:
      return !exists;
  }
  return false;
}

bool Selector::matches(const Labels& labels) const {
  return std::all_of(requirements_.begin(), requirements_.end(),
                     [&](const Requirement& each) { return holds(each, labels); });
}

std::string Selector::text() const {
  std::string text;
  for (const Requirement& each : requirements_) {
    if (!text.empty()) text += ',';
    switch (each.op) {
      case Operator::kEquals:
        text += each.key + "=" + each.values.front();
        break;
      case Operator::kNotEquals:
        text += each.key + "!=" + each.values.front();
        break;
      case Operator::kIn:
        text += each.key + " in (" + joined(each.values) + ")";
        break;
      case Operator::kNotIn:
        text += each.key + " notin (" + joined(each.values) + ")";
        break;
      case Operator::kExists:
        text += each.key;
        break;
      case Operator::kNotExists:
        text += "!" + each.key;
        break;
    }
  }
  return text;
}

Result<NamespaceList> NamespaceList::parse(std::string_view text) {
  NamespaceList list;
  std::string_view rest = trimmed(text);
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    std::string_view name = trimmed(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
    const bool excluded = name.starts_with('!');
    if (excluded) name = trimmed(name.substr(1));
    if (!is_namespace_glob(name)) {
      return fail(Code::kMalformed, in_quotes(name) +
                                        " is no name of a namespace; expected a list such as "
                                        "\"dev-*,ci,!dev-secret\"");
    }
    (excluded ? list.excluded_ : list.included_).emplace_back(name);
  }
  return list;
}

bool NamespaceList::contains(std::string_view name) const {
  const auto any = [&](const std::vector<std::string>& globs) {
    return std::any_of(globs.begin(), globs.end(),
                       [&](const std::string& glob) { return matches_glob(glob, name); });
  };
  return !any(excluded_) && (included_.empty() || any(included_));
}

std::string NamespaceList::text() const {
  std::string text = joined(included_);
  for (const std::string& name : excluded_) text += (text.empty() ? "!" : ",!") + name;
  return text;
}

}  // namespace plimsoll::agent
