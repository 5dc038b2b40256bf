// SPDX-License-Identifier: Apache-2.0
//
// LIST, version, discovery and the odd ends of the API fake against the recordings that need more
// than one pod: 00-version, 50, 53b, 64, 95.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>

#include "tests/fake_api/faults.h"
#include "tests/fake_api_unit/recorded_world.h"
#include "tests/fake_api_unit/recording.h"

namespace plimsoll::test::lists_test {
namespace {

class Lists : public ::testing::Test {
 protected:
  Lists() {
    for (const Json& entry : exchanges_of("52-watchlist").at(0).stream) {
      const Json& pod = entry["event"]["object"];
      if (entry["event"]["type"] == "ADDED") world_.api().restore("pods", pod);
    }
    all_ = world_.api().objects("pods").size();
  }

  Reply get(const std::string& query) {
    return world_.api().request("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-a" + query);
  }

  RecordedWorld world_;
  std::size_t all_ = 0;
};

const RecordedExchange& recorded_list(std::string_view note) {
  static const auto kExchanges = exchanges_of("50-list");
  const auto found = std::find_if(
      kExchanges.begin(), kExchanges.end(),
      [&](const RecordedExchange& exchange) { return exchange.note.rfind(note, 0) == 0; });
  EXPECT_TRUE(found != kExchanges.end()) << note;
  return *found;
}

std::set<std::string> keys_of(const Json& object) {
  std::set<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.insert(key);
  return keys;
}

TEST_F(Lists, FromTheCacheALimitIsIgnored) {
  ASSERT_GT(all_, 20U);
  const Reply whole = get("&resourceVersion=0");
  EXPECT_EQ(whole.body["items"].size(), all_);
  EXPECT_EQ(get("&resourceVersion=0&limit=5").body["items"].size(), all_);
  const RecordedExchange& real = recorded_list("resourceVersion=0 (from");
  EXPECT_EQ(keys_of(whole.body), keys_of(real.body));
  EXPECT_EQ(keys_of(whole.body["metadata"]), keys_of(real.body["metadata"]));
  EXPECT_EQ(whole.body["kind"], "PodList");
  // Items carry no kind.
  EXPECT_EQ(keys_of(whole.body["items"][0]), keys_of(real.body["items"][0]));
  // kind and version come before the items, whose readers lean on that.
  EXPECT_EQ(whole.body.begin().key(), "kind");
  EXPECT_EQ(std::prev(whole.body.end()).key(), "items");
}

TEST_F(Lists, PagesAreFullAndTheirTokenGoesOn) {
  std::set<std::string> seen;
  std::string token;
  std::string version;
  int pages = 0;
  do {
    const Reply page = get("&limit=5" + (token.empty() ? "" : "&continue=" + token));
    ASSERT_EQ(page.status, 200);
    for (const Json& item : page.body["items"]) seen.insert(text_at(item["metadata"], "name"));
    token = text_at(page.body["metadata"], "continue");
    if (version.empty()) version = text_at(page.body["metadata"], "resourceVersion");
    EXPECT_EQ(text_at(page.body["metadata"], "resourceVersion"), version);
    EXPECT_EQ(keys_of(page.body["metadata"]).count("remainingItemCount"), 0U);
    if (!token.empty()) {
      EXPECT_EQ(page.body["items"].size(), 5U);
    }
    ++pages;
  } while (!token.empty());
  EXPECT_EQ(seen.size(), all_);
  EXPECT_EQ(static_cast<std::size_t>(pages), (all_ + 4) / 5);
  EXPECT_EQ(keys_of(recorded_list("consistent read").body["metadata"]),
            (std::set<std::string>{"resourceVersion", "continue"}));
}

TEST_F(Lists, ARecordedTokenReads) {
  // Made by the real server: it goes on after /demo/cond.
  const RecordedExchange& real = recorded_list("continue (");
  const Reply page = get("&limit=5&continue=" + real.request.parameter("continue"));
  ASSERT_EQ(page.status, 200);
  EXPECT_EQ(page.body["metadata"]["resourceVersion"], real.body["metadata"]["resourceVersion"]);
  EXPECT_EQ(text_at(page.body["items"][0]["metadata"], "name"),
            text_at(real.body["items"][0]["metadata"], "name"));
}

// Requests that are answered alike whatever pods there are.
TEST_F(Lists, RefusalsAreTheRecordedOnes) {
  for (const char* note : {"resourceVersion from the future", "unknown field selector",
                           "Exact with 0", "Accept that cannot be served"}) {
    SCOPED_TRACE(note);
    const RecordedExchange& real = recorded_list(note);
    const Reply fake = world_.send(real);
    EXPECT_EQ(fake.status, real.status);
    Json body = fake.body;
    const std::string current = "current: ";
    // The newest version differs.
    if (text_at(body, "message").find(current) != std::string::npos) {
      body["message"] = real.body["message"];
      EXPECT_EQ(fake.headers.at("Retry-After"), "1");
    }
    EXPECT_TRUE(same(body, real.body)) << body.dump() << "\n" << real.body.dump();
  }
  const RecordedExchange& bad_token = recorded_list("bad continue token");
  const Reply fake = world_.send(bad_token);
  EXPECT_EQ(fake.status, bad_token.status);
  EXPECT_EQ(fake.body["reason"], bad_token.body["reason"]);
}

TEST_F(Lists, SelectionsAndMetadata) {
  EXPECT_EQ(get(",status.phase%3DRunning").body["items"].size(),
            get("").body["items"].size() - get(",status.phase!%3DRunning").body["items"].size());
  EXPECT_EQ(world_.send(recorded_list("no match")).body["items"].size(), 0U);
  const RecordedExchange& real = recorded_list("PartialObjectMetadataList");
  const Reply brief = world_.send(real);
  EXPECT_EQ(brief.body["kind"], real.body["kind"]);
  EXPECT_EQ(brief.body["apiVersion"], real.body["apiVersion"]);
  EXPECT_FALSE(brief.body["items"][0].contains("spec"));
}

TEST_F(Lists, AnExactVersionThatIsForgottenIsGone) {
  world_.api().forget_changes();
  const RecordedExchange& real = exchanges_of("53b-list-410-compacted").at(1);
  const Reply fake = world_.send(real);
  EXPECT_EQ(fake.status, 410);
  EXPECT_TRUE(same(fake.body, real.body)) << fake.body.dump();
  // A token goes on all the same, served from the cache.
  EXPECT_EQ(world_.send(exchanges_of("53b-list-410-compacted").at(0)).status, 200);
}

TEST(Version, AndDiscovery) {
  const auto real = exchanges_of("00-version");
  RecordedWorld world;
  const Reply version = world.send(real.at(0));
  for (const char* key : {"major", "minor", "gitVersion"}) {
    EXPECT_EQ(version.body[key], real.at(0).body[key]);
  }
  const Reply discovery = world.send(real.at(1));
  EXPECT_EQ(discovery.body["groupVersion"], "v1");
  for (const Json& resource : discovery.body["resources"]) {
    for (const Json& other : real.at(1).body["resources"]) {
      if (resource["name"] != other["name"] || resource["name"] == "pods/ephemeralcontainers") {
        continue;
      }
      EXPECT_EQ(resource["kind"], other["kind"]);
      EXPECT_EQ(resource["singularName"], other["singularName"]);
      // Of verbs the fake leaves out what it does not serve.
      for (const Json& verb : resource["verbs"]) {
        EXPECT_TRUE(std::find(other["verbs"].begin(), other["verbs"].end(), verb) !=
                    other["verbs"].end());
      }
    }
  }
}

TEST(Sizes, AHugePatchIs413) {
  const RecordedExchange real = exchanges_of("64-413").at(0);
  RecordedWorld world;
  world.prepare(real);
  HttpRequest request = real.request;
  request.body = R"({"spec":{"containers":[{"name":")" + std::string(3145858, 'x') + R"("}]}})";
  const Reply fake = world.send(real.identity, request);
  EXPECT_EQ(fake.status, 413);
  EXPECT_TRUE(same(fake.body, real.body)) << fake.body.dump();
}

TEST(Throttling, IsNoStatusObject) {
  const RecordedExchange real = exchanges_of("95-429").at(2);
  RecordedWorld world;
  Fault fault;
  fault.kind = FaultKind::kRefusal;
  fault.refusal = "throttled";
  world.api().add_fault(fault);
  const Reply fake = world.send(real);
  EXPECT_EQ(fake.status, real.status);
  EXPECT_EQ(fake.text, real.body.get<std::string>());
  EXPECT_EQ(fake.headers.at("Content-Type"), text_at(real.headers, "Content-Type"));
  EXPECT_EQ(fake.headers.at("Retry-After"), text_at(real.headers, "Retry-After"));
}

}  // namespace
}  // namespace plimsoll::test::lists_test
