// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/parent.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace plimsoll::test {

sigset_t block_ending_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

void end_with_parent() {
  const pid_t parent = ::getppid();
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  // It may have ended just before.
  if (::getppid() != parent) ::raise(SIGTERM);
}

}  // namespace plimsoll::test
