#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# CPU limits of a pod: raised while it is throttled and given back after, at once in the cgroup and
# through the API when it lasts; raised from the start of a container, restarts included, until it is
# ready; never above what a quota leaves; and what an agent has raised is known to the next one, and
# to `plimsoll restore`.
# shellcheck source=lib/checks
. /bin/checks
# shellcheck source=lib/agent_node
. /bin/agent_node

cpu=200m
driver=${DRIVER:-systemd}
# The guest has two CPUs, and its own processes want some of them.
cat >$config <<'EOF'
pods: {cpu_ceiling: 4, cpu_ask_after: 3s}
startup: {boost: 6, time: 60s, settle_after: 60s}
cpu: {reserve: 0, lower_after: 5s, node_pressure: 1}
EOF
# Burns while /run/burn is there; ends when /run/end or /run/exit is.
# shellcheck disable=SC2016 # the container's shell expands it
work='until [ -e /run/end ]; do if [ -e /run/burn ]; then i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; else read -t 1 _ <&3; fi; if [ -e /run/exit ]; then rm /run/exit; exit 3; fi; done'
# The one that is no sandbox.
container_dir() {
  for dir in "$(pod_slice "$(uid_of "$1")")"/*/; do
    if ! grep -q '^max' "$dir/memory.max"; then echo "$dir"; fi
  done 2>/dev/null
}
uid_of() { pod_spec "$1" | cut -d' ' -f1; }
container_cpu() { cpu_max "$(container_dir "$1")/cpu.max"; }
slice_cpu() { cpu_max "$(pod_slice "$(uid_of "$1")")/cpu.max"; }
cpu_above() { [ "$(container_cpu "$1")" -gt "$2" ] 2>/dev/null && [ "$(slice_cpu "$1")" -gt "$2" ] 2>/dev/null; }
cpu_back() { [ "$(container_cpu "$1")" = "$2" ] && [ "$(slice_cpu "$1")" = "$2" ]; }
spec_above() { [ "$(pod_cpu "$1")" -gt "$2" ] 2>/dev/null; }
spec_back() { [ "$(pod_cpu "$1")" = "$2" ]; }
memory_is() { [ "$(cat "$(container_dir "$1")/memory.max")" = "$2" ]; }
# Looking takes CPU time, too, which is then missing in the node's budget.
calmly() { sleep 1; "$@"; }
boosted() { [ "$(metric plimsoll_startup_boosted_containers)" = "$1" ]; }

start_cluster
start_agent
until_true 120 agent_ready
is "the agent is ready" 0 $?

# ---- a start
probe=', "readinessProbe": {"exec": {"command": ["test", "-e", "/run/is-ready"]}, "periodSeconds": 10,
  "timeoutSeconds": 10}'
restart=Always
rm -f /run/is-ready /run/burn /run/exit
create_pods web-0 1 "$work"
until_true 120 calmly cpu_above web-0 900
is "start: the container has more from its begin, and its pod" 0 $?
until_true 120 calmly boosted 1
is "start: is counted" 0 $?
is "start: its spec stays as it was" 200 "$(pod_cpu web-0)"
sleep 6 # longer than a limit is left alone that is not needed
cpu_above web-0 900
is "start: it stays while it starts" 0 $?
plimsoll explain default/web-0 >/tmp/explained
says "start: explain says so" 'boost_begins' /tmp/explained
touch /run/is-ready
until_true 120 calmly cpu_back web-0 200
is "start: ready, it goes back" 0 $?
until_true 120 calmly boosted 0
is "start: is over" 0 $?
touch /run/exit
rm -f /run/is-ready
until_true 120 calmly cpu_above web-0 900
is "restart: the new container has more, too" 0 $?
touch /run/is-ready
until_true 120 calmly cpu_back web-0 200
is "restart: ready, it goes back" 0 $?

# ---- a load
patches=$(counted 'patch pods\/resize')
touch /run/burn
until_true 120 calmly cpu_above web-0 400
is "load: the limit is raised, and the pod's" 0 $?
until_true 120 calmly spec_above web-0 400
is "load: it lasts, so the spec says so" 0 $?
at_most "load: not above its ceiling" 800 "$(container_cpu web-0)"
memory_is web-0 67108864
is "load: its memory limit is as it was" 0 $?
rm -f /run/burn
until_true 120 calmly cpu_back web-0 200
is "load: over, the limit goes back" 0 $?
until_true 120 calmly spec_back web-0 200
is "load: and the spec" 0 $?
until_true 120 calmly cpu_back web-0 200
is "load: which changes nothing in the cgroup" 0 $?
memory_is web-0 67108864
is "load: nor of its memory" 0 $?
at_most "load: PATCHes" $((patches + 4)) "$(counted 'patch pods\/resize')"
at_least "load: counted by its reason" 1 "$(metric 'plimsoll_cpu_grants_total{reason="throttled"}')"

# ---- an agent that is killed while a limit is raised
touch /run/burn
until_true 120 calmly cpu_above web-0 400
is "killed: the limit is raised" 0 $?
kill -9 $agent
wait $agent 2>/dev/null
rm -f /run/burn
cpu_above web-0 400
is "killed: it stays so" 0 $?
NODE_NAME=node-a KUBERNETES_SERVICE_HOST=127.0.0.1 KUBERNETES_SERVICE_PORT=6443 \
  plimsoll restore --service-account /run/api --systemd none >/tmp/restored 2>&1
until_true 120 calmly cpu_back web-0 200
is "restore: puts it back" 0 $?
is "restore: and the burst" "0 0 " "$(cat "$(container_dir web-0)/cpu.max.burst" \
  "$(pod_slice "$(uid_of web-0)")/cpu.max.burst" | tr '\n' ' ')"
touch /run/burn
start_agent
until_true 120 calmly cpu_above web-0 400
is "next: raised again" 0 $?
kill -9 $agent
wait $agent 2>/dev/null
rm -f /run/burn
start_agent
until_true 120 calmly cpu_back web-0 200
is "next: gives back what the one before it had raised" 0 $?
remove_pods web 1
rm -f /run/end

# ---- a quota
ask $api POST /api/v1/namespaces/default/resourcequotas \
  '{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few", "namespace": "default"}, "spec": {"hard": {"limits.cpu": "300m"}}}' >/dev/null
rm -f /run/is-ready
create_pods full-0 1 "$work"
until_true 120 tracked 2
is "quota: the pod is watched" 0 $?
touch /run/burn
sleep 8
at_most "quota: not above what it leaves" 300 "$(container_cpu full-0)"
rm -f /run/burn
remove_pods full 1
stop_agent
agent_checks_end
