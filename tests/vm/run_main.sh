#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The main job: commands that outgrow their memory limit are killed without Plimsoll and live with
# it, whatever way they take to the memory; and `plimsoll run` is otherwise as if it was not there.
# shellcheck source=lib/checks
. /bin/checks

export TMPDIR=/tmp
report=/tmp/report
result=/tmp/result
limit=64M
need=192Mi

for program in touch populate mlock read tmpfs forks threads child; do
  plain $limit storm-load $program --bytes $need >/tmp/out 2>&1
  is "$program without: killed" 137 $?
  rm -f $report $result
  plimsoll run --memory 64Mi --memory-ceiling 768Mi --quiet --report $report -- \
    storm-load $program --bytes $need --result $result 2>/tmp/err
  is "$program with: lives" 0 $?
  is "$program with: sees no error" 0 "$(value errors $result)"
  is "$program with: loses no process" 0 "$(value killed_children $result)"
  is "$program with: no kill" 0 "$(value oom_kills $report)"
  at_least "$program with: grants" 1 "$(value grants_total $report)"
  is "$program with: --quiet" "" "$(cat /tmp/err)"
done
is "all cgroups are gone" 0 "$(run_groups)"

# Growth that the parent's limit stops: the command's own cgroup has none.
mkdir $top/slice
echo 64M >$top/slice/memory.max
plimsoll run --parent slice --memory max --quiet --report $report -- \
  storm-load touch --bytes $need >/tmp/out 2>&1
is "parent binds, not raised: killed" 137 $?
plimsoll run --parent slice --parent-ceiling 768Mi --memory max --quiet --report $report -- \
  storm-load touch --bytes $need --result $result 2>/tmp/err
is "parent binds, raised: lives" 0 $?
at_least "parent binds, raised: grants" 1 "$(value grants_total $report)"
is "parent: nothing below it is left" "" "$(ls -d $top/slice/*/ 2>/dev/null)"
rmdir $top/slice
is "parent: is gone" 0 $?

# Both bind: parent and container grow together.
mkdir $top/slice
echo 64M >$top/slice/memory.max
plimsoll run --parent slice --parent-ceiling 768Mi --memory 64Mi --memory-ceiling 512Mi --quiet \
  --report $report -- storm-load populate --bytes $need --result $result 2>/tmp/err
is "parent and child bind: lives" 0 $?
rmdir $top/slice

# What catches it. Slow enough, the prediction must be ahead of the limit.
plimsoll run --memory 64Mi --memory-ceiling 768Mi --quiet --report $report -- sh -c \
  'storm-load touch --bytes 96Mi --rate 64Mi --result /dev/null
   g=/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)
   sed -n "s/^max //p" $g/memory.events >/tmp/max'
is "slow growth: lives" 0 $?
is "slow growth: never meets its limit" 0 "$(cat /tmp/max)"
says "slow growth: predicted" '"layer":"predicted"' $report
is "slow growth: nothing held" 0 "$(value held $report)"

# Exit statuses.
run() { plimsoll run --quiet "$@" >/tmp/out 2>/tmp/err; }
run -- sh -c 'exit 42'
is "status: the command's own" 42 $?
run -- sh -c 'kill -9 $$'
is "status: 128 + 9" 137 $?
run -- sh -c 'kill -TERM $$'
is "status: 128 + 15" 143 $?
run -- /nowhere/command
is "status: no such command" 127 $?
says "status: no such command, in words" '^plimsoll: run /nowhere/command: ' /tmp/err
run -- no-such-command
is "status: no such command in PATH" 127 $?
run -- /etc
is "status: not executable" 126 $?
run --memory nonsense -- true
is "status: bad option" 125 $?
says "status: bad option, in words" nonsense /tmp/err
run --parent no/such/cgroup -- true
is "status: no such parent" 125 $?
is "no cgroup is left by failures" 0 "$(run_groups)"

# Configuration errors name file and line.
printf 'memory:\n  watermark: high\nhold:\n  dooor: 1s\ntick: 5\n' >/tmp/bad.yaml
run --config /tmp/bad.yaml -- true
is "bad configuration: status" 125 $?
says "bad configuration: wrong type" '^plimsoll: /tmp/bad.yaml:2: memory.watermark: ' /tmp/err
says "bad configuration: unknown key" \
  '^/tmp/bad.yaml:4: hold.dooor: unknown key; did you mean hold.door?' /tmp/err
says "bad configuration: no unit" '^/tmp/bad.yaml:5: tick: ' /tmp/err
run --config /tmp/none.yaml -- true
is "no configuration: status" 125 $?

# Standard streams, environment, arguments.
is "standard input and output" "words in" "$(echo words in | plimsoll run --quiet -- cat)"
# shellcheck disable=SC2016 # for the inner shell
is "arguments and environment" "a b|--json|x" \
  "$(X=x plimsoll run --quiet -- sh -c 'echo "$1|$2|$X"' sh 'a b' --json)"
plimsoll run --json -- sh -c 'echo out; echo err >&2' >/tmp/out 2>/tmp/err
is "standard output is the command's alone" out "$(cat /tmp/out)"
is "standard error begins with the command's" err "$(head -n 1 /tmp/err)"
is "--json is one line" 2 "$(wc -l </tmp/err)"
says "--json is an object" '^{.*"exit_code":0.*}$' /tmp/err
plimsoll run -- true 2>/tmp/err
says "the summary" '^plimsoll: true ended with status 0 after ' /tmp/err

# Signals. Plimsoll is in the foreground, since asynchronous commands of this shell ignore SIGINT.
# signal_when_ready SIGNAL
signal_when_ready() {
  rm -f /tmp/ready
  (until_true 120 test -e /tmp/ready && kill -"$1" "$(pidof plimsoll)") &
}
# shellcheck disable=SC2016 # for the inner shell
waiting='trap "exit 9" INT; trap "exit 7" TERM; touch /tmp/ready; while :; do usleep 100000; done'
signal_when_ready TERM
plimsoll run --quiet -- sh -c "$waiting"
is "SIGTERM reaches the command" 7 $?
signal_when_ready INT
plimsoll run --quiet -- sh -c "$waiting"
is "SIGINT reaches the command" 9 $?
signal_when_ready INT
plimsoll run --quiet -- sh -c 'touch /tmp/ready; exec sleep 60'
is "SIGINT ends the command" 130 $?

# What the command leaves running ends with it.
plimsoll run --quiet -- sh -c 'sleep 1000 & echo $! >/tmp/pid'
is "stragglers: status" 0 $?
kill -0 "$(cat /tmp/pid)" 2>/dev/null
is "stragglers: gone" 1 $?
is "stragglers: the cgroup is gone" 0 "$(run_groups)"

# Without BPF nothing is held; growth at a rate that leaves it time it must follow.
plimsoll run --tier C --memory 64Mi --memory-ceiling 768Mi --report $report -- \
  storm-load touch --bytes 128Mi --rate 32Mi --result $result 2>/tmp/err
is "tier C: slow growth lives" 0 $?
is "tier C: is used" C "$(value tier $report)"
is "tier C: nothing held" 0 "$(value held $report)"
at_least "tier C: grants" 1 "$(value grants_total $report)"
says "tier C: says that it promises less" "tier     C: .*not guaranteed" /tmp/err
is "all cgroups are gone at the end" 0 "$(run_groups)"
checks_end
