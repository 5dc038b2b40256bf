// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/explain_table.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "base/printable.h"
#include "base/units.h"

namespace plimsoll::agent {
namespace {

using Json = nlohmann::json;

// Servers' words go to a terminal: printable() all of them.
std::string word(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? printable(found->get<std::string>())
                                                   : std::string();
}

bool has(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number();
}

// "384 MiB", "max", "-".
std::string size(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return "-";
  if (found->is_string()) return printable(found->get<std::string>());
  return found->is_number_unsigned() ? to_string(Bytes{found->get<std::uint64_t>()}) : "-";
}

// "500m".
std::string cpus(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found->is_number_unsigned() ? to_string(MilliCpu{found->get<std::uint64_t>()}) : "-";
}

std::string duration(const Json& json, const char* key) {
  if (!has(json, key)) return "";
  const double seconds = std::clamp(json.at(key).get<double>(), 0.0, 1e6);
  return to_string(
      std::chrono::round<std::chrono::microseconds>(std::chrono::duration<double>(seconds)));
}

// "2026-11-21 21:31:32.123"
std::string time_of(const Json& json, const char* key) {
  std::string text = word(json, key);
  std::replace(text.begin(), text.end(), 'T', ' ');
  return text.substr(0, std::string_view("2026-11-21 21:31:32.123").size());
}

std::string joined(const std::vector<std::string>& parts, std::string_view between) {
  std::string text;
  for (const std::string& part : parts) {
    if (part.empty()) continue;
    if (!text.empty()) text += between;
    text += part;
  }
  return text;
}

constexpr std::size_t kColumns = 6;
using Row = std::array<std::string, kColumns>;
const Row kHead{"TIME (UTC)", "WHAT", "LAYER", "LIMIT", "TOOK", "WHY AND ANSWER"};

Row row_of(const Json& entry) {
  Row row{time_of(entry, "at"), word(entry, "what"), word(entry, "layer")};
  if (has(entry, "repeats"))
    row[1] += " x" + std::to_string(entry.at("repeats").get<std::int64_t>());
  if (has(entry, "from_bytes") && has(entry, "to_bytes")) {
    row[3] = size(entry, "from_bytes") + " -> " + size(entry, "to_bytes");
  } else if (has(entry, "from_millicpu") && has(entry, "to_millicpu")) {
    row[3] = cpus(entry, "from_millicpu") + " -> " + cpus(entry, "to_millicpu");
  } else if (has(entry, "limit_bytes")) {
    row[3] = size(entry, "limit_bytes");
  }
  row[4] = duration(entry, "took_seconds");
  const std::string status =
      has(entry, "status") ? "HTTP " + std::to_string(entry.at("status").get<std::int64_t>()) : "";
  const std::string last = time_of(entry, "last");
  row[5] = joined({word(entry, "why"), word(entry, "numbers"), status, word(entry, "detail"),
                   last.empty() ? "" : "last at " + last},
                  "; ");
  return row;
}

void print_table(std::ostream& out, const std::vector<Row>& rows) {
  std::array<std::size_t, kColumns> widths{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < kColumns; ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const Row& row : rows) {
    std::string line = "  ";
    for (std::size_t i = 0; i < kColumns; ++i) {
      line += row[i];
      if (i + 1 < kColumns) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << '\n';
  }
}

void print_state(std::ostream& out, const Json& state) {
  out << "  limit " << size(state, "limit_bytes") << ", floor " << size(state, "floor_bytes")
      << ", ceiling " << size(state, "ceiling_bytes");
  if (has(state, "usage_bytes")) out << ", usage " << size(state, "usage_bytes");
  if (has(state, "reclaimable_bytes")) {
    out << " (" << size(state, "reclaimable_bytes") << " of it reclaimable)";
  }
  if (const std::string way = word(state, "actuation"); !way.empty()) out << ", by " << way;
  out << '\n';
  if (const std::string why = word(state, "denial_why"); !why.empty()) {
    out << "  does not grow now: " << why << '\n';
  }
  if (const auto notes = state.find("notes"); notes != state.end() && notes->is_array()) {
    for (const Json& note : *notes) {
      if (note.is_string()) out << "  note: " << printable(note.get<std::string>()) << '\n';
    }
  }
}

void print_container(std::ostream& out, const Json& container) {
  const std::string name = word(container, "name");
  out << (name.empty() ? std::string("the pod") : "container " + name) << " (pod uid "
      << word(container, "uid") << ")";
  if (container.value("gone", Json()) == true) out << ", gone";
  out << '\n';
  if (const auto state = container.find("state"); state != container.end() && state->is_object()) {
    print_state(out, *state);
  }
  std::vector<Row> rows{kHead};
  if (const auto line = container.find("timeline"); line != container.end() && line->is_array()) {
    for (const Json& entry : *line) {
      if (entry.is_object()) rows.push_back(row_of(entry));
    }
  }
  if (rows.size() == 1) {
    out << "  nothing has happened yet\n";
    return;
  }
  if (has(container, "forgotten") && container.at("forgotten") != 0) {
    out << "  " << container.at("forgotten").get<std::int64_t>()
        << " older entries are forgotten\n";
  }
  print_table(out, rows);
}

}  // namespace

Result<std::string> explain_table(std::string_view json) {
  const Json answer = Json::parse(json, nullptr, false);
  const auto containers = answer.is_object() ? answer.find("containers") : answer.end();
  if (!answer.is_object() || containers == answer.end() || !containers->is_array()) {
    return fail(Code::kMalformed, "what the agent answered is not understood");
  }
  std::ostringstream text;
  text << "pod " << word(answer, "namespace") << "/" << word(answer, "pod") << " at "
       << time_of(answer, "at") << " UTC\n";
  for (const Json& container : *containers) {
    if (container.is_object()) print_container(text, container);
  }
  return text.str();
}

}  // namespace plimsoll::agent
