#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# In the guest: `make -j2` of $SOURCES (below /src), ROUNDS times in each of three ways, in turns:
# without limits, under limits that stay, and with `plimsoll run` under those limits. The last line is
# one JSON object; README.md says how each figure comes about.
# shellcheck source=../tests/vm/lib/checks
. /bin/checks

rounds=${ROUNDS:-3}
shrink_after=10 # seconds
longest=60      # for which a limit is waited for to come back
memory=$((128 * 1048576))
cpu=50000 # of 100000: 500m
now() { cut -d' ' -f1 /proc/uptime; }

mkfifo /tmp/built /tmp/over
tab=$(printf '\t')
cat >/tmp/Makefile <<TEXT
objects := $(for s in $SOURCES; do printf '%s.o ' "$(basename "$s" .cc)"; done)
vpath %.cc $(for s in $SOURCES; do printf '/src/%s ' "$(dirname "$s")"; done)
all: \$(objects)
%.o: %.cc
${tab}g++ -std=c++20 -O1 -I/src -c \$< -o \$@
TEXT
# The load. It then waits, without using anything, until its limits have been looked at.
cat >/tmp/work <<'TEXT'
cut -d' ' -f1 /proc/uptime >/tmp/begin
make -f /tmp/Makefile -C /tmp/out -j2 >/tmp/make.log 2>&1
status=$?
cut -d' ' -f1 /proc/uptime >/tmp/end
echo >/tmp/built
read -r _ </tmp/over
exit $status
TEXT

# lasted FROM TO: seconds
lasted() { awk "BEGIN {printf \"%.2f\", $2 - $1}"; }
# of_file KEY FILE: of "key value" lines
of_file() { sed -n "s/^$1 //p" "$2"; }
# said WAY: the figures that all ways have, as JSON, of the cgroup $group.
said() {
  printf '"way": "%s", "seconds": %s, "status": %s, "oom_kills": %s, "peak_mib": %s, "cpu_seconds": %s, "periods": %s, "throttled": %s' \
    "$1" "$(lasted "$(cat /tmp/begin)" "$(cat /tmp/end)")" "$status" \
    "$(of_file oom_kill "$group"/memory.events)" "$(($(cat "$group"/memory.peak) / 1048576))" \
    "$(awk '$1 == "usage_usec" {print $2 / 1e6}' "$group"/cpu.stat)" \
    "$(of_file nr_periods "$group"/cpu.stat)" "$(of_file nr_throttled "$group"/cpu.stat)"
}
# made: nothing of the last run is left.
made() {
  rm -rf /tmp/out /tmp/begin /tmp/end
  mkdir /tmp/out
}
# plain_run WAY MEMORY CPU: in a cgroup with these limits.
plain_run() {
  made
  group=$top/build
  mkdir "$group"
  echo "$2" >"$group"/memory.max
  echo "$3 100000" >"$group"/cpu.max
  sh -c "echo 0 >$group/cgroup.procs; exec sh /tmp/work" &
  work=$!
  read -r _ </tmp/built
  echo >/tmp/over
  wait $work
  status=$?
  figures=$(said "$1")
  until_true 20 rmdir "$group"
}
# looks: sets how long after the load the limits of $group were back, or null; near: at most half above.
looks() {
  memory_back=null memory_near=null cpu_back=null
  end=$(cat /tmp/end)
  while :; do
    at=$(lasted "$end" "$(now)")
    read -r bytes <"$group"/memory.max
    read -r quota _ <"$group"/cpu.max
    if [ $cpu_back = null ] && [ "$quota" = $cpu ]; then cpu_back=$at; fi
    if [ $memory_near = null ] && [ "$bytes" -le $((memory * 3 / 2)) ]; then memory_near=$at; fi
    if [ $memory_back = null ] && [ "$bytes" = $memory ]; then memory_back=$at; fi
    if [ $memory_back != null ] && [ $cpu_back != null ]; then return; fi
    if [ "${at%.*}" -ge $longest ]; then return; fi
    usleep 50000
  done
}
plimsoll_run() {
  made
  called=$(now)
  plimsoll run --quiet --report /tmp/report --memory 128Mi --memory-ceiling 1536Mi --cpu 500m \
    --cpu-ceiling 2 --announce make --shrink-after ${shrink_after}s -- sh /tmp/work &
  work=$!
  read -r _ </tmp/built
  group=$(find $top -name 'plimsoll-run-*' -type d | head -n 1)
  # As at the end of the load, before it is looked at.
  at_end="\"memory_at_end_bytes\": $(cat "$group"/memory.max), \"cpu_at_end_quota_us\": $(cut -d' ' -f1 "$group"/cpu.max)"
  looks
  status=null
  figures=$(said plimsoll)
  echo >/tmp/over
  wait $work
  status=$?
  figures="$(echo "$figures" | sed "s/\"status\": null/\"status\": $status/"), $at_end, \"start_seconds\": $(lasted "$called" "$(cat /tmp/begin)"), \"memory_near_seconds\": $memory_near, \"memory_back_seconds\": $memory_back, \"cpu_back_seconds\": $cpu_back, \"report\": $(cat /tmp/report)"
}

# So that no way is the first to read the compiler.
printf '#include <string>\nint main() {}\n' >/tmp/first.cc
g++ -std=c++20 -O1 -c /tmp/first.cc -o /tmp/first.o || exit 1

runs=
round=0
while [ $round -lt "$rounds" ]; do
  case $((round % 3)) in
    0) ways='free static plimsoll' ;;
    1) ways='static plimsoll free' ;;
    *) ways='plimsoll free static' ;;
  esac
  for way in $ways; do
    case $way in
      free) plain_run free max max ;;
      static) plain_run static $memory $cpu ;;
      plimsoll) plimsoll_run ;;
    esac
    echo "build: $(echo "$figures" | sed 's/, "report".*//')" >&2
    if [ "$status" != 0 ] && [ "$way" != static ]; then cat /tmp/make.log >&2; fi
    runs="$runs${runs:+, }{$figures}"
  done
  round=$((round + 1))
done
is "nothing is left" 0 "$(run_groups)"
[ "$checks_failed" = 0 ] || checks_end
echo "{\"rounds\": $rounds, \"shrink_after_seconds\": $shrink_after, \"runs\": [$runs]}"
