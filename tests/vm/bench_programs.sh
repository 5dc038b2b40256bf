#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The benchmarks that boot guests of their own come to an end: one that nobody starts is found broken
# on the day that its figure is needed.
# shellcheck source=lib/checks
. /bin/checks

# ends PROGRAM ARGUMENT...
ends() {
  if "$@" >/tmp/bench.out 2>&1; then pass "$1"; else fail "$1" 0 "$? $(tail -n 3 /tmp/bench.out)"; fi
}
ends bench-reaction --events 50
ends bench-overhead --rounds 1 --blocks 1 --pages 16 --turns 1 --forks 1
ends bench-footprint --cgroups 1 --idle 1 --storm 1
checks_end
