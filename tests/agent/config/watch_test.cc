// SPDX-License-Identifier: Apache-2.0
#include "agent/config/watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

namespace plimsoll::agent::watch_test {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;

class ConfigWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::path(testing::TempDir()) /
                 (std::string("plimsoll-config-watch-") +
                  testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::string path() const { return directory_ / "plimsoll.yaml"; }
  void write(const std::string& text) const { std::ofstream(path()) << text; }

  // As the kubelet does it: a directory of its own, and a symlink to it that is swapped.
  void publish(const std::string& text) {
    const fs::path before = version_ > 0 ? directory_ / name_of(version_) : fs::path();
    const std::string name = name_of(++version_);
    fs::create_directory(directory_ / name);
    std::ofstream(directory_ / name / "plimsoll.yaml") << text;
    fs::create_directory_symlink(name, directory_ / "..data_tmp");
    fs::rename(directory_ / "..data_tmp", directory_ / "..data");
    if (version_ == 1) fs::create_symlink("..data/plimsoll.yaml", path());
    if (!before.empty()) fs::remove_all(before);
  }

  ConfigWatch open() const {
    auto watch = ConfigWatch::open(path(), std::chrono::milliseconds(5));
    if (!watch) throw std::runtime_error(watch.error().message);
    return std::move(*watch);
  }

  // What comes next; fails the test when nothing does.
  static Result<Config> next(ConfigWatch& watch) {
    const auto deadline = std::chrono::steady_clock::now() + seconds(30);
    while (std::chrono::steady_clock::now() < deadline) {
      pollfd wait{.fd = watch.fd(), .events = POLLIN, .revents = 0};
      if (::poll(&wait, 1, 1000) <= 0) continue;
      if (auto change = watch.take()) return std::move(*change);
    }
    ADD_FAILURE() << "nothing came within 30 s";
    return fail(Code::kUnavailable, "nothing came");
  }
  // Sees to the end what is under way; there must be nothing that counts.
  static void expect_nothing(ConfigWatch& watch) {
    pollfd wait{.fd = watch.fd(), .events = POLLIN, .revents = 0};
    while (::poll(&wait, 1, 100) > 0) EXPECT_FALSE(watch.take().has_value());
  }

 private:
  static std::string name_of(int version) { return "..2026_11_22_" + std::to_string(version); }

  fs::path directory_;
  int version_ = 0;
};

TEST_F(ConfigWatchTest, AConfigMapThatIsSwappedIsReadAgain) {
  publish("tick: 2s\n");
  ConfigWatch watch = open();
  EXPECT_EQ(watch.config().tick, seconds(2));
  EXPECT_EQ(watch.generation(), 1U);
  for (int i = 3; i < 6; ++i) {
    publish("tick: " + std::to_string(i) + "s\n");
    const Result<Config> config = next(watch);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->tick, seconds(i));
    EXPECT_EQ(watch.config().tick, seconds(i));
    EXPECT_EQ(watch.generation(), static_cast<std::uint64_t>(i) - 1);
  }
}

TEST_F(ConfigWatchTest, ABadFileIsRefusedAndTheLastGoodOneStays) {
  publish("tick: 2s\n");
  ConfigWatch watch = open();
  publish("tick: 3s\ntock: 1\n");
  const Result<Config> refused = next(watch);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kMalformed);
  EXPECT_THAT(refused.error().message, StartsWith(path() + ":2: tock: unknown key"));
  EXPECT_EQ(watch.error(), refused.error());
  EXPECT_EQ(watch.config().tick, seconds(2));
  EXPECT_EQ(watch.generation(), 1U);

  // Back to what it was: the error is over.
  publish("tick: 2s\n");
  const Result<Config> good = next(watch);
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_EQ(watch.error(), std::nullopt);
  EXPECT_EQ(watch.generation(), 2U);
}

TEST_F(ConfigWatchTest, AFileThatIsWrittenInPlaceOrReplacedIsReadAgain) {
  write("tick: 2s\n");
  ConfigWatch watch = open();
  write("tick: 3s\n");
  EXPECT_EQ(next(watch)->tick, seconds(3));
  std::ofstream(path() + ".new") << "tick: 4s\n";
  fs::rename(path() + ".new", path());
  EXPECT_EQ(next(watch)->tick, seconds(4));
  // From elsewhere: the rename is all that is seen of it.
  const std::string elsewhere = fs::path(path()).parent_path().string() + ".elsewhere";
  std::ofstream(elsewhere) << "tick: 5s\n";
  fs::rename(elsewhere, path());
  EXPECT_EQ(next(watch)->tick, seconds(5));
}

TEST_F(ConfigWatchTest, AnEmptyFileThatComesBackIsAllDefaults) {
  write("");
  ConfigWatch watch = open();
  fs::remove(path());
  EXPECT_FALSE(next(watch));
  write("");
  EXPECT_TRUE(next(watch));
  EXPECT_EQ(watch.error(), std::nullopt);
}

TEST_F(ConfigWatchTest, WhatIsWrittenWithoutChangingAnythingIsNothing) {
  publish("tick: 2s\n");
  ConfigWatch watch = open();
  expect_nothing(watch);
  publish("tick: 2s\n");
  write("tick: 2s\n");
  std::ofstream(path() + ".other") << "x";
  expect_nothing(watch);
  EXPECT_EQ(watch.generation(), 1U);
  publish("tick: nope\n");
  EXPECT_FALSE(next(watch));
  publish("tick: nope\n");
  expect_nothing(watch);
}

TEST_F(ConfigWatchTest, AFileThatIsAwayForAWhileIsMissed) {
  write("tick: 2s\n");
  ConfigWatch watch = open();
  fs::remove(path());
  const Result<Config> gone = next(watch);
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, Code::kGone);
  EXPECT_EQ(watch.config().tick, seconds(2));
  // The same text as before counts: the file is there again.
  write("tick: 2s\n");
  EXPECT_EQ(next(watch)->tick, seconds(2));
  EXPECT_EQ(watch.error(), std::nullopt);
}

TEST_F(ConfigWatchTest, ADirectoryThatIsRemovedIsSaid) {
  write("tick: 2s\n");
  ConfigWatch watch = open();
  fs::remove_all(fs::path(path()).parent_path());
  const Result<Config> gone = next(watch);
  ASSERT_FALSE(gone);
  EXPECT_THAT(gone.error().message, HasSubstr("its directory is gone"));
  EXPECT_EQ(watch.config().tick, seconds(2));
  expect_nothing(watch);
}

TEST_F(ConfigWatchTest, WithoutAGoodFileThereIsNoWatch) {
  EXPECT_EQ(ConfigWatch::open(path()).error().code, Code::kGone);
  write("tick: [\n");
  EXPECT_EQ(ConfigWatch::open(path()).error().code, Code::kMalformed);
  EXPECT_EQ(ConfigWatch::open("/nonexistent/x/plimsoll.yaml").error().code, Code::kGone);
}

// The last one counts, however many there are.
TEST_F(ConfigWatchTest, ManyChangesEndWithTheLast) {
  publish("tick: 1s\n");
  ConfigWatch watch = open();
  for (int i = 2; i <= 40; ++i) publish("tick: " + std::to_string(i) + "s\n");
  while (watch.config().tick != seconds(40)) {
    ASSERT_TRUE(next(watch));
  }
  EXPECT_LE(watch.generation(), 40U);
  expect_nothing(watch);
}

}  // namespace
}  // namespace plimsoll::agent::watch_test
