#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# `plimsoll run --announce`: the limit is there before the command needs it, and given back after
# the last one has ended, however it ends; sizes are learned where none is given.
# shellcheck source=lib/checks
. /bin/checks

export TMPDIR=/tmp
report=/tmp/report
mkdir -p /tmp/bin
# It comes to its need a second after it began. A link, so that its name is that of the command.
cat >/tmp/bin/make <<'EOF'
#!/bin/sh
sleep 1
storm-load touch --bytes "$1" --result /dev/null
EOF
chmod +x /tmp/bin/make
limit_file='/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)/memory.max'
# For the command's shell: goes on when the limit is given back, or after twenty seconds.
until_back="f=$limit_file; n=0; until read -r now <\$f && [ \$now -le 80000000 ] || [ \$n = 40 ]
  do sleep 0.5; n=\$((n + 1)); done"

# reasons REPORT: the grants' reasons, one in a line
reasons() { tr ',{' '\n\n' <"$1" | sed -n 's/^"reason":"\(.*\)"$/\1/p'; }
announced() { reasons $report | grep -c '^announced$'; }

run() { plimsoll run --memory 64Mi --memory-ceiling 1Gi --quiet --report $report "$@" 2>/tmp/err; }

# So much that growing towards what it needs does not look like growing beyond what it has.
run --announce make=512Mi -- /tmp/bin/make 192Mi
is "the command itself: status" 0 $?
is "the command itself: one grant, announced" announced "$(reasons $report | head -n 1)"
is "the command itself: nothing else was needed" 1 "$(value grants_total $report)"
is "the command itself: nothing held" 0 "$(value held $report)"
at_least "the command itself: grew" 180000000 "$(value grown_bytes $report)"

run --announce make=256Mi -- sh -c "/tmp/bin/make 192Mi; cat $limit_file >/tmp/kept; $until_back
  cat $limit_file >/tmp/back"
is "through a shell: status" 0 $?
is "through a shell: announced" 1 "$(announced)"
at_least "through a shell: kept to the end" 256000000 "$(cat /tmp/kept)"
at_most "through a shell: given back" 80000000 "$(cat /tmp/back)"

run --announce make=256Mi -- sh -c "/tmp/bin/make 192Mi & sleep 0.5; cat $limit_file >/tmp/kept
  kill -9 \$!; $until_back; cat $limit_file >/tmp/back"
at_least "killed: granted before it was needed" 256000000 "$(cat /tmp/kept)"
at_most "killed: given back" 80000000 "$(cat /tmp/back)"

# Of the first one nothing is known but that it will grow.
run --announce make -- sh -c "/tmp/bin/make 192Mi; $until_back; /tmp/bin/make 192Mi"
is "learned: status" 0 $?
is "learned: announced twice" 2 "$(announced)"
is "learned: begun twice" 2 "$(value begun_total $report)"
at_least "learned: the second was provided for" 180000000 "$(value provided_bytes $report)"

run --announce other=256Mi -- /tmp/bin/make 192Mi
is "not announced: status" 0 $?
is "not announced: no such grant" 0 "$(announced)"
is "not announced: did not begin" 0 "$(value begun_total $report)"

run --announce /bin/make -- true
is "a bad list: status" 125 $?
says "a bad list: in words" 'the last part of a path' /tmp/err
plimsoll run --announce make=1Gi --dry-run -- true >/tmp/out
says "dry run says it" 'announced make 1' /tmp/out
plimsoll run --memory 64Mi --announce make=128Mi -- /tmp/bin/make 1Mi 2>/tmp/err
says "summary says it" 'announced make: begun 1' /tmp/err
is "all cgroups are gone" 0 "$(run_groups)"
checks_end
