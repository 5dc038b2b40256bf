#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Where growing would be wrong, and that growth ends: ceiling, budget, leak, and the shrink after a
# burst. What streams through a disk's page cache is in scripts/storms, whose guest has a disk.
# shellcheck source=lib/checks
. /bin/checks

report=/tmp/report
result=/tmp/result

# config LINE...: one line each, into /tmp/config.yaml
config() { printf '%s\n' "$@" >/tmp/config.yaml; }

# The ceiling: fed up to it, never over it, then killed as without.
# shellcheck disable=SC2016 # for the inner shell
watch_limit='g=/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)
  while [ ! -e /tmp/over ]; do cat $g/memory.max; usleep 5000; done >/tmp/limits & watcher=$!
  storm-load populate --bytes 512Mi; status=$?; cat $g/memory.max >>/tmp/limits
  touch /tmp/over; wait $watcher; exit $status'
plimsoll run --memory 64Mi --memory-ceiling 160Mi --report $report -- sh -c "$watch_limit" \
  >/dev/null 2>/tmp/err
is "ceiling: killed" 137 $?
at_least "ceiling: fed first" 1 "$(value grants_total $report)"
is "ceiling: reached" 167772160 "$(sort -n /tmp/limits | tail -n 1)"
is "ceiling: in the report" 167772160 "$(value final_limit_bytes $report)"
says "ceiling: the reason is said" 'more than the ceiling of' /tmp/err

# Ceiling at the start: nothing is granted and nobody is held.
plimsoll run --memory 64Mi --memory-ceiling 64Mi --quiet --report $report -- \
  storm-load touch --bytes 192Mi >/dev/null 2>&1
is "ceiling at the limit: killed" 137 $?
is "ceiling at the limit: grants" 0 "$(value grants_total $report)"
is "ceiling at the limit: holds" 0 "$(value held $report)"

# The node's budget: nothing to give, and less to give than is needed.
config 'budget: {limit: 0}'
plimsoll run --config /tmp/config.yaml --memory 64Mi --memory-ceiling 1Gi --report $report -- \
  storm-load touch --bytes 192Mi >/dev/null 2>/tmp/err
is "no budget: killed" 137 $?
is "no budget: grants" 0 "$(value grants_total $report)"
is "no budget: holds" 0 "$(value held $report)"
at_least "no budget: is the denial" 1 "$(value budget $report)"
says "no budget: the reason is said" 'nothing left to give' /tmp/err
config 'budget: {limit: 40Mi}'
plimsoll run --config /tmp/config.yaml --memory 64Mi --memory-ceiling 1Gi --quiet \
  --report $report -- storm-load touch --bytes 256Mi >/dev/null 2>&1
is "little budget: killed" 137 $?
is "little budget: all of it is given" 109051904 "$(value final_limit_bytes $report)"
config 'budget: {reserve: 100Gi}'
plimsoll run --config /tmp/config.yaml --memory 64Mi --memory-ceiling 1Gi --quiet \
  --report $report -- storm-load touch --bytes 192Mi >/dev/null 2>&1
is "the reserve is more than the node has: killed" 137 $?
is "the reserve is more than the node has: grants" 0 "$(value grants_total $report)"

# A leak: climbs through several grants without a plateau.
config 'memory: {step: 16Mi, step_ratio: 0, look_ahead: 100ms, leak: {grants: 3, window: 1s}}' \
  'tick: 100ms'
plimsoll run --config /tmp/config.yaml --memory 64Mi --memory-ceiling 1Gi --report $report -- \
  storm-load leak --bytes 768Mi --rate 32Mi >/dev/null 2>/tmp/err
is "leak: killed" 137 $?
at_least "leak: fed at first" 1 "$(value grants_total $report)"
at_least "leak: is the denial" 1 "$(value leak $report)"
at_most "leak: far from the ceiling" 805306368 "$(value final_limit_bytes $report)"
says "leak: the reason is said" 'which is a leak' /tmp/err

# A burst, then 100 MiB that stay, then nothing, then a second burst. The limit follows down each
# time, and nothing of that kills.
# shellcheck disable=SC2016 # for the inner shell
phases='step() { touch /tmp/$1-begun; until [ -e /tmp/$1-end ]; do usleep 100000; done; }
  storm-load touch --bytes 256Mi --result /dev/null || exit 50
  cat /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/memory.max >/tmp/high
  dd if=/dev/zero of=/dev/shm/kept bs=1M count=100 2>/dev/null; step kept
  rm /dev/shm/kept; step idle
  storm-load populate --bytes 256Mi --result /dev/null || exit 51'
config 'tick: 250ms'
plimsoll run --config /tmp/config.yaml --name shrink --memory 64Mi --memory-ceiling 768Mi \
  --shrink-after 2s --quiet --report $report -- sh -c "$phases" 2>/tmp/err &
pid=$!
group=
find_group() { group=$(ls -d $top/plimsoll-run-*-shrink 2>/dev/null); [ -n "$group" ]; }
until_true 120 find_group
limit_now() { cat "$group/memory.max"; }
# Not below the need, and at most a tenth above it.
need=$((104857600 + 1048576))
fits() { [ "$(limit_now)" -le $((need * 11 / 10)) ]; }
at_floor() { [ "$(limit_now)" = 67108864 ]; }
until_true 120 test -e /tmp/kept-begun
at_least "burst: the limit is high after it" 268435456 "$(cat /tmp/high)"
# The time that is configured, and some ticks; a guest under emulation may be slow to tick.
until_true 120 fits
is "shrink: to the need and a tenth" 0 $?
at_least "shrink: not below the need" 104857600 "$(limit_now)"
touch /tmp/kept-end
until_true 120 test -e /tmp/idle-begun
until_true 120 at_floor
is "shrink: to the floor" 0 $?
usleep 700000
is "shrink: not below the floor" 67108864 "$(limit_now)"
is "shrink: killed nobody" 0 "$(sed -n 's/^oom_kill //p' "$group/memory.events")"
touch /tmp/idle-end
wait $pid
is "second burst after the shrink: lives" 0 $?
is "second burst: no kill" 0 "$(value oom_kills $report)"
at_least "shrinks are in the report" 2 "$(value shrinks_total $report)"

# A second burst at the very moment of the shrink.
plimsoll run --config /tmp/config.yaml --memory 64Mi --memory-ceiling 768Mi --shrink-after 1s \
  --quiet --report $report -- storm-load burst2 --bytes 192Mi --deadline 20 --result $result
is "burst right after a shrink: lives" 0 $?
is "burst right after a shrink: there was one" true "$(value shrink_seen $result)"
is "burst right after a shrink: no error" 0 "$(value errors $result)"
checks_end
