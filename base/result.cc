// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <cerrno>
#include <system_error>
#include <utility>

namespace plimsoll {
namespace {

Code code_of(int error) {
  switch (error) {
    case ENOENT:
    case ENODEV:  // a kernfs file whose cgroup was removed while it was open
    case ESRCH:
      return Code::kGone;
    case ENOSYS:
    case EOPNOTSUPP:
    case ENOTTY:
      return Code::kUnsupported;
    case EACCES:
    case EPERM:
    case EROFS:
    case EXDEV:  // openat2: the path leaves its root
    case ELOOP:  // openat2: the path has a link in it
      return Code::kDenied;
    case EEXIST:
    case EBUSY:
    case ENOTEMPTY:
    case ESTALE:
      return Code::kConflict;
    case EINVAL:
    case ERANGE:
    case ENAMETOOLONG:
    case EOVERFLOW:
      return Code::kMalformed;
    default:
      return Code::kUnavailable;
  }
}

}  // namespace

std::string_view to_string(Code code) {
  switch (code) {
    case Code::kGone:
      return "gone";
    case Code::kUnsupported:
      return "unsupported";
    case Code::kDenied:
      return "denied";
    case Code::kConflict:
      return "conflict";
    case Code::kUnavailable:
      return "unavailable";
    case Code::kMalformed:
      return "malformed";
  }
  return "unknown";
}

tl::unexpected<Error> fail(Code code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

tl::unexpected<Error> errno_error(int error, std::string_view what) {
  return fail(code_of(error),
              std::string(what) + ": " + std::error_code(error, std::generic_category()).message());
}

}  // namespace plimsoll
