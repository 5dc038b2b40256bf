// SPDX-License-Identifier: Apache-2.0
#include "agent/state/node_state_json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/state/learned_sizes_json.h"

namespace plimsoll::agent {
namespace {

using nlohmann::json;

constexpr std::string_view kFormat = "plimsoll-state ";
// Of what a reader must understand. A member that it does not know is none of that: an agent of
// before reads the limits of memory and leaves those of CPUs, which kills nobody, where a version
// of its own would keep it from all of them.
constexpr std::uint64_t kVersion = 1;

// CRC-32 as in zlib and Ethernet; it guards against cut and damaged files, not against people.
std::uint32_t checksum(std::string_view text) {
  constexpr std::uint32_t kPolynomial = 0xEDB88320;
  static constexpr auto kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < table.size(); ++i) {
      std::uint32_t rest = i;
      for (int bit = 0; bit < 8; ++bit) rest = (rest >> 1) ^ ((rest & 1) != 0 ? kPolynomial : 0);
      table[i] = rest;
    }
    return table;
  }();
  std::uint32_t sum = 0xFFFFFFFF;
  for (const char c : text) sum = (sum >> 8) ^ kTable[(sum ^ static_cast<unsigned char>(c)) & 0xFF];
  return ~sum;
}

// Written by hand: a whole node has a thousand entries, and a tree of JSON values of them takes
// five megabytes for a moment, each time.
class Text {
 public:
  Text& raw(std::string_view text) {
    text_ += text;
    return *this;
  }
  Text& key(std::string_view name) {
    if (text_.back() != '{') text_ += ',';
    return raw("\"").raw(name).raw("\":");
  }
  Text& text(std::string_view value) {
    const auto is_plain = [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; };
    if (std::all_of(value.begin(), value.end(), is_plain)) {
      return raw("\"").raw(value).raw("\"");
    }
    // Bytes that are no UTF-8 could come from a cgroup's name only, and are replaced.
    return raw(json(value).dump(-1, ' ', false, json::error_handler_t::replace));
  }
  Text& number(std::uint64_t value) { return raw(std::to_string(value)); }
  Text& limit(Limit limit) { return limit.is_max() ? text("max") : number(limit.bytes); }

  // Each with `write(Text&, item)`, in brackets.
  template <typename Items, typename Write>
  Text& list(const Items& items, const Write& write) {
    raw("[");
    for (const auto& item : items) {
      if (text_.back() != '[') raw(",");
      write(*this, item);
    }
    return raw("]");
  }
  std::string& get() { return text_; }

 private:
  std::string text_;
};

void write_limit(Text& out, const LimitState& limit) {
  out.raw("{").key("cgroup_id").number(static_cast<std::uint64_t>(limit.id));
  out.key("path").text(limit.path).key("floor_bytes").limit(limit.first_seen);
  if (limit.confirmed) out.key("confirmed_bytes").limit(*limit.confirmed);
  out.key("direct_ceiling_bytes").limit(limit.direct_ceiling);
  if (limit.written) out.key("written_bytes").limit(*limit.written);
  if (limit.cpu) {
    out.key("cpu").raw("{").key("floor_millicpu").number(limit.cpu->first_seen.value);
    if (limit.cpu->confirmed) out.key("confirmed_millicpu").number(limit.cpu->confirmed->value);
    out.key("direct_ceiling_millicpu").number(limit.cpu->direct_ceiling.value);
    if (limit.cpu->written) out.key("written_millicpu").number(limit.cpu->written->value);
    if (limit.cpu->burst) {
      out.key("burst_us").number(static_cast<std::uint64_t>(limit.cpu->burst->count()));
    }
    out.raw("}");
  }
  out.raw("}");
}

void write_container(Text& out, const ContainerState& container) {
  out.raw("{").key("id").text(container.container_id).key("name").text(container.name);
  out.key("limit");
  write_limit(out, container.limit);
  out.key("backing").text(to_string(container.backing)).key("who").text(container.who);
  if (container.lease_end) {
    const Nanoseconds end = std::max(container.lease_end->time_since_epoch(), Nanoseconds(0));
    out.key("lease_end_ns").number(static_cast<std::uint64_t>(end.count()));
  }
  out.raw("}");
}

void write_pod(Text& out, const PodState& pod) {
  out.raw("{").key("uid").text(pod.uid).key("namespace").text(pod.name_space);
  out.key("name").text(pod.name);
  if (pod.slice) {
    out.key("slice");
    write_limit(out, *pod.slice);
  }
  out.key("containers").list(pod.containers, write_container).raw("}");
}

// Reads one object; the first thing that is missing or of another kind is what is wrong.
class Reader {
 public:
  Reader(const json& object, std::string& wrong) : object_(object), wrong_(wrong) {
    if (!object.is_object()) note("is not an object", "an entry");
  }

  void text(const char* key, std::string& value) {
    const json* const found = find(key, true);
    if (found == nullptr) return;
    if (!found->is_string()) return note("is not a text", key);
    value = found->get<std::string>();
  }
  template <typename Number>
  void number(const char* key, Number& value) {
    const json* const found = find(key, true);
    if (found == nullptr) return;
    if (!found->is_number_unsigned()) return note("is not a whole number", key);
    value = static_cast<Number>(found->get<std::uint64_t>());
  }
  void limit(const char* key, Limit& value) {
    const json* const found = find(key, true);
    if (found == nullptr) return;
    if (*found == "max") {
      value = kNoLimit;
    } else if (found->is_number_unsigned()) {
      value = Limit{found->get<std::uint64_t>()};
    } else {
      note("is not a limit", key);
    }
  }
  void limit(const char* key, std::optional<Limit>& value) {
    if (find(key, false) != nullptr) limit(key, value.emplace());
  }
  void cpus(const char* key, MilliCpu& value) { number(key, value.value); }
  void cpus(const char* key, std::optional<MilliCpu>& value) {
    if (find(key, false) != nullptr) cpus(key, value.emplace());
  }
  template <typename Number>
  void number(const char* key, std::optional<Number>& value) {
    if (find(key, false) != nullptr) number(key, value.emplace());
  }
  void time(const char* key, std::optional<MonotonicTime>& value) {
    if (find(key, false) == nullptr) return;
    std::int64_t ns = 0;
    number(key, ns);
    value = MonotonicTime(Nanoseconds(ns));
  }
  const json* object(const char* key) { return find(key, false); }
  const json* array(const char* key) {
    const json* const found = find(key, true);
    if (found == nullptr || found->is_array()) return found;
    note("is not a list", key);
    return nullptr;
  }
  void note(std::string_view what, std::string_view key) {
    if (wrong_.empty()) wrong_ = std::string(key) + " " + std::string(what);
  }

 private:
  const json* find(const char* key, bool required) {
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(key);
    if (found != object_.end()) return &*found;
    if (required) note("is missing", key);
    return nullptr;
  }

  const json& object_;
  std::string& wrong_;
};

CpuLimitState read_cpu(const json& object, std::string& wrong) {
  CpuLimitState limit;
  Reader reader(object, wrong);
  reader.cpus("floor_millicpu", limit.first_seen);
  reader.cpus("confirmed_millicpu", limit.confirmed);
  reader.cpus("direct_ceiling_millicpu", limit.direct_ceiling);
  reader.cpus("written_millicpu", limit.written);
  reader.number("burst_us", limit.burst);
  return limit;
}

LimitState read_limit(const json& object, std::string& wrong) {
  LimitState limit;
  Reader reader(object, wrong);
  reader.number("cgroup_id", limit.id);
  reader.text("path", limit.path);
  reader.limit("floor_bytes", limit.first_seen);
  reader.limit("confirmed_bytes", limit.confirmed);
  reader.limit("direct_ceiling_bytes", limit.direct_ceiling);
  reader.limit("written_bytes", limit.written);
  if (const json* const cpu = reader.object("cpu")) limit.cpu = read_cpu(*cpu, wrong);
  return limit;
}

ContainerState read_container(const json& object, std::string& wrong) {
  ContainerState container;
  Reader reader(object, wrong);
  reader.text("id", container.container_id);
  reader.text("name", container.name);
  if (const json* const limit = reader.object("limit")) {
    container.limit = read_limit(*limit, wrong);
  } else {
    reader.note("is missing", "limit");
  }
  std::string backing;
  reader.text("backing", backing);
  bool known = false;
  for (const Backing each : {Backing::kSpec, Backing::kBridge, Backing::kLease, Backing::kCgroup}) {
    if (backing != to_string(each)) continue;
    container.backing = each;
    known = true;
  }
  if (!known) reader.note("is not known", "backing");
  reader.time("lease_end_ns", container.lease_end);
  reader.text("who", container.who);
  return container;
}

PodState read_pod(const json& object, std::string& wrong) {
  PodState pod;
  Reader reader(object, wrong);
  reader.text("uid", pod.uid);
  reader.text("namespace", pod.name_space);
  reader.text("name", pod.name);
  if (const json* const slice = reader.object("slice")) pod.slice = read_limit(*slice, wrong);
  if (const json* const containers = reader.array("containers")) {
    for (const json& container : *containers) {
      pod.containers.push_back(read_container(container, wrong));
    }
  }
  return pod;
}

struct Header {
  std::uint64_t version = 0;
  std::uint64_t length = 0;
  std::uint64_t sum = 0;
};

// Takes a number and the one character after it.
bool take_number(std::string_view& text, char end, int base, std::uint64_t& value) {
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || rest == text.data() + text.size() || *rest != end) return false;
  text.remove_prefix(static_cast<std::size_t>(rest - text.data()) + 1);
  return true;
}

// Takes the header line; what is left is the body.
Result<Header> take_header(std::string_view& text) {
  Header header;
  if (!text.starts_with(kFormat)) return fail(Code::kMalformed, "it does not begin as a state");
  text.remove_prefix(kFormat.size());
  constexpr int kDecimal = 10;
  constexpr int kHex = 16;
  if (!take_number(text, ' ', kDecimal, header.version)) {
    return fail(Code::kMalformed, "its first line has no version");
  }
  if (header.version != kVersion) {
    return fail(Code::kUnsupported, "it has version " + std::to_string(header.version) +
                                        " of the format; this program knows version " +
                                        std::to_string(kVersion));
  }
  if (!take_number(text, ' ', kDecimal, header.length) ||
      !take_number(text, '\n', kHex, header.sum)) {
    return fail(Code::kMalformed, "its first line has no length and checksum");
  }
  return header;
}

}  // namespace

std::string format_state(const NodeState& state) {
  Text body;
  body.raw("{").key("boot_id").text(state.boot_id).key("generation").number(state.generation);
  body.key("pods").list(state.pods, write_pod);
  if (state.learned.commands() > 0) body.key("learned").raw(to_json(state.learned));
  body.raw("}\n");
  std::array<char, 64> line{};
  const int length = std::snprintf(line.data(), line.size(), "%llu %zu %08x\n",
                                   static_cast<unsigned long long>(kVersion), body.get().size(),
                                   checksum(body.get()));
  std::string text(kFormat);
  text.append(line.data(), static_cast<std::size_t>(length));
  return text + body.get();
}

Result<NodeState> parse_state(std::string_view text) {
  const auto header = take_header(text);
  if (!header) return tl::unexpected(header.error());
  if (text.size() != header->length) {
    return fail(Code::kMalformed, "it has " + std::to_string(text.size()) + " bytes and not " +
                                      std::to_string(header->length));
  }
  if (checksum(text) != header->sum) {
    return fail(Code::kMalformed, "its checksum does not fit what it holds");
  }
  // Whole as it is, it may still be of a program that meant something else by it.
  const json object = json::parse(text, nullptr, false);
  if (object.is_discarded()) return fail(Code::kMalformed, "its body is not JSON");
  NodeState state;
  std::string wrong;
  Reader reader(object, wrong);
  reader.text("boot_id", state.boot_id);
  reader.number("generation", state.generation);
  if (const json* const pods = reader.array("pods")) {
    for (const json& pod : *pods) state.pods.push_back(read_pod(pod, wrong));
  }
  if (!wrong.empty()) return fail(Code::kMalformed, "in its body, " + wrong);
  // Sizes that another version wrote are no reason to refuse what the limits were.
  if (const json* const learned = reader.object("learned")) {
    state.learned = parse_learned_sizes(learned->dump()).value_or(LearnedSizes{});
  }
  return state;
}

}  // namespace plimsoll::agent
