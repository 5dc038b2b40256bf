// SPDX-License-Identifier: Apache-2.0
#include "agent/config/parse.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "agent/config/keys.h"
#include "agent/config/yaml.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/printable.h"

namespace plimsoll::agent {
namespace {

// More than a person reads at once; the rest is counted.
constexpr std::size_t kMostErrors = 50;

bool is_section(std::string_view name) {
  const auto keys = config_keys();
  return std::any_of(keys.begin(), keys.end(), [&](const ConfigKey& key) {
    return key.name.size() > name.size() && key.name.starts_with(name) &&
           key.name[name.size()] == '.';
  });
}

class Reader {
 public:
  void read(const Setting& setting) {
    const ConfigKey* key = find_key(setting.key);
    if (key == nullptr) {
      if (!is_section(setting.key)) {
        // A file of nothing but unknown keys would be compared with all known ones for long.
        const std::string nearest =
            complaints_.size() < kMostErrors ? nearest_key(setting.key) : std::string();
        complain(setting,
                 "unknown key" + (nearest.empty() ? "" : "; did you mean " + shown(nearest) + "?"));
      } else if (setting.has_value) {
        complain(setting, in_quotes(setting.value) + ", where a section is expected");
      }
      return;
    }
    const auto [first, is_new] = lines_.emplace(setting.key, setting.line);
    if (!is_new) {
      complain(setting, "set twice, first in line " + std::to_string(first->second));
      return;
    }
    const std::string_view text = setting.has_value ? std::string_view(setting.value) : "";
    if (const Result<void> set = set_key(*key, setting.key, text, config_); !set) {
      complain(setting, set.error().message);
    }
  }

  // What one key alone cannot tell; only of a file that is good so far.
  void check_together() {
    if (!complaints_.empty()) return;
    const MemoryPolicy& memory = config_.policy.memory;
    if (memory.round_to > memory.step) {
      at_either("memory.round_to", "memory.step", "larger than memory.step");
    }
    if (config_.hold.slice > config_.hold.door) {
      at_either("hold.slice", "hold.door", "longer than hold.door");
    }
    const ApiConfig& api = config_.node.api;
    if (api.rescue_deadline > api.deadline) {
      at_either("api.rescue_deadline", "api.deadline", "longer than api.deadline");
    }
    if (api.verify_after > api.withdraw_after) {
      at_either("api.verify_after", "api.withdraw_after", "longer than api.withdraw_after");
    }
    if (api.refused_backoff > api.refused_backoff_max) {
      at_either("api.refused_backoff", "api.refused_backoff_max",
                "longer than api.refused_backoff_max");
    }
    if (const Result<void> valid = validate(memory); !valid) {
      complaints_.push_back({0, "memory." + valid.error().message});
    }
  }

  const Config& config() const { return config_; }
  std::vector<Complaint>& complaints() { return complaints_; }

 private:
  void complain(const Setting& setting, const std::string& what) {
    complaints_.push_back({setting.line, shown(setting.key) + ": " + what});
  }
  void at_either(const std::string& key, const std::string& other, const std::string& what) {
    const auto line = lines_.contains(key) ? lines_.find(key) : lines_.find(other);
    complaints_.push_back({line == lines_.end() ? 0 : line->second, key + ": " + what});
  }

  Config config_;
  std::map<std::string, std::size_t, std::less<>> lines_;
  std::vector<Complaint> complaints_;
};

std::string message_of(std::vector<Complaint> complaints, std::string_view file_name) {
  std::stable_sort(complaints.begin(), complaints.end(),
                   [](const Complaint& a, const Complaint& b) { return a.line < b.line; });
  std::string text;
  for (std::size_t i = 0; i < complaints.size() && i < kMostErrors; ++i) {
    if (i > 0) text += "\n";
    text += file_name;
    if (complaints[i].line > 0) text += ":" + std::to_string(complaints[i].line);
    text += ": " + complaints[i].message;
  }
  if (complaints.size() > kMostErrors) {
    text += "\n" + std::string(file_name) + ": and " +
            std::to_string(complaints.size() - kMostErrors) + " more errors";
  }
  return text;
}

}  // namespace

Result<Config> parse_config(std::string_view text, std::string_view file_name) {
  const Settings settings = read_settings(text);
  Reader reader;
  for (const Setting& setting : settings.settings) reader.read(setting);
  std::vector<Complaint>& complaints = reader.complaints();
  complaints.insert(complaints.end(), settings.complaints.begin(), settings.complaints.end());
  reader.check_together();
  if (!complaints.empty()) return fail(Code::kMalformed, message_of(complaints, file_name));
  return reader.config();
}

Result<Config> load_config(const std::string& path) {
  const Result<std::string> text = read_file(path);
  if (!text) return tl::unexpected<Error>(text.error());
  return parse_config(*text, path);
}

}  // namespace plimsoll::agent
