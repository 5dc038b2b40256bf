#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a pod declared, across all that a node does to an agent: killed, its /run lost as in a reboot,
# its disk full, and taken off with what it raised put back. Against the fake API server and kubelet.
# shellcheck source=lib/checks
. /bin/checks
# shellcheck source=lib/agent_node
. /bin/agent_node

floors=/var/lib/plimsoll
storing() { counted 'patch pods\/resize'; }
# A disk that can be filled.
mkdir -p $floors
mount -t tmpfs -o size=64k floors $floors
# Nothing shrinks by itself.
printf 'memory: {shrink_after: 1h}\n' >/tmp/config.yaml
start_cluster
restore() {
  NODE_NAME=node-a KUBERNETES_SERVICE_HOST=127.0.0.1 KUBERNETES_SERVICE_PORT=6443 \
    plimsoll restore --service-account /run/api --systemd none "$@" >/tmp/restore.log
}
start_ready() {
  start_agent "$@"
  until_true 120 agent_ready
  is "the agent is ready" 0 $?
}

# make_pod NAME: waits for /run/go and then needs 150 MB of 64 MiB, and then waits for /run/end.
make_pod() {
  rm -f /run/go /run/done
  cat >/tmp/pod.json <<TEXT
{"apiVersion": "v1", "kind": "Pod",
  "metadata": {"name": "$1", "namespace": "default", "annotations": {"plimsoll.dev/enabled": "true"}},
  "spec": {"nodeName": "node-a", "restartPolicy": "Always", "containers": [{"name": "app",
    "image": "storm", "command": ["sh", "-c",
      "exec 3<>/run/silent; until [ -e /run/go ]; do read -t 0.1 _ <&3; done; [ -e /run/done ] || storm-load touch --bytes 150000000 --result /dev/null; echo \$? >/run/done; until [ -e /run/end ]; do read -t 0.1 _ <&3; done"],
    "resources": {"requests": {"memory": "16Mi", "cpu": "10m"},
      "limits": {"memory": "64Mi", "cpu": "1"}}}]}}
TEXT
  ask $api POST /fake/pods @/tmp/pod.json >/dev/null
  until_true 120 tracked 2
  is "$1: watched" 0 $?
  until_true 120 answered
  is "$1: the API has said how far it may grow" 0 $?
  ask $api POST /fake/clear-requests >/dev/null
}
grow() {
  before=$(oom_kills)
  touch /run/go
  has_grown() { [ "$(cat /run/done 2>/dev/null)" = 0 ]; }
  until_true 120 has_grown
  is "$1: it has what it needs" 0 $?
  is "$1: nobody was killed" 0 $(($(oom_kills) - before))
}
# The limit in the spec, in MiB.
spec() { pod_spec "$1" | cut -d " " -f 2; }
raised() { [ "$(spec "$1")" -gt 64 ]; }
declared() { [ "$(spec "$1")" = 64 ]; }
# The container's memory.max, in MiB; the sandbox beside it has none.
limit() { echo $(($(container_limits | grep -vx max) / 1048576)); }
floor_of() {
  plimsoll explain "default/$1" --json 2>/dev/null | tr ',{}' '\n' |
    sed -n 's/.*"floor_bytes": *\([0-9]*\).*/\1/p' | head -n 1
}
floor_is_declared() { [ "$(floor_of "$1")" = 67108864 ]; }
remove_pod() {
  touch /run/end
  ask $api DELETE "/api/v1/namespaces/default/pods/$1" >/dev/null 2>&1
  # Between two runs of its container nothing is watched either.
  forgotten() { tracked 0 && [ "$(metric plimsoll_pods)" = 0 ]; }
  until_true 120 forgotten
  is "$1: nothing is watched any more" 0 $?
  rm -f /run/end
}

start_ready
make_pod web
is "nothing is kept of a pod that is as declared" floors.lock "$(ls $floors)"
grow web
until_true 120 raised web
is "web: its spec is raised" 0 $?
says "web: its floor is on the disk" '"name":"app","limit":{"cgroup_id":0,"path":"","floor_bytes":67108864' \
  $floors/floors

# As a reboot: the agent and /run are gone, the container begins anew with what the API says.
kill -9 $agent
wait $agent 2>/dev/null
rm -rf /run/plimsoll/*
ask $kubelet POST /fake/restart '{"pod":"default/web","container":"app"}' >/dev/null
begun_anew() { [ "$(limit)" -gt 64 ]; }
until_true 120 begun_anew
is "web: begins anew with the raised limit" 0 $?
start_ready
until_true 120 floor_is_declared web
is "after the boot: the floor is what was declared" 67108864 "$(floor_of web)"

# Taken off: nothing is in use any more, so that it can go back.
kill $agent
wait $agent
raised web
is "without --restore the spec stays raised" 0 $?
restore --dry-run
says "a dry run says what it would do" 'would-restore  default/web/app (spec)' /tmp/restore.log
ask $api POST /fake/go >/dev/null
restore
is "without the API server it fails" 1 $?
says "and names what remains" 'failed  default/web/app (spec)' /tmp/restore.log
ask $api POST /fake/back >/dev/null
start_ready --restore
until_true 120 tracked 2
kill $agent
wait $agent
is "an agent that ends with --restore" 0 $?
declared web
is "has put the spec back" 0 $?
is "and the cgroup" 64 "$(limit)"
is "and forgotten the floor" 0 "$(grep -c app $floors/floors)"
is "without a restart" 1 "$(ask $kubelet GET '/fake/place?pod=default/web&container=app' | tr ',{}' '\n' | sed -n 's/.*"restarts": *\([0-9]*\).*/\1/p')"

# A disk that takes nothing: no spec is raised whose floor would be lost, and nobody dies of it.
start_ready
remove_pod web
make_pod full
dd if=/dev/zero of=$floors/fill bs=4k 2>/dev/null
grow full
sleep 2
is "full: no limit was raised in the API" "" "$(storing)"
declared full
is "full: its spec is as declared" 0 $?
says "full: it is said" 'the state cannot be saved' /tmp/agent.log
rm $floors/fill
until_true 120 raised full
is "full: raised once its floor can be kept" 0 $?
says "full: its floor is on the disk" '"name":"full"' $floors/floors
remove_pod full

stop_agent
is "of pods that are gone nothing is kept" 0 "$(grep -c '"uid"' $floors/floors)"
[ "$checks_failed" = 0 ] || cat /tmp/restore.log
umount $floors
agent_checks_end
