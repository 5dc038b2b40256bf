#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The node agent between an API server and a kubelet, on real cgroups of both drivers: five pods
# outgrow their limits at once while the API is healthy, slow, failing, gone, and refusing.
# shellcheck source=lib/checks
. /bin/checks
# shellcheck source=lib/agent_node
. /bin/agent_node

pods=5
# Long enough to tell what growing costs from what lowering does.
printf 'memory: {shrink_after: 30s}\n' >/tmp/config.yaml
need=$(load 150000000)

# make_pods NAME
make_pods() {
  create_stormers "$1" $pods "$need"
  ask $api POST /fake/clear-requests >/dev/null
}
# agree_soon NAME: and how soon.
agree_soon() {
  began=$(cut -d. -f1 /proc/uptime)
  until_true 120 agree "$1" $pods
  is "$1: spec and cgroups agree" 0 $?
  echo "# after $(($(cut -d. -f1 /proc/uptime) - began)) s"
}

healthy() {
  make_pods healthy
  storm healthy $pods
  sleep 2
  # Two on average, more where the host is so busy that a burst comes in parts.
  at_most "healthy: PATCHes for five bursts" 15 "$(counted 'patch pods\/resize')"
  agree_soon healthy
  remove_pods healthy $pods
}
slow() {
  make_pods slow
  fault '{"verb":"patch","kind":"delay","delay_ms":5000}'
  storm slow $pods
  ask $api POST /fake/clear-faults >/dev/null
  agree_soon slow
  remove_pods slow $pods
}
failing() {
  make_pods failing
  fault '{"verb":"patch","kind":"status","code":503,"reason":"ServiceUnavailable"}'
  storm failing $pods
  ask $api POST /fake/clear-faults >/dev/null
  agree_soon failing
  remove_pods failing $pods
}
gone() {
  make_pods gone
  ask $api POST /fake/go >/dev/null
  storm gone $pods
  ask $api POST /fake/back >/dev/null
  agree_soon gone
  remove_pods gone $pods
}
# A refusal is a decision of the cluster: the kernel's verdict, no direct write, an Event.
refused() {
  fault '{"verb":"patch","kind":"refusal","refusal":"quota"}'
  make_pods quota
  before=$(oom_kills)
  touch /run/go
  killed() { [ $(($(oom_kills) - before)) -ge $pods ]; }
  until_true 120 killed
  is "quota: the kernel's verdict" 0 $?
  is "quota: no limit was raised" 0 "$(container_limits | grep -cvE '^(67108864|max)$')"
  has_event() {
    ask $api GET /apis/events.k8s.io/v1/namespaces/default/events | grep -q 'exceeded quota'
  }
  until_true 120 has_event
  is "quota: an Event names it" 0 $?
  remove_pods quota $pods
}

start_cluster
start_agent
until_true 120 agent_ready
is "the agent is ready" 0 $?
healthy
slow
failing
gone
refused
stop_agent
stop_cluster

# The other driver's names, and a runtime's with them.
driver=cgroupfs
start_cluster
start_agent
until_true 120 agent_ready
is "cgroupfs: the agent is ready" 0 $?
healthy
gone
stop_agent
agent_checks_end
