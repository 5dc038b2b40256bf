// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/store.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <random>
#include <utility>

namespace plimsoll::test {
namespace {

constexpr std::size_t kMostChanges = 20'000;

std::mt19937_64& generator() {
  thread_local std::mt19937_64 instance{std::random_device{}()};
  return instance;
}

}  // namespace

Store::Key Store::key_of(const Json& object) {
  const Json& metadata = member(object, "metadata");
  return {text_at(metadata, "namespace"), text_at(metadata, "name")};
}

Object Store::find(const std::string& resource, const std::string& space,
                   const std::string& name) const {
  const auto kind = objects_.find(resource);
  if (kind == objects_.end()) return nullptr;
  const auto found = kind->second.find(Key{space, name});
  return found == kind->second.end() ? nullptr : found->second;
}

std::vector<Object> Store::list(const std::string& resource, const std::string& space) const {
  std::vector<Object> found;
  const auto kind = objects_.find(resource);
  if (kind == objects_.end()) return found;
  for (const auto& [key, object] : kind->second) {
    if (space.empty() || key.space == space) found.push_back(object);
  }
  return found;
}

Object Store::keep(const std::string& resource, Json object, std::uint64_t version) {
  const Key key = key_of(object);
  Object& slot = objects_[resource][key];
  Change change{version, resource, slot ? "MODIFIED" : "ADDED", nullptr, slot};
  slot = std::make_shared<const Json>(std::move(object));
  change.object = slot;
  changes_.push_back(std::move(change));
  if (changes_.size() > kMostChanges) {
    oldest_ = std::max(oldest_, changes_.front().version);
    changes_.pop_front();
  }
  return slot;
}

Object Store::put(const std::string& resource, Json object) {
  object["metadata"]["resourceVersion"] = std::to_string(++version_);
  return keep(resource, std::move(object), version_);
}

Object Store::restore(const std::string& resource, Json object) {
  const std::string text = text_at(member(object, "metadata"), "resourceVersion");
  std::uint64_t version = 0;
  std::from_chars(text.data(), text.data() + text.size(), version);
  version_ = std::max(version_, version);
  return keep(resource, std::move(object), version_);
}

void Store::remove(const std::string& resource, const std::string& space, const std::string& name) {
  const Object found = find(resource, space, name);
  if (!found) return;
  objects_[resource].erase(Key{space, name});
  // The last state, under the version of the deletion.
  Json last = *found;
  last["metadata"]["resourceVersion"] = std::to_string(++version_);
  changes_.push_back(
      {version_, resource, "DELETED", std::make_shared<const Json>(std::move(last)), found});
}

std::vector<Change> Store::changes_after(std::uint64_t version) const {
  const auto first =
      std::upper_bound(changes_.begin(), changes_.end(), version,
                       [](std::uint64_t v, const Change& change) { return v < change.version; });
  return {first, changes_.end()};
}

void Store::forget_changes() { oldest_ = version_; }

std::string timestamp() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), size};
}

std::string random_uid() {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string uid = "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx";
  for (char& c : uid) {
    if (c == 'x') c = kDigits[generator()() % 16];
  }
  return uid;
}

std::string random_suffix(std::size_t length) {
  constexpr std::string_view kLetters = "bcdfghjklmnpqrstvwxz2456789";
  std::string suffix;
  while (suffix.size() < length) suffix += kLetters[generator()() % kLetters.size()];
  return suffix;
}

}  // namespace plimsoll::test
