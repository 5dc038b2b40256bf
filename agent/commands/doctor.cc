// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/doctor.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

namespace plimsoll::agent {
namespace {

constexpr std::size_t kColumns = 100;

// `text` broken at blanks; every line but the first begins with `indent` blanks.
std::string wrap(std::string_view text, std::size_t indent) {
  std::string wrapped;
  std::size_t column = indent;
  while (!text.empty()) {
    const std::size_t blank = std::min(text.find(' '), text.size());
    if (column > indent && column + 1 + blank > kColumns) {
      wrapped += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      wrapped += ' ';
      ++column;
    }
    wrapped += text.substr(0, blank);
    column += blank;
    text.remove_prefix(std::min(blank + 1, text.size()));
  }
  return wrapped;
}

std::string_view colour_of(Status status) {
  switch (status) {
    case Status::kOk:
      return "\033[32m";
    case Status::kDegraded:
      return "\033[33m";
    case Status::kMissing:
      return "\033[31m";
    case Status::kNotHere:
      return "\033[2m";
  }
  return "";
}

std::string padded(std::string_view text, std::size_t width) {
  return std::string(text) + std::string(width - std::min(text.size(), width), ' ');
}

std::string result_of(const RoleResult& result) {
  return "result for plimsoll " + std::string(to_string(result.role)) + ": " +
         (result.tier ? "tier " + std::string(bpf::to_string(*result.tier))
                      : "does not work here: " + result.why);
}

}  // namespace

std::string to_text(const DoctorReport& report, bool colour) {
  std::size_t widest = 0;
  for (const Finding& finding : report.findings) widest = std::max(widest, finding.what.size());
  const std::size_t indent = 2 + 10 + widest + 2;
  std::string text;
  std::string_view section;
  for (const Finding& finding : report.findings) {
    if (finding.section != section) {
      section = finding.section;
      text += (text.empty() ? "" : "\n") + finding.section + "\n";
    }
    const std::string status = padded(to_string(finding.status), 10);
    text += "  ";
    text += colour ? std::string(colour_of(finding.status)) + status + "\033[0m" : status;
    text += padded(finding.what, widest + 2) + wrap(finding.text, indent) + "\n";
    if (!finding.cure.empty()) {
      // Several things are often missing for one reason.
      const auto first = std::ranges::find(report.findings, finding.cure, &Finding::cure);
      const std::string cure = first->id == finding.id ? finding.cure : "as for " + first->what;
      text += std::string(indent, ' ') + wrap("cure: " + cure, indent) + "\n";
    }
  }
  text += "\n";
  for (const RoleResult& result : report.roles) text += wrap(result_of(result), 2) + "\n";
  text += "  " + wrap(report.guarantee, 2) + "\n";
  return text;
}

std::string to_json(const DoctorReport& report, const DoctorFacts& facts) {
  nlohmann::ordered_json json;
  json["tier"] = nullptr;
  if (report.tier) json["tier"] = bpf::to_string(*report.tier);
  json["roles"] = nlohmann::ordered_json::object();
  for (const RoleResult& result : report.roles) {
    nlohmann::ordered_json entry;
    entry["tier"] = nullptr;
    if (result.tier) entry["tier"] = bpf::to_string(*result.tier);
    entry["why"] = nullptr;
    if (!result.why.empty()) entry["why"] = result.why;
    json["roles"][std::string(to_string(result.role))] = std::move(entry);
  }
  json["exit_status"] = report.exit_status;
  json["guarantee"] = report.guarantee;
  json["release"] = facts.release;
  json["findings"] = nlohmann::ordered_json::array();
  for (const Finding& finding : report.findings) {
    nlohmann::ordered_json entry;
    entry["id"] = finding.id;
    entry["section"] = finding.section;
    entry["status"] = to_string(finding.status);
    entry["what"] = finding.what;
    entry["text"] = finding.text;
    entry["cure"] = nullptr;
    if (!finding.cure.empty()) entry["cure"] = finding.cure;
    json["findings"].push_back(std::move(entry));
  }
  // Kernel files may hold any byte.
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

int doctor_main(const DoctorOptions& options, std::ostream& out) {
  const auto facts = read_doctor_facts(options.cgroup_root);
  if (!facts) {
    out << "plimsoll: " << facts.error().message << '\n';
    return 2;
  }
  const DoctorReport report = make_report(*facts, options.role);
  out << (options.json ? to_json(report, *facts) + "\n" : to_text(report, options.colour));
  return report.exit_status;
}

}  // namespace plimsoll::agent
