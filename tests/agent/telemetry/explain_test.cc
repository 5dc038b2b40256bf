// SPDX-License-Identifier: Apache-2.0
//
// Timelines, what is said of them, and both ends of the socket.
#include "agent/telemetry/explain.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "agent/commands/explain.h"
#include "agent/commands/explain_table.h"
#include "agent/telemetry/explain_server.h"
#include "agent/telemetry/unix_socket.h"

namespace plimsoll::agent::explain_test {
namespace {

using nlohmann::json;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr Bytes mebibytes(std::uint64_t count) { return {count * kMiB}; }
constexpr MonotonicTime at(int second) { return MonotonicTime(seconds(second)); }
// at(1000) is 2026-11-21 21:31:32 UTC.
constexpr kube::WallTime kWall{microseconds(1'795'296'692'000'000)};

ContainerRef subject(std::string container = "app", std::string uid = "uid-1") {
  return {
      .name_space = "demo", .pod = "web", .uid = std::move(uid), .container = std::move(container)};
}

Record grant(int second, std::uint64_t from, std::uint64_t to) {
  return {.kind = Record::Kind::kGrant,
          .at = at(second),
          .layer = Layer::kAtTheLimit,
          .reason = Reason::kReclaimFailing,
          .facts = MemoryFacts{.limit = mebibytes(from), .usage = mebibytes(from)},
          .change = MemoryChange{mebibytes(from), mebibytes(to)},
          .reaction = microseconds(60)};
}
Record denial(int second, Reason reason = Reason::kCeiling) {
  return {.kind = Record::Kind::kDenial, .at = at(second), .reason = reason};
}
ResizeEvent refusal(int second) {
  return {.kind = ResizeEvent::Kind::kRefused,
          .at = at(second),
          .change = MemoryChange{mebibytes(256), mebibytes(384)},
          .status = 403,
          .cause = "quota",
          .message = "exceeded quota: team"};
}

json explained(const Timelines& timelines, const std::vector<ExplainedContainer>& states = {},
               std::string_view container = "") {
  return json::parse(explain_json(timelines, states, "demo", "web", container, at(1000), kWall));
}

TEST(Timeline, KeepsTheNewestAndSaysHowManyWent) {
  Timelines timelines({.entries = 3});
  for (std::uint64_t i = 0; i < 5; ++i) {
    timelines.add(subject(), grant(static_cast<int>(i), 10 + i, 11 + i));
  }
  const auto found = timelines.of("demo", "web");
  ASSERT_THAT(found, SizeIs(1));
  ASSERT_THAT(found[0]->entries, SizeIs(3));
  EXPECT_EQ(found[0]->entries.front().change,
            (LimitChange{MemoryChange{mebibytes(12), mebibytes(13)}}));
  EXPECT_EQ(found[0]->forgotten, 2U);
}

TEST(Timeline, AllTogetherAreBoundedAndTheOldestEntryGoes) {
  Timelines timelines({.gone = 1, .all = 6});
  for (std::uint64_t i = 0; i < 4; ++i) {
    timelines.add(subject("busy"), grant(static_cast<int>(10 + i), 10 + i, 11 + i));
  }
  timelines.add(subject("early"), denial(5));
  timelines.add(subject("late"), denial(20));
  timelines.add(subject("late"), denial(21, Reason::kLeak));
  EXPECT_EQ(timelines.entries(), 6U);
  for (const Timeline* timeline : timelines.of("demo", "web")) {
    EXPECT_EQ(timeline->forgotten, timeline->subject.container == "early" ? 1U : 0U);
  }
  timelines.ended(subject("busy"));
  timelines.ended(subject("late"));
  EXPECT_EQ(timelines.entries(), 2U) << "what the gone had is not counted any more";
}

TEST(Timeline, TheSameInARowIsOneEntry) {
  Timelines timelines;
  for (int i = 0; i < 100; ++i) timelines.add(subject(), denial(i));
  timelines.add(subject(), denial(100, Reason::kLeak));
  timelines.add(subject(), denial(101));
  const auto& entries = timelines.of("demo", "web")[0]->entries;
  ASSERT_THAT(entries, SizeIs(3));
  EXPECT_EQ(entries[0].repeats, 100U);
  EXPECT_EQ(entries[0].at, at(0));
  EXPECT_EQ(entries[0].last, at(99));
}

TEST(Timeline, TheGoneAreKeptForAWhileBehindTheLiving) {
  Timelines timelines({.gone = 2});
  for (int i = 0; i < 5; ++i) {
    const ContainerRef each = subject("app", "uid-" + std::to_string(i));
    timelines.add(each, denial(i));
    if (i < 4) timelines.ended(each);
  }
  timelines.ended(subject("app", "unknown"));
  const auto found = timelines.of("demo", "web");
  ASSERT_THAT(found, SizeIs(3));
  EXPECT_EQ(found[0]->subject.uid, "uid-4");
  EXPECT_FALSE(found[0]->gone);
  EXPECT_EQ(found[1]->subject.uid, "uid-3");
  EXPECT_TRUE(found[1]->gone);
  EXPECT_EQ(found[2]->subject.uid, "uid-2");
  EXPECT_EQ(timelines.living(), 1U);
}

TEST(Explain, SaysWhatIsAndWhatHappened) {
  Timelines timelines;
  timelines.add(subject(), grant(990, 256, 384));
  timelines.add(subject(), refusal(991));
  timelines.add(subject("proxy"), denial(992));
  const ExplainedContainer state{.subject = subject(),
                                 .floor = mebibytes(256),
                                 .ceiling = mebibytes(1024),
                                 .limit = limit_of(mebibytes(384)),
                                 .usage = mebibytes(300),
                                 .actuation = "resize",
                                 .denial = Reason::kLeak,
                                 .notes = {"lease until 21:40"}};
  const json answer = explained(timelines, {state});
  EXPECT_EQ(answer.at("namespace"), "demo");
  EXPECT_EQ(answer.at("at"), "2026-11-21T21:31:32.000000Z");
  ASSERT_THAT(answer.at("containers"), SizeIs(2));
  const json& app = answer.at("containers")[0];
  EXPECT_EQ(app.at("name"), "app");
  EXPECT_EQ(app.at("gone"), false);
  EXPECT_EQ(app.at("state"), (json{{"limit_bytes", 384 * kMiB},
                                   {"floor_bytes", 256 * kMiB},
                                   {"ceiling_bytes", 1024 * kMiB},
                                   {"usage_bytes", 300 * kMiB},
                                   {"actuation", "resize"},
                                   {"denial", "leak"},
                                   {"denial_why",
                                    "it has climbed without a plateau through several grants, as a "
                                    "leak does"},
                                   {"notes", {"lease until 21:40"}}}));
  ASSERT_THAT(app.at("timeline"), SizeIs(2));
  EXPECT_EQ(app.at("timeline")[0],
            (json{{"at", "2026-11-21T21:31:22.000000Z"},
                  {"what", "grant"},
                  {"layer", "at_the_limit"},
                  {"from_bytes", 256 * kMiB},
                  {"to_bytes", 384 * kMiB},
                  {"reason", "reclaim_failing"},
                  {"why", "at the limit, and reclaim frees nothing any more"},
                  {"limit_bytes", 256 * kMiB},
                  {"usage_bytes", 256 * kMiB},
                  {"reclaimable_bytes", 0},
                  {"rate_bytes_per_second", 0},
                  {"numbers", "needs 256 MiB of 256 MiB"},
                  {"took_seconds", 6e-05}}));
  EXPECT_EQ(app.at("timeline")[1].at("detail"), "quota: exceeded quota: team");
  EXPECT_EQ(app.at("timeline")[1].at("status"), 403);
  EXPECT_EQ(answer.at("containers")[1].at("name"), "proxy");
  EXPECT_EQ(answer.at("containers")[1].at("state"), json());
}

TEST(Explain, OneContainerOrNone) {
  Timelines timelines;
  timelines.add(subject(), denial(1));
  timelines.add(subject("proxy"), denial(2));
  EXPECT_THAT(explained(timelines, {}, "proxy").at("containers"), SizeIs(1));
  EXPECT_THAT(explained(timelines, {}, "nobody").at("containers"), SizeIs(0));
  // Known, and nothing has happened: not unknown.
  EXPECT_THAT(explained(Timelines(), {{.subject = subject()}}).at("containers"), SizeIs(1));
}

// A container that was restarted has the same name in the same pod.
TEST(Explain, WhatIsNowBelongsToTheLivingOne) {
  Timelines timelines;
  timelines.add(subject(), denial(1));
  timelines.ended(subject());
  const json answer = explained(timelines, {{.subject = subject()}});
  ASSERT_THAT(answer.at("containers"), SizeIs(2));
  EXPECT_TRUE(answer.at("containers")[0].at("state").is_object());
  EXPECT_THAT(answer.at("containers")[0].at("timeline"), SizeIs(0));
  EXPECT_EQ(answer.at("containers")[1].at("gone"), true);
  EXPECT_THAT(answer.at("containers")[1].at("timeline"), SizeIs(1));
}

TEST(Explain, OfACpuLimit) {
  Timelines timelines;
  timelines.add(subject(), ResizeEvent{.kind = ResizeEvent::Kind::kAccepted,
                                       .at = at(990),
                                       .change = CpuChange{MilliCpu{500}, MilliCpu{2000}},
                                       .reason = Reason::kThrottled,
                                       .status = 200});
  const json entry = explained(timelines).at("containers")[0].at("timeline")[0];
  EXPECT_EQ(entry.at("from_millicpu"), 500);
  EXPECT_EQ(entry.at("to_millicpu"), 2000);
  EXPECT_FALSE(entry.contains("from_bytes") || entry.contains("to_bytes"));
  const auto table = explain_table(explain_json(timelines, {}, "demo", "web", "", at(1000), kWall));
  ASSERT_TRUE(table);
  EXPECT_NE(table->find("500m -> 2 "), std::string::npos) << *table;
}

TEST(Explain, TheTableIsReadable) {
  Timelines timelines;
  timelines.add(subject(), grant(990, 256, 384));
  for (int i = 0; i < 3; ++i) timelines.add(subject(), denial(992 + i));
  timelines.add(subject(), refusal(996));
  const ExplainedContainer state{.subject = subject(),
                                 .floor = mebibytes(256),
                                 .ceiling = mebibytes(1024),
                                 .limit = kNoLimit,
                                 .usage = mebibytes(300),
                                 .reclaimable = mebibytes(10),
                                 .actuation = "resize"};
  const auto table = explain_table(explain_json(timelines, {state, {.subject = subject("idle")}},
                                                "demo", "web", "", at(1000), kWall));
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_EQ(
      *table,
      "pod demo/web at 2026-11-21 21:31:32.000 UTC\n"
      "container app (pod uid uid-1)\n"
      "  limit max, floor 256 MiB, ceiling 1 GiB, usage 300 MiB (10 MiB of it reclaimable), by "
      "resize\n"
      "  TIME (UTC)               WHAT       LAYER         LIMIT               TOOK   WHY AND "
      "ANSWER\n"
      "  2026-11-21 21:31:22.000  grant      at_the_limit  256 MiB -> 384 MiB  60 us  at the "
      "limit, and reclaim frees nothing any more; needs 256 MiB of 256 MiB\n"
      "  2026-11-21 21:31:24.000  denial x3  slow_loop                                it is at its "
      "ceiling; last at 2026-11-21 21:31:26.000\n"
      "  2026-11-21 21:31:28.000  refused    slow_loop     256 MiB -> 384 MiB         enough "
      "headroom; HTTP 403; quota: exceeded quota: team\n"
      "container idle (pod uid uid-1)\n"
      "  limit max, floor 0 B, ceiling 0 B\n"
      "  nothing has happened yet\n");
}

TEST(Explain, AServersWordsAreOnlyTextOnATerminal) {
  Timelines timelines;
  ResizeEvent hostile = refusal(990);
  hostile.message =
      "a\x1b[2Jb\r\nc\x07\xC2\x9B"
      "31md";
  timelines.add(subject(), hostile);
  const auto table = explain_table(explain_json(timelines, {}, "demo", "web", "", at(1000), kWall));
  ASSERT_TRUE(table);
  EXPECT_THAT(*table, HasSubstr("quota: a?[2Jb??c???31md\n"));
  EXPECT_THAT(*table, Not(HasSubstr("\x1b")));
}

TEST(Explain, WhatIsNoAnswerIsRefused) {
  for (const std::string_view text :
       {"", "{", "[]", "7", "{}", R"({"containers":7})", R"({"containers":{}})"}) {
    EXPECT_FALSE(explain_table(text)) << text;
  }
  for (
      const std::string_view text :
      {R"({"containers":[7]})", R"({"containers":[{"timeline":[7],"state":7}]})",
       R"({"containers":[{"gone":7,"forgotten":-1,"timeline":[{"at":7,"repeats":2,"from_bytes":-1,)"
       R"("to_bytes":1.5,"took_seconds":-1e300,"status":1e300,"detail":[]}]}]})"}) {
    EXPECT_TRUE(explain_table(text)) << text;
  }
}

TEST(ExplainRequest, IsReadAsItIsWritten) {
  const ExplainRequest request{.name_space = "demo", .pod = "web", .container = "a\"b"};
  const auto read = parse_explain_request(to_line(request));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, request);
  for (const std::string_view text :
       {"", "x", "[]", "{}", R"({"namespace":"demo"})", R"({"namespace":7,"pod":"web"})",
        R"({"namespace":"","pod":"web"})"}) {
    EXPECT_FALSE(parse_explain_request(text)) << text;
  }
}

// An agent's loop with nothing but the server in it.
class ExplainServerTest : public testing::Test {
 protected:
  ExplainServerTest() {
    const auto* const test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = (std::filesystem::temp_directory_path() /
               ("plimsoll_explain_" + std::to_string(::getpid()) + "_" + test->name()))
                  .string();
    std::filesystem::remove_all(folder_);
    socket_ = folder_ + "/agent.sock";
    timelines_.add(subject(), grant(990, 256, 384));
  }
  void TearDown() override {
    stop();
    std::filesystem::remove_all(folder_);
  }

  void start() {
    auto opened = ExplainServer::open(socket_, [this](const ExplainRequest& request) {
      return explain_json(timelines_, {}, request.name_space, request.pod, request.container,
                          at(1000), kWall);
    });
    ASSERT_TRUE(opened) << opened.error().message;
    server_ = std::move(*opened);
    stopping_ = false;
    loop_ = std::thread([this] {
      while (!stopping_) {
        pollfd fd{.fd = server_->poll_fd(), .events = POLLIN};
        ::poll(&fd, 1, 1);
        server_->turn(std::chrono::time_point_cast<Nanoseconds>(std::chrono::steady_clock::now()));
      }
    });
  }
  void stop() {
    stopping_ = true;
    if (loop_.joinable()) loop_.join();
    server_.reset();
  }

  int ask(ExplainOptions options) {
    options.socket = socket_;
    options.within = seconds(30);
    out_.str("");
    err_.str("");
    return explain(options, out_, err_);
  }

  std::string folder_;
  std::string socket_;
  Timelines timelines_;
  std::unique_ptr<ExplainServer> server_;
  std::atomic<bool> stopping_{false};
  std::thread loop_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(ExplainServerTest, AnswersTheCommand) {
  start();
  EXPECT_EQ(ask({.pod = "demo/web"}), kExplainFound) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("256 MiB -> 384 MiB"));
  EXPECT_EQ(ask({.pod = "demo/web", .json = true}), kExplainFound);
  EXPECT_EQ(json::parse(out_.str()).at("pod"), "web");
  EXPECT_EQ(ask({.pod = "demo/other"}), kExplainNoSuchPod);
  EXPECT_THAT(err_.str(), HasSubstr("knows no pod demo/other"));
  EXPECT_EQ(ask({.pod = "demo/web", .container = "proxy"}), kExplainNoSuchPod);
  for (const char* wrong : {"web", "/web", "demo/", "demo/web/app", ""}) {
    EXPECT_EQ(ask({.pod = wrong}), kExplainUsage) << wrong;
  }
}

TEST_F(ExplainServerTest, WithoutAnAgentItSaysWhatToDo) {
  EXPECT_EQ(ask({.pod = "demo/web"}), kExplainNoAgent);
  EXPECT_THAT(err_.str(), HasSubstr("nobody listens on " + socket_));
  EXPECT_THAT(err_.str(), HasSubstr("is the agent running on this node?"));
}

TEST_F(ExplainServerTest, TheSocketIsRootsAloneAndGoesWithTheAgent) {
  start();
  struct stat found {};
  ASSERT_EQ(::stat(socket_.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777U, 0600U);
  ASSERT_EQ(::stat(folder_.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777U, 0700U);
  stop();
  EXPECT_NE(::stat(socket_.c_str(), &found), 0);
}

TEST_F(ExplainServerTest, WhatAKilledAgentLeftIsReplacedAndALivingOneIsNot) {
  std::filesystem::create_directories(folder_);
  { const auto left = listen_at(socket_, 1); }
  ASSERT_TRUE(std::filesystem::exists(socket_));
  start();
  EXPECT_EQ(ask({.pod = "demo/web"}), kExplainFound);
  const auto second = ExplainServer::open(socket_, {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::kConflict);
  EXPECT_EQ(ask({.pod = "demo/web"}), kExplainFound) << "the first one's socket was taken away";
}

TEST_F(ExplainServerTest, AFileThatIsNoSocketStays) {
  std::filesystem::create_directories(folder_);
  std::ofstream(socket_) << "precious";
  EXPECT_FALSE(ExplainServer::open(socket_, {}));
  EXPECT_TRUE(std::filesystem::exists(socket_));
  EXPECT_FALSE(ExplainServer::open("/" + std::string(200, 'x'), {}));
}

TEST_F(ExplainServerTest, StrangeRequestsGetAnErrorAndNobodyElseNoticesThem) {
  start();
  std::vector<Fd> idle;
  for (int i = 0; i < 30; ++i) {
    auto fd = connect_to(socket_, seconds(30));
    if (fd) idle.push_back(std::move(*fd));
  }
  const auto say = [&](const std::string& text) {
    const auto fd = connect_to(socket_, seconds(30));
    EXPECT_TRUE(fd);
    (void)!::send(fd->get(), text.data(), text.size(), MSG_NOSIGNAL);
    std::string answer(4096, '\0');
    const ssize_t got = ::recv(fd->get(), answer.data(), answer.size(), 0);
    answer.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return answer;
  };
  EXPECT_THAT(say("what?\n"), HasSubstr("the request is no JSON object"));
  EXPECT_THAT(say(std::string(5000, '{')), HasSubstr("the request is too long"));
  EXPECT_EQ(ask({.pod = "demo/web"}), kExplainFound);
}

}  // namespace
}  // namespace plimsoll::agent::explain_test
