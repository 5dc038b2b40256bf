// SPDX-License-Identifier: Apache-2.0
#include "kube/credentials.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "tests/kube/scratch_directory.h"

namespace plimsoll::kube::credentials_test {
namespace {

using std::chrono::seconds;

constexpr MonotonicTime kStart{std::chrono::hours(1)};
constexpr const char* kPem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

class CredentialsTest : public testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& text) const {
    return directory.write(name, text);
  }

  ScratchDirectory directory;
};

TEST_F(CredentialsTest, ReadsFilesAndTexts) {
  const auto credentials = read_credentials({.ca = {.text = kPem},
                                             .token = {.file = file("token", " secret\n")},
                                             .certificate = {.file = file("cert", kPem)},
                                             .key = {.text = kPem}});
  ASSERT_TRUE(credentials) << credentials.error().message;
  EXPECT_EQ(*credentials, (Credentials{kPem, "secret", kPem, kPem}));
}

TEST_F(CredentialsTest, AbsentIsEmpty) { EXPECT_EQ(*read_credentials({}), Credentials{}); }

TEST_F(CredentialsTest, WhatIsEmptyIsRefused) {
  const std::string empty = file("empty", " \n");
  for (const CredentialSources& sources :
       {CredentialSources{.ca = {.file = empty}}, CredentialSources{.token = {.file = empty}},
        CredentialSources{.certificate = {.file = empty}, .key = {.text = kPem}},
        CredentialSources{.certificate = {.text = kPem}, .key = {.file = empty}}}) {
    const auto credentials = read_credentials(sources);
    ASSERT_FALSE(credentials);
    EXPECT_EQ(credentials.error().code, Code::kMalformed);
    EXPECT_NE(credentials.error().message.find(empty), std::string::npos);
  }
}

TEST_F(CredentialsTest, WhatCannotBeOneIsRefused) {
  for (const CredentialSources& sources :
       {CredentialSources{.ca = {.text = "AAAA"}},
        CredentialSources{.token = {.text = "a\r\nX: b"}},
        CredentialSources{.token = {.text = "a b"}},
        CredentialSources{.token = {.text = "\xc3\xa4"}},
        CredentialSources{.certificate = {.text = kPem}}, CredentialSources{.key = {.text = kPem}},
        CredentialSources{.certificate = {.text = kPem}, .key = {.text = "AAAA"}}}) {
    const auto credentials = read_credentials(sources);
    ASSERT_FALSE(credentials);
    EXPECT_EQ(credentials.error().code, Code::kMalformed);
  }
}

TEST_F(CredentialsTest, NoErrorQuotesATokenOrAKey) {
  for (const CredentialSources& sources :
       {CredentialSources{.token = {.text = "secret secret"}},
        CredentialSources{.certificate = {.text = kPem}, .key = {.text = "secret"}}}) {
    EXPECT_EQ(read_credentials(sources).error().message.find("secret"), std::string::npos);
  }
}

TEST_F(CredentialsTest, AMissingFileIsGone) {
  const auto credentials = read_credentials({.token = {.file = directory / "none"}});
  ASSERT_FALSE(credentials);
  EXPECT_EQ(credentials.error().code, Code::kGone);
}

TEST_F(CredentialsTest, FilesAreReadAgainWhenTheyAreOld) {
  auto store = CredentialStore::open({.token = {.file = file("token", "one")}}, kStart);
  ASSERT_TRUE(store);
  file("token", "two");
  EXPECT_FALSE(store->refresh(kStart + seconds(60) - Nanoseconds(1)));
  EXPECT_EQ(store->current().token, "one");
  EXPECT_TRUE(store->refresh(kStart + seconds(60)));
  EXPECT_EQ(store->current().token, "two");
  file("token", "three");
  EXPECT_FALSE(store->refresh(kStart + seconds(119)));
  EXPECT_TRUE(store->reload(kStart + seconds(119)));
  EXPECT_EQ(store->current().token, "three");
  EXPECT_FALSE(store->reload(kStart + seconds(120)));  // the same again
  EXPECT_EQ(store->failures(), 0U);
}

TEST_F(CredentialsTest, AFailedReadKeepsTheLastGoodOnesAndIsCounted) {
  auto store = CredentialStore::open(
      {.ca = {.file = file("ca", kPem)}, .token = {.file = file("token", "one")}}, kStart);
  ASSERT_TRUE(store);
  file("token", "two");
  file("ca", "");
  EXPECT_FALSE(store->reload(kStart));
  EXPECT_EQ(store->current(), (Credentials{.ca = kPem, .token = "one"}));
  EXPECT_EQ(store->failures(), 1U);
  EXPECT_NE(store->last_failure().find("the CA"), std::string::npos);
  // Not again with every request.
  EXPECT_FALSE(store->refresh(kStart + seconds(1)));
  EXPECT_EQ(store->failures(), 1U);
  file("ca", kPem);
  EXPECT_TRUE(store->refresh(kStart + seconds(60)));
  EXPECT_EQ(store->current().token, "two");
}

TEST_F(CredentialsTest, AStoreThatCannotReadAtFirstIsNotOpened) {
  EXPECT_FALSE(CredentialStore::open({.token = {.file = directory / "none"}}, kStart));
}

}  // namespace
}  // namespace plimsoll::kube::credentials_test
