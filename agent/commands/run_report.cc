// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/run_report.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>
#include <sstream>

namespace plimsoll::agent {
namespace {

double seconds(Nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

nlohmann::json limit_json(Limit limit) {
  return limit.is_max() ? nlohmann::json("max") : nlohmann::json(limit.bytes);
}

std::uint64_t grants_total(const RunReport& report) {
  return std::accumulate(report.grants_by_layer.begin(), report.grants_by_layer.end(),
                         std::uint64_t{0});
}

// Why it ended as it did, in one sentence.
std::string verdict(const RunReport& report) {
  if (report.oom_kills == 0) return "the OOM killer was not needed";
  const auto denied = [&](Reason reason) { return report.denials.contains(reason); };
  std::string why = "the kernel's OOM killer ended a process";
  if (denied(Reason::kLeak)) {
    why += ": it climbed without a plateau through several grants, which is a leak";
  } else if (report.final_limit >= limit_of(report.ceiling)) {
    why += ": it needed more than the ceiling of " + to_string(report.ceiling);
  } else if (denied(Reason::kBudget)) {
    why += ": the node had nothing left to give";
  }
  return why;
}

std::string grants_line(const RunReport& report) {
  std::ostringstream line;
  line << grants_total(report);
  const char* separator = ": ";
  for (std::size_t i = 0; i < kLayers; ++i) {
    if (report.grants_by_layer[i] == 0) continue;
    line << separator << report.grants_by_layer[i] << ' ' << to_string(static_cast<Layer>(i));
    separator = ", ";
  }
  std::vector<Nanoseconds> reactions;
  for (const Record& grant : report.grants) {
    if (grant.layer != Layer::kSlowLoop) reactions.push_back(grant.reaction);
  }
  if (!reactions.empty()) {
    std::sort(reactions.begin(), reactions.end());
    line << "; event to written limit " << plimsoll::to_string(reactions[reactions.size() / 2])
         << " median, " << plimsoll::to_string(reactions.back()) << " at most";
  }
  return line.str();
}

std::string cpus(MilliCpu cpu) { return cpu == MilliCpu{} ? "none" : plimsoll::to_string(cpu); }

// Of what was answered, not of what the slow loop decided.
std::vector<Nanoseconds> reactions_of(const CpuRunReport& cpu) {
  std::vector<Nanoseconds> reactions;
  for (const Record& change : cpu.changes) {
    if (change.layer != Layer::kSlowLoop) reactions.push_back(change.reaction);
  }
  std::sort(reactions.begin(), reactions.end());
  return reactions;
}

nlohmann::json cpu_json(const CpuRunReport& cpu, MonotonicTime started) {
  nlohmann::json changes = nlohmann::json::array();
  for (const Record& change : cpu.changes) {
    const auto& moved = std::get<CpuChange>(change.change);
    const auto& facts = std::get<CpuFacts>(change.facts);
    nlohmann::json object{{"at_seconds", seconds(change.at - started)},
                          {"reason", to_string(change.reason)},
                          {"from_millicpu", moved.from.value},
                          {"to_millicpu", moved.to.value},
                          {"use_millicpu", facts.use.value},
                          {"runnable", facts.runnable},
                          {"throttled_periods", facts.throttled},
                          {"reaction_us", seconds(change.reaction) * 1e6}};
    if (change.burst) object["burst_us"] = change.burst->count();
    changes.push_back(std::move(object));
  }
  nlohmann::json denials = nlohmann::json::object();
  for (const auto& [reason, count] : cpu.denials) denials[std::string(to_string(reason))] = count;
  nlohmann::json object{{"start_limit_millicpu", cpu.floor.value},
                        {"final_limit_millicpu", cpu.final_limit.value},
                        {"ceiling_millicpu", cpu.ceiling.value},
                        {"raises_total", cpu.raises},
                        {"bursts_total", cpu.bursts},
                        {"lowerings_total", cpu.lowerings},
                        {"denials", denials},
                        {"changes", changes}};
  if (cpu.stat) {
    object["used_seconds"] = seconds(cpu.stat->usage);
    object["periods"] = cpu.stat->periods.value_or(0);
    object["throttled_periods"] = cpu.stat->throttled.value_or(0);
    object["throttled_seconds"] = seconds(cpu.stat->throttled_for.value_or(Nanoseconds{}));
  }
  return object;
}

std::string cpu_text(const CpuRunReport& cpu) {
  MilliCpu highest = cpu.floor;
  for (const Record& each : cpu.changes) {
    highest = std::max(highest, std::get<CpuChange>(each.change).to);
  }
  std::ostringstream text;
  text << "  cpu      " << cpus(cpu.floor) << ", at most " << cpus(highest) << ", "
       << cpus(cpu.final_limit) << " at the end; ceiling " << cpus(cpu.ceiling);
  if (cpu.stat) {
    text << "; used " << plimsoll::to_string(cpu.stat->usage) << ", throttled in "
         << cpu.stat->throttled.value_or(0) << " of " << cpu.stat->periods.value_or(0)
         << " periods";
  }
  text << "\n           " << cpu.raises << " raises, " << cpu.bursts << " bursts, " << cpu.lowerings
       << " lowerings";
  if (const auto reactions = reactions_of(cpu); !reactions.empty()) {
    text << "; throttle to written limit " << plimsoll::to_string(reactions[reactions.size() / 2])
         << " median, " << plimsoll::to_string(reactions.back()) << " at most";
  }
  text << '\n';
  for (const auto& [reason, count] : cpu.denials) {
    text << "  denied   cpu: " << count << ' ' << to_string(reason) << '\n';
  }
  if (!cpu.refusal.empty()) {
    text << "  cpu      is looked at in each second only: " << cpu.refusal << '\n';
  }
  return text.str();
}

nlohmann::json announced_json(const RunReport& report) {
  nlohmann::json all = nlohmann::json::array();
  for (const AnnouncedUse& use : report.announced) {
    nlohmann::json object{{"command", use.command.name},
                          {"begun_total", use.begun},
                          {"provided_bytes", use.provided.value},
                          {"grown_bytes", use.grown.value}};
    if (use.command.size) object["size_bytes"] = use.command.size->value;
    all.push_back(std::move(object));
  }
  return all;
}

std::string announced_text(const AnnouncedUse& use) {
  std::string text = "  announced " + use.command.name;
  if (use.begun == 0) return text + ": did not begin\n";
  return text + ": begun " + std::to_string(use.begun) + ", " + to_string(use.provided) +
         " provided for, grew by " + to_string(use.grown) + "\n";
}

}  // namespace

void RunReport::add(const Record& record) {
  if (is_cpu(record.change) && record.kind != Record::Kind::kFailure) return add_cpu(record);
  switch (record.kind) {
    case Record::Kind::kGrant:
      ++grants_by_layer[static_cast<std::size_t>(record.layer)];
      if (grants.size() < kMostRecords) grants.push_back(record);
      break;
    case Record::Kind::kShrink:
      ++shrinks;
      break;
    case Record::Kind::kDenial:
      ++denials[record.reason];
      break;
    case Record::Kind::kFailure:
      if (failures.size() < kMostRecords) failures.push_back(record.error);
      break;
    case Record::Kind::kReclaim:
    case Record::Kind::kOomKill:
    case Record::Kind::kWish:  // nobody else applies limits here
      break;
  }
}

void RunReport::add_cpu(const Record& record) {
  if (!cpu) cpu.emplace();
  switch (record.kind) {
    case Record::Kind::kGrant:
      ++(record.burst ? cpu->bursts : cpu->raises);
      break;
    case Record::Kind::kShrink:
      ++cpu->lowerings;
      break;
    case Record::Kind::kDenial:
      ++cpu->denials[record.reason];
      return;
    default:  // nobody else applies limits here
      return;
  }
  if (cpu->changes.size() < kMostRecords) cpu->changes.push_back(record);
}

std::string to_json(const RunReport& report) {
  nlohmann::json grants = nlohmann::json::array();
  for (const Record& grant : report.grants) {
    const auto& moved = std::get<MemoryChange>(grant.change);
    const auto& facts = std::get<MemoryFacts>(grant.facts);
    grants.push_back({{"at_seconds", seconds(grant.at - report.started)},
                      {"layer", to_string(grant.layer)},
                      {"reason", to_string(grant.reason)},
                      {"from_bytes", moved.from.value},
                      {"to_bytes", moved.to.value},
                      {"usage_bytes", facts.usage.value},
                      {"reclaimable_bytes", facts.reclaimable.value},
                      {"rate_bytes_per_second", facts.rate_per_second.value},
                      {"reaction_us", seconds(grant.reaction) * 1e6}});
  }
  nlohmann::json denials = nlohmann::json::object();
  for (const auto& [reason, count] : report.denials)
    denials[std::string(to_string(reason))] = count;
  const bpf::Counters counters = report.counters.value_or(bpf::Counters{});
  nlohmann::json object{
      {"command", report.command},
      {"exit_code", report.exit.code},
      {"signal", report.exit.signal ? nlohmann::json(*report.exit.signal) : nlohmann::json()},
      {"duration_seconds", seconds(report.ended - report.started)},
      {"tier", bpf::to_string(report.tier)},
      {"start_limit_bytes", limit_json(report.start_limit)},
      {"final_limit_bytes", limit_json(report.final_limit)},
      {"ceiling_bytes", report.ceiling.value},
      {"peak_bytes", report.peak.value},
      {"oom_kills", report.oom_kills},
      {"grants", grants},
      {"grants_total", grants_total(report)},
      {"shrinks_total", report.shrinks},
      {"denials", denials},
      {"announced", announced_json(report)},
      {"failures", report.failures},
      {"holds",
       {{"held", counters.held},
        {"saved", counters.saved},
        {"expired", counters.expired},
        {"missed", counters.missed},
        {"refused_heartbeat", counters.refused_heartbeat},
        {"refused_budget", counters.refused_budget},
        {"held_seconds", seconds(counters.held_for)}}},
      {"events",
       {{"urgent", counters.events_urgent},
        {"dropped", counters.events_dropped},
        {"lost", report.lost}}},
      {"reason", verdict(report)}};
  if (report.cpu) object["cpu"] = cpu_json(*report.cpu, report.started);
  // A command line may hold any bytes; what is no UTF-8 is replaced.
  return object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string to_text(const RunReport& report) {
  std::ostringstream text;
  text << "plimsoll: " << report.command.front();
  if (report.exit.signal) {
    text << " was ended by signal " << *report.exit.signal << " ("
         << ::strsignal(*report.exit.signal) << ")";
  } else {
    text << " ended with status " << report.exit.code;
  }
  text << " after " << plimsoll::to_string(report.ended - report.started) << "; " << verdict(report)
       << '\n';
  Limit highest = report.start_limit;
  for (const Record& grant : report.grants) {
    highest = std::max(highest, limit_of(std::get<MemoryChange>(grant.change).to));
  }
  text << "  limit    " << to_string(report.start_limit) << ", at most " << to_string(highest)
       << ", " << to_string(report.final_limit) << " at the end; peak use "
       << to_string(report.peak) << "; ceiling " << to_string(report.ceiling) << '\n';
  text << "  grants   " << grants_line(report) << '\n';
  if (report.shrinks > 0) text << "  shrinks  " << report.shrinks << '\n';
  for (const AnnouncedUse& use : report.announced) text << announced_text(use);
  for (const auto& [reason, count] : report.denials) {
    text << "  denied   " << count << ' ' << to_string(reason) << '\n';
  }
  if (report.counters && report.counters->held > 0) {
    const bpf::Counters& counters = *report.counters;
    text << "  holds    " << counters.held << ": " << counters.saved << " saved, "
         << counters.expired << " expired; " << plimsoll::to_string(counters.held_for)
         << " in all\n";
  }
  if (report.cpu) text << cpu_text(*report.cpu);
  if (report.lost > 0) text << "  lost     " << report.lost << " events\n";
  for (const std::string& failure : report.failures) text << "  failed   " << failure << '\n';
  if (report.tier != bpf::Tier::kA) {
    text << "  tier     " << bpf::to_string(report.tier)
         << ": growth before a kill is likely, not guaranteed; see plimsoll doctor\n";
  }
  return text.str();
}

}  // namespace plimsoll::agent
