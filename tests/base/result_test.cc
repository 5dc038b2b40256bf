// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace plimsoll::result_test {
namespace {

TEST(Result, ErrnoSaysWhatToDo) {
  const auto code = [](int error) { return errno_error(error, "x").value().code; };
  for (const int error : {ENOENT, ENODEV, ESRCH}) EXPECT_EQ(code(error), Code::kGone) << error;
  for (const int error : {ENOSYS, EOPNOTSUPP, ENOTTY}) {
    EXPECT_EQ(code(error), Code::kUnsupported) << error;
  }
  for (const int error : {EACCES, EPERM, EROFS, EXDEV, ELOOP}) {
    EXPECT_EQ(code(error), Code::kDenied) << error;
  }
  for (const int error : {EEXIST, EBUSY, ENOTEMPTY, ESTALE}) {
    EXPECT_EQ(code(error), Code::kConflict) << error;
  }
  for (const int error : {EINVAL, ERANGE, ENAMETOOLONG, EOVERFLOW}) {
    EXPECT_EQ(code(error), Code::kMalformed) << error;
  }
  // What nobody thought of may work later.
  for (const int error : {EAGAIN, EMFILE, ENOMEM, EIO, ENOSPC, 0, 12345}) {
    EXPECT_EQ(code(error), Code::kUnavailable) << error;
  }
}

TEST(Result, TheMessageNamesTheCallAndTheReason) {
  const Error error = errno_error(ENOENT, "open /a/b").value();
  EXPECT_EQ(error.message, "open /a/b: No such file or directory");
}

TEST(Result, AnErrorConvertsToAnyResult) {
  const Result<int> number = fail(Code::kDenied, "no");
  const Result<void> nothing = fail(Code::kDenied, "no");
  EXPECT_EQ(number.error(), (Error{Code::kDenied, "no"}));
  EXPECT_EQ(nothing.error(), number.error());
}

TEST(Result, EveryCodeHasANameOfItsOwn) {
  std::string names;
  for (const Code code : {Code::kGone, Code::kUnsupported, Code::kDenied, Code::kConflict,
                          Code::kUnavailable, Code::kMalformed}) {
    const std::string name = std::string(to_string(code)) + " ";
    EXPECT_EQ(names.find(name), std::string::npos) << name;
    EXPECT_NE(name, "unknown ");
    names += name;
  }
}

}  // namespace
}  // namespace plimsoll::result_test
