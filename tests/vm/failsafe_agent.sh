#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Plimsoll is stopped or killed in the middle of a storm: within a second the kernel behaves as
# without it, the command goes on, and nothing is left behind.
# shellcheck source=lib/checks
. /bin/checks

result=/tmp/result
config=/tmp/config.yaml
# Small grants, so that there is always another one to come.
printf 'memory: {step: 16Mi, step_ratio: 0, look_ahead: 100ms}\n' >$config

group_named() { ls -d $top/plimsoll-run-*-"$1" 2>/dev/null; }
# shellcheck disable=SC2016 # for the inner shell
storm='until [ -e /tmp/calm ]; do storm-load forks --bytes 192Mi; storm-load populate --bytes 160Mi
  done >/dev/null 2>&1; touch /tmp/calmed; until [ -e /tmp/end ]; do usleep 100000; done'

# begin NAME: a storm under Plimsoll, grown at least once. Sets `agent` and `group`.
begin() {
  rm -f /tmp/calm /tmp/calmed /tmp/end
  plimsoll run --name "$1" --config $config --memory 64Mi --memory-ceiling 640Mi \
    --report "/tmp/report-$1" --quiet -- sh -c "$storm" &
  agent=$!
  is_grown() {
    group=$(group_named "$1")
    [ -n "$group" ] && [ "$(cat "$group/memory.max")" -gt 67108864 ]
  }
  until_true 120 is_grown "$1"
  is "$1: the storm is on" 0 $?
}
# stall_ms GROUP: milliseconds from the last progress of a load to its death in that cgroup.
stall_ms() {
  rm -f $result
  sh -c 'echo 0 >"$1/cgroup.procs" && exec storm-load touch --bytes 1Gi --supervise --result "$2"' \
    stall_ms "$1" $result
  value stall_ms $result
}
lives_in() {
  sh -c 'echo 0 >"$1/cgroup.procs" && exec storm-load touch --bytes 512Mi --result /dev/null' \
    lives_in "$1"
}
tracing() {
  grep -cE '^(page_counter_try_charge|mem_cgroup_out_of_memory|try_to_free_mem_cgroup_pages) ' \
    /sys/kernel/tracing/enabled_functions
}
no_tracing() { [ "$(tracing)" = 0 ]; }

# How long a kill takes at the same limit without Plimsoll.
is "before: nothing is attached" 0 "$(tracing)"
baseline() {
  mkdir -p $top/baseline
  echo "$1" >$top/baseline/memory.max
  baseline_ms=$(stall_ms $top/baseline)
  until_true 120 rmdir $top/baseline
}

# SIGSTOP.
begin stop
at_least "stop: attached" 3 "$(tracing)"
kill -STOP $agent
touch /tmp/calm
stopped_ms=$(stall_ms "$group")
limit=$(cat "$group/memory.max")
# Beyond the second after which the heartbeat is old.
usleep 1200000
later_ms=$(stall_ms "$group")
baseline "$limit"
echo "# from last progress to death at $limit: $baseline_ms ms without," \
  "$stopped_ms ms right after, $later_ms ms later"
at_most "stop: a load right after is killed in time" $((baseline_ms + 3000)) "$stopped_ms"
at_most "stop: later it is as without" $((baseline_ms + 900)) "$later_ms"
is "stop: the limit stays" "$limit" "$(cat "$group/memory.max")"
until_true 120 test -e /tmp/calmed
is "stop: the command lives on" 0 $?
kill -CONT $agent
# It is armed again at the first beat and tick.
until_true 120 lives_in "$group"
is "continue: a load lives again" 0 $?
touch /tmp/end
wait $agent
is "continue: the command's status" 0 $?
at_least "stop: a hold was refused" 1 "$(value refused_heartbeat /tmp/report-stop)"
is "stop: nothing is attached" 0 "$(tracing)"
is "stop: no cgroup" 0 "$(run_groups)"

# SIGKILL.
begin kill
kill -KILL $agent
touch /tmp/calm
killed_ms=$(stall_ms "$group")
wait $agent
until_true 120 no_tracing
is "kill: nothing is attached" 0 $?
limit=$(cat "$group/memory.max")
baseline "$limit"
echo "# from last progress to death at $limit: $baseline_ms ms without," \
  "$killed_ms ms with a dead agent"
at_most "kill: a load is killed in time" $((baseline_ms + 3000)) "$killed_ms"
until_true 120 test -e /tmp/calmed
is "kill: the command lives on" 0 $?

# The next run leaves it alone while it lives, and removes the cgroup when it does not.
plimsoll run --quiet -- true
is "next run: status" 0 $?
is "next run: the dead run's cgroup has its command still" 1 "$(run_groups)"
touch /tmp/end
# shellcheck disable=SC2317 # called by until_true
is_empty() { grep -q '^populated 0' "$group/cgroup.events"; }
until_true 120 is_empty
plimsoll run --quiet -- true
is "next run: the dead run's cgroup is gone" 0 "$(run_groups)"
is "after: nothing is attached" 0 "$(tracing)"
checks_end
