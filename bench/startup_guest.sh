#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# In the guest: a Java service (Start.java) as a pod, from the start of its container until it has
# answered its first request; ROUNDS times in each of MODES, in turns: `unlimited`, `static` (300m) and
# `boost` (300m, with the agent; again after a restart of the container). The last line is one JSON
# object; README.md says how each figure comes about.
# shellcheck source=../tests/vm/lib/checks
. /bin/checks
# shellcheck source=../tests/vm/lib/agent_node
. /bin/agent_node

rounds=${ROUNDS:-3}
modes=${MODES:-unlimited static boost}
floor=30000 # of 100000: 300m
longest=60  # seconds after Ready, for which the limit is waited for
printf 'startup: {boost: 10}\n' >/tmp/config.yaml
mkdir -p /run/ready

# place KEY: of the pod $name, as the kubelet says it
place() {
  ask $kubelet GET "/fake/place?pod=default/$name&container=app" | tr ',{}' '\n' |
    sed -n "s/ *\"$1\": *\"\{0,1\}\([^\"]*\)\"\{0,1\}$/\1/p"
}
# create MODE: the pod $name
create() {
  cpu='"300m"' notes=''
  if [ "$1" = unlimited ]; then cpu=null; fi
  if [ "$1" = boost ]; then notes='"plimsoll.dev/enabled": "true"'; fi
  cat >/tmp/pod.json <<TEXT
{"apiVersion": "v1", "kind": "Pod",
 "metadata": {"name": "$name", "namespace": "default", "annotations": {$notes}},
 "spec": {"nodeName": "node-a", "restartPolicy": "Always", "containers": [{"name": "app",
   "image": "java", "command": ["$JAVA", "-Xmx128m", "-cp", "/opt/start", "Start", "/run/ready/$name"],
   "readinessProbe": {"exec": {"command": ["test", "-e", "/run/ready/$name"]},
     "periodSeconds": 1, "timeoutSeconds": 10},
   "resources": {"requests": {"memory": "64Mi", "cpu": "100m"},
     "limits": {"memory": "512Mi", "cpu": $cpu}}}]}}
TEXT
  if [ "$cpu" = null ]; then sed -i 's/, "cpu": null//' /tmp/pod.json; fi
  ask $api POST /fake/pods @/tmp/pod.json >/dev/null
}
# runs RESTARTS: its container does, started anew so many times; $group is its cgroup.
runs() {
  [ "$(place running)" = true ] && [ "$(place restarts)" = "$1" ] || return 1
  group=$top/$(place group)
  slice=$top/$(place slice)
}
throttled_in() { sed -n 's/^nr_throttled //p' "$1/cpu.stat"; }
# As soon as the pod is ready, where it is.
tell_ready() {
  until [ -n "$(place pod_ready_since)" ]; do sleep 1; done
  place pod_ready_since >/tmp/ready_since.new
  mv /tmp/ready_since.new /tmp/ready_since
}
# looks: at the container that has just started, until its service has, and where the agent keeps
# the limit, until that is the pod's own after Ready. No program is started meanwhile. The limit is
# raised when those of container and pod slice are, and back when both are.
looks() {
  rm -f /tmp/ready_since
  raised='' back='' used='' end='' most=0
  throttled_before=$(throttled_in "$slice")
  while :; do
    read -r at _ </proc/uptime
    read -r quota _ <"$group/cpu.max"
    read -r pod_quota _ <"$slice/cpu.max"
    if [ "$pod_quota" != max ] && [ "$pod_quota" -lt "$quota" ]; then least=$pod_quota; else least=$quota; fi
    if [ "$least" != $floor ] && [ "$least" != max ]; then
      back=
      : "${raised:=$at}"
      if [ "$least" -gt $most ]; then most=$least; fi
    elif [ -n "$raised" ] && [ "$quota" = $floor ] && [ "$pod_quota" = $floor ]; then
      : "${back:=$at}"
    fi
    if [ -e "/run/ready/$name" ] && [ -z "$end" ]; then
      end=${at%.*}
      used=$(sed -n 's/^usage_usec //p' "$group/cpu.stat")
      throttled=$(throttled_in "$group")
      pod_throttled=$(($(throttled_in "$slice") - throttled_before))
      tell_ready &
    fi
    if [ -n "$end" ]; then
      if [ -e /tmp/ready_since ] && { [ -z "$raised" ] || [ -n "$back" ]; }; then break; fi
      if [ $((${at%.*} - end)) -ge $longest ]; then break; fi
    elif [ $((${at%.*} - began)) -ge 600 ]; then
      break
    fi
    usleep 20000
  done
  wait $!
}
# since TIME BEGIN: seconds, null where there is no time
since() { if [ -n "$1" ]; then awk "BEGIN {printf \"%.2f\", $1 - $2}"; else echo null; fi; }
# measured MODE RESTARTS: appends to $results
measured() {
  until_true 60 runs "$2"
  is "$name: runs" 0 $?
  began=$(cut -d. -f1 /proc/uptime)
  looks
  started=$(place running_since)
  ready=''
  [ ! -e "/run/ready/$name" ] || read -r ready processors <"/run/ready/$name"
  is "$name: has started" 0 "$([ -n "$ready" ]; echo $?)"
  ready_since=$(cat /tmp/ready_since 2>/dev/null)
  if [ $most = 0 ]; then most=null; fi
  one="{\"mode\": \"$1\", \"restart\": $2, \"seconds\": $(since "$ready" "$started"), \"processors\": ${processors:-null}, \"cpu_seconds\": $(since "$(awk "BEGIN {print ${used:-0} / 1e6}")" 0), \"throttled\": ${throttled:-null}, \"pod_throttled\": ${pod_throttled:-null}, \"raised_seconds\": $(since "$raised" "$started"), \"most_quota_us\": $most, \"back_seconds\": $(since "$back" "${ready_since:-0}")}"
  echo "startup: $one" >&2
  results="$results${results:+, }$one"
}
gone() { ! ask $api GET "/api/v1/namespaces/default/pods/$name" >/dev/null 2>&1; }

start_cluster
# So that no mode is the first to read the runtime.
"$JAVA" -Xmx128m -cp /opt/start Start /run/ready/first >/dev/null &
first=$!
has_first() { [ -e /run/ready/first ]; }
until_true 300 has_first
is "it starts" 0 $?
kill $first

results=''
round=0
while [ $round -lt "$rounds" ]; do
  for mode in $modes; do
    name=$mode-$round
    if [ "$mode" = boost ]; then
      start_agent
      until_true 60 agent_ready
      is "$name: the agent is ready" 0 $?
    fi
    create "$mode"
    measured "$mode" 0
    if [ "$mode" = boost ]; then
      rm "/run/ready/$name"
      xargs kill -9 <"$group/cgroup.procs"
      measured "$mode" 1
      stop_agent
    fi
    ask $api DELETE "/api/v1/namespaces/default/pods/$name" >/dev/null
    until_true 60 gone
    is "$name: is gone" 0 $?
  done
  # The first of a round becomes the last of the next one.
  # shellcheck disable=SC2086 # words
  set -- $modes
  first=$1
  shift
  modes="$* $first"
  round=$((round + 1))
done
[ "$checks_failed" = 0 ] || agent_checks_end
echo "{\"rounds\": $rounds, \"runs\": [$results]}"
