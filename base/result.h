// SPDX-License-Identifier: Apache-2.0
//
// Result<T>: the value of a call that the world can refuse, or an Error whose code says what the
// caller does next. Every folder uses it; errno becomes a code in errno_error() and nowhere else.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace plimsoll {

// What the caller does about it, not where it came from.
enum class Code {
  kGone,         // the thing does not exist any more: forget it
  kUnsupported,  // this kernel, node or API cannot do it: use the fallback
  kDenied,       // somebody decided against it: report, do not retry
  kConflict,     // the thing changed meanwhile: read again and decide again
  kUnavailable,  // may work later: retry with backoff
  kMalformed,    // what was read makes no sense: report and skip the sample
};

std::string_view to_string(Code code);

struct Error {
  Code code = Code::kUnavailable;
  std::string message;  // one sentence: what was tried, on what, why it failed

  bool operator==(const Error&) const = default;
};

template <typename T>
using Result = tl::expected<T, Error>;

// The error as a value that converts to any Result<T>.
[[nodiscard]] tl::unexpected<Error> fail(Code code, std::string message);

// The one place where errno becomes a code. `what` names the call and its object.
[[nodiscard]] tl::unexpected<Error> errno_error(int error, std::string_view what);

}  // namespace plimsoll
