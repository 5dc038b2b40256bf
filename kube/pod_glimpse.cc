// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "kube/pod_json.h"

namespace plimsoll::kube {
namespace {

using Json = nlohmann::json;

// Listens to the parser until `metadata` ends or the text makes no sense any more. Every answer
// but true ends the parsing.
class GlimpseReader : public nlohmann::json_sax<Json> {
 public:
  explicit GlimpseReader(PodGlimpse& glimpse) : glimpse_(glimpse) {}

  bool key(string_t& key) override {
    wanted_ = nullptr;
    if (depth_ == 1) in_metadata_ = key == "metadata";
    if (depth_ == 2 && in_metadata_) wanted_ = field(key);
    return true;
  }
  bool string(string_t& text) override {
    if (wanted_ != nullptr) *wanted_ = text;
    wanted_ = nullptr;
    return true;
  }
  bool start_object(std::size_t /*elements*/) override { return enter(); }
  bool start_array(std::size_t /*elements*/) override { return enter(); }
  bool end_object() override { return leave(); }
  bool end_array() override { return leave(); }
  bool null() override { return scalar(); }
  bool boolean(bool /*value*/) override { return scalar(); }
  bool number_integer(number_integer_t /*value*/) override { return scalar(); }
  bool number_unsigned(number_unsigned_t /*value*/) override { return scalar(); }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override {
    return scalar();
  }
  bool binary(binary_t& /*value*/) override { return scalar(); }
  bool parse_error(std::size_t /*position*/, const std::string& /*last_token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    return false;
  }

 private:
  std::string* field(std::string_view key) {
    if (key == "uid") return &glimpse_.id.uid;
    if (key == "namespace") return &glimpse_.id.namespace_name;
    if (key == "name") return &glimpse_.id.name;
    return key == "resourceVersion" ? &glimpse_.resource_version : nullptr;
  }
  bool enter() {
    wanted_ = nullptr;
    return ++depth_ <= kDeepestNesting;
  }
  // The end of metadata is the end of interest.
  bool leave() { return --depth_ != 1 || !in_metadata_; }
  bool scalar() {
    wanted_ = nullptr;
    return true;
  }

  PodGlimpse& glimpse_;
  int depth_ = 0;
  bool in_metadata_ = false;
  std::string* wanted_ = nullptr;  // where the value that comes next goes
};

}  // namespace

PodGlimpse glimpse_pod(std::string_view json) {
  PodGlimpse glimpse;
  GlimpseReader reader(glimpse);
  (void)Json::sax_parse(json.begin(), json.end(), &reader);
  return glimpse;
}

}  // namespace plimsoll::kube
