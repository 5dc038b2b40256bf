// SPDX-License-Identifier: Apache-2.0
#include "base/mailbox.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>

namespace plimsoll::mailbox_test {
namespace {

bool readable(int fd) {
  pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&wait, 1, 0) == 1;
}

class MailboxTest : public ::testing::Test {
 protected:
  Wakeup reports_ = *Wakeup::make();
  Mailbox<int, int, 4, 2> mailbox_{*Wakeup::make(), reports_};
};

TEST_F(MailboxTest, ACommandWakesAndIsObeyedOnce) {
  EXPECT_TRUE(mailbox_.idle());
  EXPECT_FALSE(readable(mailbox_.fd()));
  ASSERT_TRUE(mailbox_.send(7));
  EXPECT_TRUE(readable(mailbox_.fd()));
  EXPECT_FALSE(mailbox_.idle());
  mailbox_.clear();
  EXPECT_FALSE(readable(mailbox_.fd()));
  int got = 0;
  EXPECT_TRUE(mailbox_.take([&](int command) {
    got = command;
    EXPECT_FALSE(mailbox_.idle()) << "it is not obeyed yet";
  }));
  EXPECT_EQ(got, 7);
  EXPECT_TRUE(mailbox_.idle());
  EXPECT_FALSE(mailbox_.take([](int) { FAIL(); }));
}

TEST_F(MailboxTest, AFullMailboxRefusesCommands) {
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(mailbox_.send(i));
  EXPECT_FALSE(mailbox_.send(4));
  while (mailbox_.take([](int) {})) {
  }
  EXPECT_TRUE(mailbox_.idle()) << "what was refused is not waited for";
}

TEST_F(MailboxTest, ReportsWithoutRoomAreCounted) {
  EXPECT_FALSE(mailbox_.receive());
  for (int i = 0; i < 5; ++i) mailbox_.report(i);
  EXPECT_TRUE(readable(reports_.fd()));
  EXPECT_EQ(mailbox_.reports_lost(), 3u);
  EXPECT_EQ(mailbox_.receive(), 0);
  EXPECT_EQ(mailbox_.receive(), 1);
  EXPECT_FALSE(mailbox_.receive());
}

struct Item {
  std::uint64_t number = 0;
  std::uint64_t square = 0;
};

// As the product has them. On the stack g++ 12 misplaces what is aligned to more than 32 bytes when
// the address sanitizer looks for uses after return (its PR 110027).
template <typename T, std::size_t kCapacity>
std::unique_ptr<SpscQueue<T, kCapacity>> on_the_heap() {
  return std::make_unique<SpscQueue<T, kCapacity>>();
}

TEST(SpscQueue, IsEmptyAtFirst) {
  auto queue = on_the_heap<Item, 4>();
  EXPECT_FALSE(queue->pop());
}

TEST(SpscQueue, GivesBackInOrder) {
  auto queue = on_the_heap<Item, 4>();
  for (std::uint64_t i = 0; i < 3; ++i) ASSERT_TRUE(queue->push({i, i * i}));
  for (std::uint64_t i = 0; i < 3; ++i) {
    const auto item = queue->pop();
    ASSERT_TRUE(item);
    EXPECT_EQ(item->number, i);
    EXPECT_EQ(item->square, i * i);
  }
  EXPECT_FALSE(queue->pop());
}

TEST(SpscQueue, RefusesWhenFullAndTakesAgainAfterOneIsGone) {
  auto queue = on_the_heap<Item, 4>();
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(queue->push({i, 0}));
  EXPECT_FALSE(queue->push({4, 0}));
  EXPECT_EQ(queue->pop()->number, 0u);
  EXPECT_TRUE(queue->push({5, 0}));
  EXPECT_FALSE(queue->push({6, 0}));
  // What was refused is not in it.
  for (const std::uint64_t expected : {1u, 2u, 3u, 5u}) EXPECT_EQ(queue->pop()->number, expected);
  EXPECT_FALSE(queue->pop());
}

TEST(SpscQueue, GoesRoundManyTimes) {
  auto queue = on_the_heap<std::uint64_t, 2>();
  for (std::uint64_t i = 0; i < 1000; ++i) {
    ASSERT_TRUE(queue->push(i));
    ASSERT_EQ(queue->pop(), i);
  }
}

// One thread in, one out: nothing is lost, doubled, reordered or torn.
TEST(SpscQueue, CarriesBetweenTwoThreads) {
  constexpr std::uint64_t kItems = 200'000;
  auto queue = on_the_heap<Item, 64>();
  std::thread producer([&] {
    for (std::uint64_t i = 0; i < kItems;) {
      if (queue->push({i, i * i})) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
  });
  for (std::uint64_t i = 0; i < kItems;) {
    const auto item = queue->pop();
    if (!item) {
      std::this_thread::yield();
      continue;
    }
    if (item->number != i || item->square != i * i) {
      ADD_FAILURE() << "at " << i << " came " << item->number << ", " << item->square;
      break;
    }
    ++i;
  }
  producer.join();
  EXPECT_FALSE(queue->pop());
}

}  // namespace
}  // namespace plimsoll::mailbox_test
