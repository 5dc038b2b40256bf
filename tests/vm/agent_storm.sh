#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The node agent between an API server and a kubelet (both fakes, over TLS), on real cgroups: five
# pods outgrow their limits at once while the API is healthy, slow, failing, gone, and refusing.
# shellcheck source=lib/checks
. /bin/checks

api=6444
kubelet=6445
pods=5
ask() { fake-apiserver request "$@"; }
counted() { ask $api GET /fake/counts | tr ',{}' '\n' | sed -n "s/ *\"$1\": *\([0-9]*\).*/\1/p"; }
metric() { wget -q -O - http://127.0.0.1:9464/metrics 2>/dev/null | sed -n "s/^$1 //p" | head -n 1; }
tracked() { [ "$(metric plimsoll_containers_tracked)" = "$1" ]; }

mkdir -p /run/api /run/logs /run/plimsoll
fake-apiserver --directory /run/api --port 6443 --control-port $api --keep >/tmp/api.log 2>&1 &
api_answers() { ask $api GET /version >/dev/null 2>&1; }
until_true 60 api_answers
is "the API server is up" 0 $?
fake-kubelet --api $api --control-port $kubelet --logs /run/logs --memory 1800Mi --keep \
  >/tmp/kubelet.log 2>&1 &
is_ready() { ask $api GET /api/v1/nodes/node-a | grep -q allocatable; }
until_true 30 is_ready
is "the node is there" 0 $?
printf 'memory: {shrink_after: 5s}\n' >/tmp/config.yaml

start_agent() {
  NODE_NAME=node-a KUBERNETES_SERVICE_HOST=127.0.0.1 KUBERNETES_SERVICE_PORT=6443 \
    plimsoll agent --service-account /run/api --systemd none --config /tmp/config.yaml \
    >>/tmp/agent.log 2>&1 &
  agent=$!
}
start_agent
agent_ready() { wget -q -O /dev/null http://127.0.0.1:9464/readyz 2>/dev/null; }
until_true 60 agent_ready
is "the agent is ready" 0 $?

# make_pods NAME NAMESPACE PROGRAM: five pods that wait for /run/go and then need 150 MB of 64 MiB.
make_pods() {
  rm -f /run/go
  cat >/tmp/pods.json <<TEXT
{"count": $pods, "template": {"apiVersion": "v1", "kind": "Pod",
  "metadata": {"name": "$1", "namespace": "$2", "annotations": {"plimsoll.dev/enabled": "true"}},
  "spec": {"nodeName": "node-a", "restartPolicy": "Never", "containers": [{"name": "app",
    "image": "storm", "command": ["sh", "-c",
      "until [ -e /run/go ]; do sleep 0.1; done; $3; status=\$?; until [ -e /run/end ]; do sleep 0.1; done; exit \$status"],
    "resources": {"requests": {"memory": "16Mi", "cpu": "10m"},
      "limits": {"memory": "64Mi", "cpu": "1"}}}]}}}
TEXT
  ask $api POST /fake/pods @/tmp/pods.json >/dev/null
  until_true 60 tracked $((pods * 2))
  is "$1: watched" 0 $?
  sleep 2 # the dry runs beforehand
  ask $api POST /fake/clear-requests >/dev/null
}
# pod_spec NAME NAMESPACE: "uid MiB", the pod's uid and its container's limit in the API.
pod_spec() {
  ask $api GET "/api/v1/namespaces/$2/pods/$1" | tr -d ' \n' | sed 's/"status":{.*//' |
    sed -n 's/.*"uid":"\([0-9a-f-]*\)".*"limits":{[^}]*"memory":"\([0-9]*\)Mi".*/\1 \2/p'
}
# agree NAME NAMESPACE: spec, container and pod slice of every pod have the same limit.
agree() {
  for i in $(seq 0 $((pods - 1))); do
    spec=$(pod_spec "$1-$i" "$2")
    bytes=$((${spec#* } * 1048576))
    slice=$top/kubepods.slice/kubepods-burstable.slice
    slice=$slice/kubepods-burstable-pod$(echo "${spec% *}" | tr - _).slice
    # The sandbox beside the container has no limit.
    [ "$(cat "$slice"/cri-*.scope/memory.max | grep -vx max)" = $bytes ] || return 1
    [ "$(cat "$slice/memory.max")" = $bytes ] || return 1
  done
}
remove_pods() {
  touch /run/end
  for i in $(seq 0 $((pods - 1))); do ask $api DELETE "/api/v1/namespaces/$2/pods/$1-$i" >/dev/null 2>&1; done
  until_true 60 tracked 0
  is "$1: nothing is watched any more" 0 $?
  rm -f /run/end /run/go
  ask $api POST /fake/clear-faults >/dev/null
}
# storm NAME NAMESPACE: they all run; how many were killed?
storm() {
  rm -f /run/done.*
  before=$(awk '$1 == "oom_kill" {print $2}' /proc/vmstat)
  touch /run/go
  all_done() { [ "$(cat /run/done.* 2>/dev/null | wc -l)" = $pods ]; }
  until_true 90 all_done
  is "$1: all have ended their work" 0 $?
  is "$1: all of it well" $pods "$(cat /run/done.* 2>/dev/null | grep -cx 0)"
  after=$(awk '$1 == "oom_kill" {print $2}' /proc/vmstat)
  is "$1: nobody was killed" 0 $((after - before))
}
# shellcheck disable=SC2016 # for the container's shell
load='storm-load touch --bytes 150000000 --result /dev/null; echo $? >/run/done.$$; true'

make_pods healthy default "$load"
storm healthy
sleep 2
at_most "healthy: PATCHes for five bursts" 10 "$(counted 'patch pods\/resize')"
until_true 10 agree healthy default
is "healthy: spec and cgroups agree within 10 s" 0 $?
remove_pods healthy default

make_pods slow default "$load"
ask $api POST /fake/fault '{"verb":"patch","kind":"delay","delay_ms":5000}' >/dev/null
storm slow
ask $api POST /fake/clear-faults >/dev/null
until_true 20 agree slow default
is "slow: spec and cgroups agree" 0 $?
remove_pods slow default

make_pods failing default "$load"
ask $api POST /fake/fault '{"verb":"patch","kind":"status","code":503,"reason":"ServiceUnavailable"}' >/dev/null
storm failing
ask $api POST /fake/clear-faults >/dev/null
until_true 15 agree failing default
is "failing: spec and cgroups agree within 10 s of its return" 0 $?
remove_pods failing default

make_pods gone default "$load"
ask $api POST /fake/go >/dev/null
storm gone
ask $api POST /fake/back >/dev/null
until_true 15 agree gone default
is "gone: spec and cgroups agree within 10 s of its return" 0 $?
remove_pods gone default

# A refusal is a decision of the cluster: the kernel's verdict, no direct write, an Event.
ask $api POST /fake/fault '{"verb":"patch","kind":"refusal","refusal":"quota"}' >/dev/null
make_pods quota default "$load"
rm -f /run/done.*
before=$(awk '$1 == "oom_kill" {print $2}' /proc/vmstat)
touch /run/go
killed() { [ $(($(awk '$1 == "oom_kill" {print $2}' /proc/vmstat) - before)) -ge $pods ]; }
until_true 60 killed
is "quota: the kernel's verdict" 0 $?
is "quota: no limit was raised" 0 \
  "$(cat "$top"/kubepods.slice/*/*/cri-*.scope/memory.max | grep -cvE '^(67108864|max)$')"
has_event() { ask $api GET /apis/events.k8s.io/v1/namespaces/default/events | grep -q 'exceeded quota'; }
until_true 10 has_event
is "quota: an Event names it" 0 $?
remove_pods quota default

kill $agent
wait $agent
is "the agent ends with" 0 $?
is "no program is left attached" 0 "$(grep -cE '^(page_counter_try_charge|mem_cgroup_out_of_memory) ' \
  /sys/kernel/tracing/enabled_functions)"
if [ "$checks_failed" -gt 0 ]; then
  tail -n 60 /tmp/agent.log
  tail -n 5 /tmp/kubelet.log
fi
checks_end
