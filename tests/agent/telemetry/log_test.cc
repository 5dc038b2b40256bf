// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/log.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace plimsoll::agent::log_test {
namespace {

using nlohmann::json;
using std::chrono::microseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

const ContainerRef kApp{.name_space = "demo", .pod = "web", .uid = "uid-1", .container = "app"};
constexpr Bytes mebibytes(std::uint64_t count) { return {count * kMiB}; }

Record record(Record::Kind kind, Reason reason = Reason::kReclaimFailing) {
  return {
      .kind = kind,
      .layer = Layer::kAtTheLimit,
      .reason = reason,
      .facts =
          MemoryFacts{
              .limit = mebibytes(1), .usage = {1000}, .reclaimable = {10}, .rate_per_second = {7}},
      .change = MemoryChange{mebibytes(1), mebibytes(2)},
      .reaction = microseconds(60)};
}

class DecisionLogTest : public testing::Test {
 protected:
  DecisionLogTest() {
    const auto* const test = testing::UnitTest::GetInstance()->current_test_info();
    file_ = (std::filesystem::temp_directory_path() /
             ("plimsoll_log_" + std::to_string(::getpid()) + "_" + test->name()))
                .string();
    std::filesystem::remove(file_);
  }
  void TearDown() override { std::filesystem::remove(file_); }

  void open(LogOptions options = {}) {
    options.file = file_;
    auto opened = DecisionLog::open(options);
    ASSERT_TRUE(opened) << opened.error().message;
    log_ = std::move(*opened);
  }
  // Ends the log, which writes all that is queued.
  std::vector<std::string> lines() {
    log_.reset();
    std::vector<std::string> all;
    std::ifstream in(file_);
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
  }

  std::string file_;
  std::unique_ptr<DecisionLog> log_;
};

// Without the time, which starts each line.
std::string after_time(const std::string& line) {
  static const std::regex kTime(R"(^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z )");
  std::smatch match;
  EXPECT_TRUE(std::regex_search(line, match, kTime)) << line;
  return match.suffix();
}

TEST_F(DecisionLogTest, AChangeIsOneLineWithItsInputs) {
  open();
  log_->record(kApp, record(Record::Kind::kGrant));
  const auto all = lines();
  ASSERT_THAT(all, SizeIs(1));
  EXPECT_EQ(after_time(all[0]),
            "info memory limit raised namespace=demo pod=web container=app from_bytes=1048576 "
            "to_bytes=2097152 layer=at_the_limit reason=reclaim_failing limit_bytes=1048576 "
            "usage_bytes=1000 reclaimable_bytes=10 rate_bytes_per_second=7 "
            "reaction_seconds=6e-05");
}

TEST_F(DecisionLogTest, OrOneJsonObject) {
  open({.json = true});
  ResizeEvent refused{.kind = ResizeEvent::Kind::kRefused,
                      .change = MemoryChange{mebibytes(1), mebibytes(2)},
                      .status = 403,
                      .cause = "quota",
                      .message = "exceeded quota: \"team\"\n"};
  log_->answer(kApp, refused);
  const auto all = lines();
  ASSERT_THAT(all, SizeIs(1));
  const json line = json::parse(all[0]);
  EXPECT_EQ(line.at("level"), "warn");
  EXPECT_EQ(line.at("message"), "resize refused");
  EXPECT_EQ(line.at("namespace"), "demo");
  EXPECT_EQ(line.at("status"), 403);
  EXPECT_EQ(line.at("cause"), "quota");
  EXPECT_EQ(line.at("reply"), "exceeded quota: \"team\"\n");
  EXPECT_EQ(line.at("to_bytes"), 2 * kMiB);
}

TEST_F(DecisionLogTest, AnAnswerAboutACpuLimitSaysNothingOfMemory) {
  open();
  ResizeEvent refused{.kind = ResizeEvent::Kind::kRefused,
                      .change = CpuChange{MilliCpu{500}, MilliCpu{2000}},
                      .reason = Reason::kThrottled,
                      .status = 403,
                      .cause = "quota"};
  log_->answer(kApp, refused);
  const auto all = lines();
  ASSERT_THAT(all, SizeIs(1));
  EXPECT_EQ(after_time(all[0]),
            "warn resize refused namespace=demo pod=web container=app from_millicpu=500 "
            "to_millicpu=2000 layer=slow_loop reason=throttled status=403 cause=quota");
}

// Nothing that somebody else wrote can end a line or look like a field of ours.
TEST_F(DecisionLogTest, ValuesCannotLeaveTheirField) {
  open();
  log_->write(LogLevel::kInfo, "hello",
              {{"plain", "a-b/c"},
               {"spaced", "a b"},
               {"forged", "x\nlevel=error"},
               {"equals", "a=b"},
               {"quote", "\""},
               {"empty", ""},
               {"binary", std::string_view("\xff\x1b[31m", 6)},
               {"number", std::uint64_t{7}},
               {"share", 0.25},
               {"yes", true}});
  const auto all = lines();
  ASSERT_THAT(all, SizeIs(1));
  EXPECT_EQ(after_time(all[0]),
            "info hello plain=a-b/c spaced=\"a b\" forged=\"x\\nlevel=error\" equals=\"a=b\" "
            "quote=\"\\\"\" "
            "empty=\"\" binary=\"\xEF\xBF\xBD\\u001b[31m\" number=7 share=0.25 yes=true");
}

TEST_F(DecisionLogTest, WhatLastsIsSaidOnceUntilSomethingChanges) {
  open();
  for (int i = 0; i < 5; ++i) {
    log_->record(kApp, record(Record::Kind::kDenial, Reason::kCeiling));
    log_->record(kApp, record(Record::Kind::kDenial, Reason::kBudget));
    log_->record(kApp, record(Record::Kind::kWish));
  }
  ContainerRef other = kApp;
  other.uid = "uid-2";
  log_->record(other, record(Record::Kind::kDenial, Reason::kCeiling));
  log_->record(kApp, record(Record::Kind::kGrant));
  log_->record(kApp, record(Record::Kind::kDenial, Reason::kCeiling));
  log_->forget(other);
  log_->record(other, record(Record::Kind::kDenial, Reason::kCeiling));
  std::vector<std::string> what;
  for (const std::string& line : lines()) {
    const std::string text = after_time(line);
    what.push_back(text.substr(0, text.find(" namespace")));
  }
  EXPECT_THAT(what,
              ElementsAre("warn growth denied", "warn growth denied",
                          "info memory limit to be changed through the API", "warn growth denied",
                          "info memory limit raised", "warn growth denied", "warn growth denied"));
}

TEST_F(DecisionLogTest, AWishForMoreIsNews) {
  open();
  Record wish = record(Record::Kind::kWish);
  log_->record(kApp, wish);
  wish.change = MemoryChange{mebibytes(1), mebibytes(3)};
  log_->record(kApp, wish);
  EXPECT_THAT(lines(), SizeIs(2));
}

TEST_F(DecisionLogTest, LevelsAreKeptAndCanChange) {
  open({.level = LogLevel::kWarn});
  log_->record(kApp, record(Record::Kind::kGrant));
  log_->write(LogLevel::kError, "bad", {});
  log_->set_level(LogLevel::kDebug);
  log_->record(kApp, record(Record::Kind::kReclaim));
  const auto all = lines();
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_THAT(all[0], HasSubstr(" error bad"));
  EXPECT_THAT(all[1], HasSubstr(" debug memory probed before a shrink"));
}

TEST_F(DecisionLogTest, AFileThatCannotBeOpenedIsAnError) {
  const auto log = DecisionLog::open({.file = "/proc/no/such/folder/log"});
  ASSERT_FALSE(log);
  EXPECT_THAT(log.error().message, HasSubstr("open the log"));
}

// A reader that does not read: the pipe is full, the writer's thread waits in it, and nobody else.
TEST_F(DecisionLogTest, AStuckReaderCostsLinesAndNoTime) {
  ASSERT_EQ(::mkfifo(file_.c_str(), 0600), 0);
  const Fd reader(::open(file_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(reader);
  open({.queue = 8});
  const std::string filler(1024, 'x');
  for (int i = 0; i < 1000; ++i) log_->write(LogLevel::kInfo, filler, {});
  EXPECT_GT(log_->overruns(), 500U);
  // What is queued is written at the end: somebody has to read it.
  std::thread drain([&] {
    std::string piece(65536, '\0');
    ssize_t got = 0;
    while ((got = ::read(reader.get(), piece.data(), piece.size())) != 0) {
      if (got < 0) std::this_thread::yield();
    }
  });
  log_.reset();
  drain.join();
}

}  // namespace
}  // namespace plimsoll::agent::log_test
