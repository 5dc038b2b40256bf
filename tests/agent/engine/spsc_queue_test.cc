// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/spsc_queue.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <thread>

namespace plimsoll::agent {
namespace {

struct Item {
  std::uint64_t number = 0;
  std::uint64_t square = 0;
};

TEST(SpscQueue, IsEmptyAtFirst) {
  SpscQueue<Item, 4> queue;
  EXPECT_FALSE(queue.pop());
}

TEST(SpscQueue, GivesBackInOrder) {
  SpscQueue<Item, 4> queue;
  for (std::uint64_t i = 0; i < 3; ++i) ASSERT_TRUE(queue.push({i, i * i}));
  for (std::uint64_t i = 0; i < 3; ++i) {
    const auto item = queue.pop();
    ASSERT_TRUE(item);
    EXPECT_EQ(item->number, i);
    EXPECT_EQ(item->square, i * i);
  }
  EXPECT_FALSE(queue.pop());
}

TEST(SpscQueue, RefusesWhenFullAndTakesAgainAfterOneIsGone) {
  SpscQueue<Item, 4> queue;
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(queue.push({i, 0}));
  EXPECT_FALSE(queue.push({4, 0}));
  EXPECT_EQ(queue.pop()->number, 0u);
  EXPECT_TRUE(queue.push({5, 0}));
  EXPECT_FALSE(queue.push({6, 0}));
  // What was refused is not in it.
  for (const std::uint64_t expected : {1u, 2u, 3u, 5u}) EXPECT_EQ(queue.pop()->number, expected);
  EXPECT_FALSE(queue.pop());
}

TEST(SpscQueue, GoesRoundManyTimes) {
  SpscQueue<std::uint64_t, 2> queue;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    ASSERT_TRUE(queue.push(i));
    ASSERT_EQ(queue.pop(), i);
  }
}

// One thread in, one out: nothing is lost, doubled, reordered or torn.
TEST(SpscQueue, CarriesBetweenTwoThreads) {
  constexpr std::uint64_t kItems = 200'000;
  SpscQueue<Item, 64> queue;
  std::thread producer([&] {
    for (std::uint64_t i = 0; i < kItems;) {
      if (queue.push({i, i * i})) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
  });
  for (std::uint64_t i = 0; i < kItems;) {
    const auto item = queue.pop();
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
  EXPECT_FALSE(queue.pop());
}

}  // namespace
}  // namespace plimsoll::agent
