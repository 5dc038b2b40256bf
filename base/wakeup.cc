// SPDX-License-Identifier: Apache-2.0
#include "base/wakeup.h"

#include <sys/eventfd.h>

#include <cerrno>

namespace plimsoll {

Result<Wakeup> Wakeup::make() {
  Fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) return errno_error(errno, "make an eventfd");
  return Wakeup(std::move(fd));
}

// Fails only when it is readable already.
void Wakeup::ring() const noexcept { ::eventfd_write(fd_.get(), 1); }

void Wakeup::clear() const noexcept {
  eventfd_t rings = 0;
  ::eventfd_read(fd_.get(), &rings);
}

}  // namespace plimsoll
