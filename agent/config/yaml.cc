// SPDX-License-Identifier: Apache-2.0
#include "agent/config/yaml.h"
#include "base/printable.h"

#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <sstream>
#include <utility>

namespace plimsoll::agent {
namespace {

std::size_t line_of(const YAML::Mark& mark) {
  return mark.line < 0 ? 0 : static_cast<std::size_t>(mark.line) + 1;
}

// Takes the parser's events instead of its tree: each has its line, a key that comes twice is seen
// twice, and an alias cannot multiply or close a circle.
class Flattener : public YAML::EventHandler {
 public:
  explicit Flattener(Settings& out) : out_(out) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { scalar(mark, "", false); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    // "?" and "!" are what the parser itself calls a plain and a quoted scalar.
    if (anchor != 0 || !(tag.empty() || tag == "?" || tag == "!")) {
      complain(mark, "anchors and tags are not allowed; a value that begins with ! needs quotes");
    }
    scalar(mark, value, true);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    complain(mark, "aliases are not allowed; a value that begins with * needs quotes");
    scalar(mark, "", true, false);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    if (lists_++ == 0 && skipped_ == 0) {
      const std::string name = path_.empty() ? std::string() : path_.back().name;
      complain(mark, name.empty() ? "a list, where sections and \"key: value\" are expected"
                                  : shown(name) + ": a list, where one value is expected");
    }
    ++skipped_;
  }
  void OnSequenceEnd() override {
    --skipped_;
    if (--lists_ == 0 && skipped_ == 0) value_done();
  }

  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    if (skipped_ > 0) {
      ++skipped_;
      return;
    }
    if (anchor != 0) complain(mark, "anchors and tags are not allowed");
    if (!path_.empty() && path_.back().name.empty()) {
      complain(mark, "a section, where a key is expected");
      ++skipped_;
      return;
    }
    if (path_.size() >= kDeepestSection) {
      complain(mark, shown(path_.back().name) + ": sections are nested too deep");
      ++skipped_;
      return;
    }
    path_.push_back({path_.empty() ? std::string() : path_.back().name, "", 0});
  }
  void OnMapEnd() override {
    if (skipped_ > 0) {
      if (--skipped_ == 0) value_done();
      return;
    }
    path_.pop_back();
    value_done();
  }

 private:
  // An open section; `name` is the dotted name of the key whose value comes next, or empty when a
  // key comes next.
  struct Section {
    std::string prefix;
    std::string name;
    std::size_t line;  // of that key
  };

  void complain(const YAML::Mark& mark, std::string message) {
    if (skipped_ == 0) out_.complaints.push_back({line_of(mark), std::move(message)});
  }
  void value_done() {
    if (!path_.empty()) path_.back().name.clear();
  }

  void scalar(const YAML::Mark& mark, const std::string& text, bool has_value, bool keep = true) {
    if (skipped_ > 0) return;
    if (path_.empty()) {
      // An empty file is a configuration: all defaults.
      if (has_value) {
        complain(mark, in_quotes(text) + ", where sections and \"key: value\" are expected");
      }
      return;
    }
    Section& section = path_.back();
    if (section.name.empty()) {
      if (text.empty()) complain(mark, "an empty key");
      section.name = section.prefix.empty() ? text : section.prefix + "." + text;
      if (section.name.empty()) section.name = ".";
      section.line = line_of(mark);
      return;
    }
    if (keep) out_.settings.push_back({section.name, text, section.line, has_value});
    value_done();
  }

  Settings& out_;
  std::vector<Section> path_;
  std::size_t skipped_ = 0;  // open maps and lists that are being passed over
  std::size_t lists_ = 0;
};

// Where the syntax is wrong, what was understood before it says little: that error stands alone.
Settings broken(std::string_view text, const YAML::Mark& mark, std::string message) {
  std::istringstream stream{std::string(text)};
  std::string line;
  for (int i = 0; i <= mark.line; ++i) std::getline(stream, line);
  const std::size_t indent = line.find_first_not_of(" \t");
  if (line.substr(0, indent).find('\t') != std::string::npos) {
    message += " (the line is indented with a tab; YAML wants spaces)";
  }
  if (line.find(": *") != std::string::npos) message += "; a value that begins with * needs quotes";
  return {{}, {{line_of(mark), std::move(message)}}};
}

}  // namespace

Settings read_settings(std::string_view text) {
  Settings result;
  if (text.size() > kLargestConfig) {
    result.complaints.push_back({0, "larger than " + std::to_string(kLargestConfig / 1024) +
                                        " KiB, which no configuration is"});
    return result;
  }
  // The parser refuses to nest deeper than 500 by itself, so its recursion is bounded too.
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    Flattener flattener(result);
    parser.HandleNextDocument(flattener);
    Settings more;
    Flattener rest(more);
    if (parser.HandleNextDocument(rest)) {
      result.complaints.push_back({0, "more than one YAML document"});
    }
  } catch (const YAML::DeepRecursion& error) {
    return broken(text, error.mark, "nested too deep");
  } catch (const YAML::Exception& error) {
    return broken(text, error.mark, "not valid YAML: " + printable(error.msg));
  }
  return result;
}

}  // namespace plimsoll::agent
