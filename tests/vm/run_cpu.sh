#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `plimsoll run --cpu`: a step of load is hardly throttled and the limit is back afterwards, ceilings
# hold, memory grows beside it, and it works without BPF. Compared with the same work under a limit
# that stays.
# shellcheck source=lib/checks
. /bin/checks

report=/tmp/report
# So much work that a fifth of a CPU is throttled by it in many periods, on any guest.
work='i=0; while [ $i -lt 60000 ]; do i=$((i + 1)); done'
# Next to nothing, until the limit is where it began: no other program but sleep, and that rarely.
# shellcheck disable=SC2016 # for the command's shell
rest='IFS=: read -r _ _ path </proc/self/cgroup; n=0
until IFS=" " read -r quota _ <"/sys/fs/cgroup$path/cpu.max" && [ "$quota" = 20000 ] || [ $n = 15 ]
do sleep 4; n=$((n + 1)); done'

# The same work under a limit that stays.
mkdir $top/static
echo '20000 100000' >$top/static/cpu.max
sh -c "echo 0 >$top/static/cgroup.procs; $work"
stat_of() { sed -n "s/^$1 //p" "$top/static/cpu.stat"; }
static_throttled=$(stat_of nr_throttled)
at_least "static: it is throttled" 20 "$static_throttled"
until_true 120 rmdir $top/static

# A step of one thread. Then nothing, so that the limit is taken back.
plimsoll run --cpu 200m --report $report -- sh -c "$work; $rest" 2>/tmp/err
is "step: lives" 0 $?
cat /tmp/err
throttled=$(value throttled_periods $report)
echo "throttled periods: $throttled, static $static_throttled"
at_most "step: throttled in a tenth of the periods" $((static_throttled / 10)) \
  "$(sed -n 's/.*"throttled_periods":\([0-9]*\),"throttled_seconds.*/\1/p' $report)"
at_least "step: raised" 1 "$(value raises_total $report)"
at_least "step: given back" 1 "$(value lowerings_total $report)"
is "step: to where it began" 200 "$(value final_limit_millicpu $report)"
says "step: the summary says so" 'cpu  *200m, at most' /tmp/err
says "step: and how fast" 'throttle to written limit' /tmp/err

# The ceiling holds, whatever is asked for.
plimsoll run --cpu 200m --cpu-ceiling 450m --quiet --report $report -- \
  sh -c "($work) & ($work); wait" 2>/tmp/err
is "ceiling: lives" 0 $?
is "ceiling: is reached and not passed" 450 \
  "$(grep -o '"to_millicpu":[0-9]*' $report | cut -d: -f2 | sort -n | tail -n 1)"

# The node's CPUs are the budget: all but the reserve.
printf 'cpu: {reserve: 0.9}\n' >/tmp/config.yaml
plimsoll run --config /tmp/config.yaml --cpu 500m --quiet --report $report -- \
  sh -c "($work) & ($work); wait" 2>/tmp/err
is "no budget: lives" 0 $?
is "no budget: raises" 0 "$(value raises_total $report)"
at_least "no budget: is the denial" 1 "$(value budget $report)"

# Memory and CPU at the same time.
plimsoll run --memory 64Mi --memory-ceiling 1Gi --cpu 200m --quiet --report $report -- \
  storm-load touch --bytes 256Mi --result /dev/null 2>/tmp/err
is "both: lives" 0 $?
at_least "both: memory was raised" 1 "$(value grants_total $report)"
at_least "both: so was the CPU" 1 "$(value raises_total $report)"

# Without BPF, by cpu.stat.
plimsoll run --tier C --cpu 200m --quiet --report $report -- sh -c "$work; sleep 3" 2>/tmp/err
is "without BPF: lives" 0 $?
at_least "without BPF: raised" 1 "$(value raises_total $report)"
at_most "without BPF: throttled less than static" $((static_throttled / 2)) \
  "$(sed -n 's/.*"throttled_periods":\([0-9]*\),"throttled_seconds.*/\1/p' $report)"

plimsoll run --cpu-ceiling 1 -- true 2>/tmp/err
is "a ceiling without a limit is refused" 125 $?
plimsoll run --cpu 0 -- true 2>/tmp/err
is "no CPU is refused" 125 $?
is "nothing is left" 0 "$(run_groups)"
checks_end
