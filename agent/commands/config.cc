// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/config.h"

#include <algorithm>
#include <ostream>
#include <string_view>
#include <vector>

#include "agent/config/config.h"
#include "agent/config/keys.h"
#include "agent/config/parse.h"
#include "base/printable.h"

namespace plimsoll::agent {
namespace {

constexpr std::size_t kWidth = 80;

// Words of `text` in lines of at most kWidth columns, each beginning with `indent`.
void wrap(std::string_view text, std::string_view indent, std::ostream& out) {
  std::size_t column = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (column > 0 && column + 1 + end > kWidth) {
      out << '\n';
      column = 0;
    }
    out << (column == 0 ? indent : " ") << text.substr(0, end);
    column += (column == 0 ? indent.size() : 1) + end;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  out << '\n';
}

std::string default_text(const ConfigKey& key) {
  const std::optional<std::string> value = value_text(key, Config{});
  if (!value) return std::string(key.otherwise);
  return value->empty() ? "empty" : *value;
}

void explain(const ConfigKey& key, std::ostream& out) {
  out << key.name << "\n  kind     " << kind_text(key) << "\n  default  " << default_text(key);
  if (const std::string allowed = allowed_text(key); !allowed.empty()) {
    out << "\n  allowed  " << allowed;
  }
  out << '\n';
  wrap(key.summary, "  ", out);
  if (key.at_start) wrap("A change counts from the next start on.", "  ", out);
}

bool is_in_section(const ConfigKey& key, std::string_view section) {
  return key.name.size() > section.size() && key.name.starts_with(section) &&
         key.name[section.size()] == '.';
}

int explain_main(const std::string& name, std::ostream& out, std::ostream& errors) {
  std::vector<const ConfigKey*> found;
  if (const ConfigKey* key = find_key(name)) {
    found.push_back(key);
  } else {
    for (const ConfigKey& each : config_keys()) {
      if (name.empty() || is_in_section(each, name)) found.push_back(&each);
    }
  }
  if (found.empty()) {
    const std::string nearest = nearest_key(name);
    errors << "plimsoll: no key " << in_quotes(name);
    if (!nearest.empty()) errors << "; did you mean " << shown(nearest) << '?';
    errors << '\n';
    return 1;
  }
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (i > 0) out << '\n';
    explain(*found[i], out);
  }
  return 0;
}

int check_main(const std::string& file, std::ostream& out, std::ostream& errors) {
  if (const Result<Config> config = load_config(file); !config) {
    errors << config.error().message << '\n';
    return 1;
  }
  out << file << ": good\n";
  return 0;
}

int defaults_main(std::ostream& out) {
  out << "# Every key with its default. Keys that are not written here stay at these values.\n";
  for (const ConfigKey& key : config_keys()) {
    out << '\n';
    wrap(key.summary, "# ", out);
    if (const std::string allowed = allowed_text(key); !allowed.empty()) {
      out << "# Allowed: " << allowed << '\n';
    }
    // Texts are quoted: some begin with what means something else to YAML.
    if (const std::optional<std::string> value = value_text(key, Config{})) {
      const bool bare = !allowed_text(key).empty();
      out << key.name << ": " << (bare ? *value : "\"" + *value + "\"") << '\n';
    } else {
      out << "# " << key.name << ":  # " << key.otherwise << '\n';
    }
  }
  return 0;
}

}  // namespace

int config_main(const ConfigOptions& options, std::ostream& out, std::ostream& errors) {
  switch (options.action) {
    case ConfigOptions::Action::kCheck:
      return check_main(options.file, out, errors);
    case ConfigOptions::Action::kExplain:
      return explain_main(options.key, out, errors);
    case ConfigOptions::Action::kDefaults:
      return defaults_main(out);
  }
  return 1;
}

}  // namespace plimsoll::agent
