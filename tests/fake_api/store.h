// SPDX-License-Identifier: Apache-2.0
//
// Store: the objects of the fake cluster and what happened to them, as etcd and the watch cache
// keep them. One resourceVersion counts for all. Not locked: its owner does that.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/fake_api/json.h"

namespace plimsoll::test {

using Object = std::shared_ptr<const Json>;

struct Change {
  std::uint64_t version = 0;
  std::string resource;  // "pods"
  std::string type;      // ADDED, MODIFIED, DELETED
  Object object;
  Object before;  // none for ADDED
};

class Store {
 public:
  std::uint64_t version() const { return version_; }
  // None when there is no such object.
  Object find(const std::string& resource, const std::string& space, const std::string& name) const;
  // In the order of etcd's keys: namespace, then name. "" for all namespaces.
  std::vector<Object> list(const std::string& resource, const std::string& space = "") const;

  // Adds or replaces, under a new resourceVersion, and returns what is stored.
  Object put(const std::string& resource, Json object);
  // The same with the object's own metadata: for recorded states.
  Object restore(const std::string& resource, Json object);
  void remove(const std::string& resource, const std::string& space, const std::string& name);
  // Makes the version move without a change that anybody sees.
  void skip(std::uint64_t versions) { version_ += versions; }

  // What came after `version`, oldest first.
  std::vector<Change> changes_after(std::uint64_t version) const;
  // From this version on everything is known; older ones are 410.
  std::uint64_t oldest() const { return oldest_; }
  // Those who watch already still get what they have not seen.
  void forget_changes();

 private:
  struct Key {
    std::string space;
    std::string name;
    auto operator<=>(const Key&) const = default;
  };
  static Key key_of(const Json& object);
  Object keep(const std::string& resource, Json object, std::uint64_t version);

  std::uint64_t version_ = 200;
  std::uint64_t oldest_ = 200;
  std::map<std::string, std::map<Key, Object>> objects_;
  std::deque<Change> changes_;
};

// "2026-11-21T21:31:30Z", now.
std::string timestamp();
// A random UUID.
std::string random_uid();
// So many characters as generateName gets.
std::string random_suffix(std::size_t length);

}  // namespace plimsoll::test
