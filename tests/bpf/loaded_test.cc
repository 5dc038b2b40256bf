// SPDX-License-Identifier: Apache-2.0
#include "bpf/loaded.h"

#include <gtest/gtest.h>

#include <string>

namespace plimsoll::bpf::loaded_test {
namespace {

// A limit would be read as a fourth or a sixteenth of what it is.
TEST(Loaded, PagesOfAnotherSizeAreRefused) {
  EXPECT_TRUE(check_page_size(4096));
  for (const std::size_t size : {std::size_t{16384}, std::size_t{65536}}) {
    const auto refused = check_page_size(size);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kUnsupported);
    EXPECT_NE(refused.error().message.find(std::to_string(size / 1024) + " KiB"),
              std::string::npos);
  }
}

}  // namespace
}  // namespace plimsoll::bpf::loaded_test
