// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace plimsoll::file_test {
namespace {

// A file of its own, removed at the end.
class File : public testing::Test {
 public:
  File() : fd(::mkostemp(path.data(), O_CLOEXEC)) {}
  ~File() override { ::unlink(path.c_str()); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

 protected:
  void fill(std::string_view text) {
    ASSERT_EQ(::ftruncate(fd.get(), 0), 0);
    ASSERT_EQ(::pwrite(fd.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  std::string path = (std::filesystem::temp_directory_path() / "plimsoll-file-XXXXXX").string();
  Fd fd;
};

TEST_F(File, ReadsAllOfEverySize) {
  for (const std::size_t size : {0UL, 1UL, 4095UL, 4096UL, 4097UL, 100000UL}) {
    std::string text(size, 'a');
    if (size > 0) text.back() = '\0';
    fill(text);
    EXPECT_EQ(read_all(fd, "f"), text) << size;
    EXPECT_EQ(read_file(path), text) << size;
  }
}

// "plimsoll config check /dev/stdin"
TEST(Pipe, IsReadToItsEnd) {
  int ends[2]{};
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const Fd out(ends[0]);
  Fd in(ends[1]);
  const std::string text(10'000, 'a');
  ASSERT_EQ(::write(in.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  in = Fd();
  EXPECT_EQ(read_file("/dev/fd/" + std::to_string(out.get())), text);
}

TEST_F(File, ReadsFromTheStartWhateverThePosition) {
  fill("hello");
  ASSERT_EQ(::lseek(fd.get(), 3, SEEK_SET), 3);
  EXPECT_EQ(read_all(fd, "f"), "hello");
  EXPECT_EQ(read_all(fd, "f"), "hello");
}

TEST_F(File, TheLongestIsReadAndALongerOneRefused) {
  fill(std::string(kLargestFile, 'x'));
  const auto longest = read_file(path);
  ASSERT_TRUE(longest) << longest.error().message;
  EXPECT_EQ(longest->size(), kLargestFile);
  fill(std::string(kLargestFile + 1, 'x'));
  const auto longer = read_file(path);
  ASSERT_FALSE(longer);
  EXPECT_EQ(longer.error().code, Code::kMalformed);
}

TEST_F(File, AnEndlessFileIsRefused) {
  const auto endless = read_file("/dev/zero");
  ASSERT_FALSE(endless);
  EXPECT_EQ(endless.error().code, Code::kMalformed);
}

TEST_F(File, ErrorsNameTheFile) {
  const auto none = read_file(path + ".none");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Code::kGone);
  EXPECT_NE(none.error().message.find(path + ".none"), std::string::npos);
  const auto directory = read_file("/proc");
  ASSERT_FALSE(directory);
  const Fd closed;
  EXPECT_FALSE(read_all(closed, "f"));
  EXPECT_FALSE(write_all(closed, "x", "f"));
}

TEST_F(File, WritesAtTheStart) {
  fill("0123456789");
  ASSERT_EQ(::lseek(fd.get(), 5, SEEK_SET), 5);
  ASSERT_TRUE(write_all(fd, "ab", "f"));
  EXPECT_EQ(read_file(path), "ab23456789");
}

TEST_F(File, AFullDeviceIsTold) {
  const Fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full);
  const auto written = write_all(full, "x", "f");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Code::kUnavailable);
}

}  // namespace
}  // namespace plimsoll::file_test
