// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/log.h"

#include <spdlog/async.h>
#include <spdlog/async_logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/enum_table.h"
#include "kube/event.h"

namespace plimsoll::agent {
namespace {

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

double seconds(Nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

std::string number_text(double value) {
  std::array<char, 32> text{};
  const auto [end, error] =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general, 6);
  return error == std::errc{} ? std::string(text.data(), end) : std::string("nan");
}

template <typename Json>
std::string json_text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

nlohmann::ordered_json json_of(const LogField& field) {
  return std::visit([](const auto& value) { return nlohmann::ordered_json(value); }, field.value);
}

// A value with a space, a quote, an equals sign or anything unprintable is quoted as JSON is, so
// that a line is one line and can be taken apart again.
std::string text_of(std::string_view value) {
  const bool plain = !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return c > ' ' && c < '\x7f' && c != '"' && c != '=' && c != '\\';
  });
  return plain ? std::string(value) : json_text(nlohmann::json(value));
}

std::string text_of(const LogField& field) {
  return std::visit(
      [](const auto& value) -> std::string {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::string_view>) return text_of(value);
        if constexpr (std::is_same_v<T, double>) return number_text(value);
        if constexpr (std::is_same_v<T, bool>) return value ? "true" : "false";
        if constexpr (std::is_integral_v<T>) return std::to_string(value);
      },
      field.value);
}

std::string who(const ContainerRef& subject) { return subject.uid + "/" + subject.container; }

struct Sentence {
  LogLevel level;
  std::string_view text;
};

// What is logged of what happened to a memory limit.
struct RecordRow {
  Record::Kind key;
  std::string_view word;
  LogLevel level;
};
constexpr std::array kRecordRows{
    RecordRow{Record::Kind::kGrant, "memory limit raised", LogLevel::kInfo},
    RecordRow{Record::Kind::kShrink, "memory limit lowered", LogLevel::kInfo},
    RecordRow{Record::Kind::kReclaim, "memory probed before a shrink", LogLevel::kDebug},
    RecordRow{Record::Kind::kDenial, "growth denied", LogLevel::kWarn},
    RecordRow{Record::Kind::kFailure, "memory limit could not be written", LogLevel::kError},
    RecordRow{Record::Kind::kOomKill, "OOM kill in a watched container", LogLevel::kWarn},
    RecordRow{Record::Kind::kWish, "memory limit to be changed through the API", LogLevel::kInfo},
};
static_assert(has_row_for_each(kRecordRows, Record::Kind::kWish));

struct EventRow {
  ResizeEvent::Kind key;
  std::string_view word;
  LogLevel level;
};
using enum ResizeEvent::Kind;
constexpr std::array kEventRows{
    EventRow{kSent, "resize sent", LogLevel::kDebug},
    EventRow{kAccepted, "resize accepted", LogLevel::kInfo},
    EventRow{kApplied, "resize applied", LogLevel::kInfo},
    EventRow{kRefused, "resize refused", LogLevel::kWarn},
    EventRow{kDeferred, "resize deferred by the kubelet", LogLevel::kInfo},
    EventRow{kInfeasible, "resize called infeasible by the kubelet", LogLevel::kWarn},
    EventRow{kFailed, "resize failed in the kubelet", LogLevel::kWarn},
    EventRow{kUnavailable, "resize got no usable answer", LogLevel::kWarn},
    EventRow{kWithdrawn, "resize withdrawn", LogLevel::kInfo},
    EventRow{kBridgeWithdrawn, "direct write taken back", LogLevel::kWarn},
    EventRow{kFallback, "memory limit written directly under a lease", LogLevel::kWarn},
    EventRow{kLeaseEnded, "lease of a direct write ended", LogLevel::kInfo},
    EventRow{kReasserted, "memory limit written again after another actor", LogLevel::kWarn},
    EventRow{kRepaired, "memory limit of the pod repaired", LogLevel::kWarn},
    EventRow{kSteppedBack, "container left to another actor", LogLevel::kWarn},
};
static_assert(has_row_for_each(kEventRows, kSteppedBack));

template <typename Rows, typename Enum>
Sentence sentence_in(const Rows& rows, Enum key) {
  const auto* row = row_of(rows, key);
  return row == nullptr ? Sentence{LogLevel::kError, "unknown"} : Sentence{row->level, row->word};
}

// A CPU limit comes and goes several times a second, where memory's stays for minutes.
Sentence cpu_sentence_of(const Record& record) {
  switch (record.kind) {
    case Record::Kind::kGrant:
      if (record.burst) return {LogLevel::kDebug, "CPU burst given"};
      return {record.reason == Reason::kThrottled ? LogLevel::kDebug : LogLevel::kInfo,
              "CPU limit raised"};
    case Record::Kind::kShrink:
      return {LogLevel::kDebug, "CPU limit lowered"};
    case Record::Kind::kWish:
      return {LogLevel::kInfo, "CPU limit to be changed through the API"};
    case Record::Kind::kDenial:
      return {LogLevel::kWarn, "CPU growth denied"};
    default:
      return {LogLevel::kError, "CPU limit could not be written"};
  }
}

Sentence sentence_of(const Record& record) {
  return is_cpu(record.change) ? cpu_sentence_of(record) : sentence_in(kRecordRows, record.kind);
}

Sentence sentence_of(const ResizeEvent& answer) { return sentence_in(kEventRows, answer.kind); }

// What comes again and again while a condition lasts.
bool lasts(const Record& record) {
  return record.kind == Record::Kind::kDenial || record.kind == Record::Kind::kFailure ||
         record.kind == Record::Kind::kWish;
}
bool lasts(const ResizeEvent& answer) {
  return answer.kind == ResizeEvent::Kind::kUnavailable ||
         answer.kind == ResizeEvent::Kind::kDeferred;
}

std::vector<LogField> fields_of(const ContainerRef& subject) {
  std::vector<LogField> fields{{"namespace", subject.name_space}, {"pod", subject.pod}};
  if (!subject.container.empty()) fields.push_back({"container", subject.container});
  return fields;
}

void add_change(std::vector<LogField>& fields, const LimitChange& change, Layer layer,
                Reason reason) {
  const bool cpu = is_cpu(change);
  std::visit(
      [&](const auto& each) {
        fields.push_back({cpu ? "from_millicpu" : "from_bytes", each.from.value});
        fields.push_back({cpu ? "to_millicpu" : "to_bytes", each.to.value});
      },
      change);
  fields.push_back({"layer", to_string(layer)});
  fields.push_back({"reason", to_string(reason)});
}

void add_facts(std::vector<LogField>& fields, const MemoryFacts& facts) {
  fields.push_back({"limit_bytes", facts.limit.value});
  fields.push_back({"usage_bytes", facts.usage.value});
  fields.push_back({"reclaimable_bytes", facts.reclaimable.value});
  fields.push_back({"rate_bytes_per_second", facts.rate_per_second.value});
}
void add_facts(std::vector<LogField>& fields, const CpuFacts& facts) {
  fields.push_back({"use_millicpu", facts.use.value});
  fields.push_back({"throttled_periods", std::uint64_t{facts.throttled}});
}

// What a change ends at, in the words of `matter`.
std::string end_of(const LimitChange& change) {
  const std::string value =
      std::visit([](const auto& each) { return std::to_string(each.to.value); }, change);
  return is_cpu(change) ? "cpu" + value : value;
}

}  // namespace

struct DecisionLog::Impl {
  explicit Impl(const LogOptions& options)
      : json(options.json),
        pool(std::make_shared<spdlog::details::thread_pool>(std::max<std::size_t>(options.queue, 1),
                                                            1)) {}

  // A logger of our own, in no registry: nothing global to set up or to forget.
  void log_to(spdlog::sink_ptr sink, LogLevel level) {
    sink->set_formatter(
        std::make_unique<spdlog::pattern_formatter>("%v", spdlog::pattern_time_type::utc));
    logger = std::make_shared<spdlog::async_logger>("plimsoll", std::move(sink), pool,
                                                    spdlog::async_overflow_policy::overrun_oldest);
    logger->set_level(level_of(level));
    // A line is of use when it happens, above all the last one before a crash.
    logger->flush_on(spdlog::level::debug);
  }

  // A line about something that lasts is news once, until something has changed.
  bool is_news(const ContainerRef& subject, bool lasts, std::string matter) {
    const std::string key = who(subject);
    if (!lasts) {
      said.erase(key);
      return true;
    }
    if (said.size() >= kMostSubjects && !said.contains(key)) said.clear();
    std::set<std::string>& matters = said[key];
    if (matters.size() >= kMostMatters) matters.clear();
    return matters.insert(std::move(matter)).second;
  }

  void write(LogLevel level, std::string_view sentence, std::span<const LogField> fields) {
    const spdlog::level::level_enum at = level_of(level);
    if (!logger->should_log(at)) return;
    const std::string time = kube::micro_time(
        std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now()));
    std::string line;
    if (json) {
      nlohmann::ordered_json object{
          {"time", time}, {"level", to_string(level)}, {"message", sentence}};
      for (const LogField& field : fields) object[std::string(field.key)] = json_of(field);
      line = json_text(object);
    } else {
      line = time + " " + std::string(to_string(level)) + " " + std::string(sentence);
      for (const LogField& field : fields) {
        line.append(" ").append(field.key).append("=").append(text_of(field));
      }
    }
    logger->log(at, spdlog::string_view_t(line));
  }

  // What is remembered so that it is not said again; forgetting it costs repeated lines only.
  static constexpr std::size_t kMostSubjects = 4096;
  static constexpr std::size_t kMostMatters = 16;
  bool json;
  std::shared_ptr<spdlog::details::thread_pool> pool;
  std::shared_ptr<spdlog::async_logger> logger;
  std::map<std::string, std::set<std::string>> said;  // by subject
};

Result<std::unique_ptr<DecisionLog>> DecisionLog::open(const LogOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  try {
    spdlog::sink_ptr sink;
    if (options.file.empty()) {
      sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    } else {
      sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file);
    }
    impl->log_to(std::move(sink), options.level);
  } catch (const spdlog::spdlog_ex& error) {
    return fail(Code::kUnavailable, std::string("open the log: ") + error.what());
  }
  return std::unique_ptr<DecisionLog>(new DecisionLog(std::move(impl)));
}

DecisionLog::DecisionLog(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

DecisionLog::~DecisionLog() = default;

void DecisionLog::write(LogLevel level, std::string_view sentence,
                        std::initializer_list<LogField> fields) {
  impl_->write(level, sentence, {fields.begin(), fields.size()});
}

void DecisionLog::record(const ContainerRef& subject, const Record& record) {
  const Sentence sentence = sentence_of(record);
  std::string matter(sentence.text);
  matter.append(to_string(record.reason)).append(record.error);
  if (record.kind == Record::Kind::kWish) matter += end_of(record.change);
  if (!impl_->is_news(subject, lasts(record), std::move(matter))) return;

  std::vector<LogField> fields = fields_of(subject);
  add_change(fields, record.change, record.layer, record.reason);
  std::visit([&](const auto& facts) { add_facts(fields, facts); }, record.facts);
  if (record.burst) fields.push_back({"burst_us", std::int64_t{record.burst->count()}});
  if (record.kind == Record::Kind::kGrant) {
    fields.push_back({"reaction_seconds", seconds(record.reaction)});
  }
  if (!record.error.empty()) fields.push_back({"error", record.error});
  impl_->write(sentence.level, sentence.text, fields);
}

void DecisionLog::answer(const ContainerRef& subject, const ResizeEvent& answer) {
  const Sentence sentence = sentence_of(answer);
  std::string matter(sentence.text);
  matter.append(answer.cause).append(end_of(answer.change));
  if (!impl_->is_news(subject, lasts(answer), std::move(matter))) return;

  std::vector<LogField> fields = fields_of(subject);
  add_change(fields, answer.change, answer.layer, answer.reason);
  if (answer.bridged) fields.push_back({"bridged", true});
  if (answer.status) fields.push_back({"status", static_cast<std::int64_t>(*answer.status)});
  if (!answer.cause.empty()) fields.push_back({"cause", answer.cause});
  if (!answer.message.empty()) fields.push_back({"reply", answer.message});
  if (answer.patch_to_limit) {
    fields.push_back({"patch_to_limit_seconds", seconds(*answer.patch_to_limit)});
  }
  impl_->write(sentence.level, sentence.text, fields);
}

void DecisionLog::forget(const ContainerRef& subject) { impl_->said.erase(who(subject)); }

void DecisionLog::set_level(LogLevel level) { impl_->logger->set_level(level_of(level)); }

std::uint64_t DecisionLog::overruns() const { return impl_->pool->overrun_counter(); }

}  // namespace plimsoll::agent
