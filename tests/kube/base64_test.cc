// SPDX-License-Identifier: Apache-2.0
#include "kube/base64.h"

#include <gtest/gtest.h>

#include <string>

namespace plimsoll::kube::base64_test {
namespace {

TEST(Base64, TheStandardsExamples) {
  EXPECT_EQ(decode_base64(""), "");
  EXPECT_EQ(decode_base64("Zg=="), "f");
  EXPECT_EQ(decode_base64("Zm8="), "fo");
  EXPECT_EQ(decode_base64("Zm9v"), "foo");
  EXPECT_EQ(decode_base64("Zm9vYg=="), "foob");
  EXPECT_EQ(decode_base64("Zm9vYmE="), "fooba");
  EXPECT_EQ(decode_base64("Zm9vYmFy"), "foobar");
}

TEST(Base64, EveryByte) {
  EXPECT_EQ(decode_base64("AP/+gA=="), std::string("\x00\xff\xfe\x80", 4));
}

TEST(Base64, LineBreaksAreSkipped) { EXPECT_EQ(decode_base64("Zm9v\r\n Ym\tFy\n"), "foobar"); }

TEST(Base64, WhatIsNoneIsAbsent) {
  for (const char* text : {"Z", "Zg", "Zg=", "Zg===", "Z===", "====", "Zg==Zg==", "Zm9-", "Zm9_",
                           "=Zm9", "Zm=v", "Zm9v=", "Zm9v===="}) {
    EXPECT_FALSE(decode_base64(text)) << text;
  }
}

}  // namespace
}  // namespace plimsoll::kube::base64_test
