#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The node agent beside a kubelet, a runtime and people that write the limits that it has raised:
# whatever they write that what is in use fits into, nobody is killed, and in the end spec and cgroups
# agree. Below what is in use the kernel's verdict stands (engine_vmtest.cc).
# shellcheck source=lib/checks
. /bin/checks
# shellcheck source=lib/agent_node
. /bin/agent_node

pods=4
printf 'memory: {shrink_after: 5s}\ncoexist: {mode: share}\n' >/tmp/config.yaml
start_cluster
start_agent
until_true 120 agent_ready
is "the agent is ready" 0 $?

# Holds 120 MB that cannot be reclaimed from /run/go to /run/end, of a limit of 64 MiB.
# shellcheck disable=SC2016 # for the container's shell
holds='dd if=/dev/zero of=/dev/shm/$$ bs=1M count=115 2>/dev/null; echo $? >/run/done.$$; until [ -e /run/end ]; do read -t 0.1 _ <&3; done; rm /dev/shm/$$; true'
needed=$((115 * 1048576))

# limit NAME: of its container now; slice_limit NAME
place() { ask $kubelet GET "/fake/place?pod=default/$1&container=app" | sed -n "s/.*\"$2\": *\"\([^\"]*\)\".*/\1/p"; }
limit() { cat "$top/$(place "$1" group)/memory.max"; }
slice_limit() { cat "$top/$(place "$1" slice)/memory.max"; }
has_room() { [ "$(limit "$1")" -ge $needed ] && [ "$(slice_limit "$1")" -ge "$(limit "$1")" ]; }
# a_person POD BODY: resizes it, as an admin
a_person() { ask $api PATCH "/api/v1/namespaces/default/pods/$1/resize" "$2" --user admin >/dev/null; }
# survives WHAT NAME: what was written has been written again, and nobody was killed for it.
survives() {
  until_true 120 has_room "$2"
  is "$1: container and slice have room again" 0 $?
  is "$1: nobody was killed" 0 $(($(oom_kills) - before))
}

# ---- under a lease: the agent's API is gone
create_stormers held $pods "$holds"
ask $api POST /fake/go >/dev/null
storm held $pods
before=$(oom_kills)
for i in 0 1 2 3; do has_room held-$i || fail "held-$i: has a lease" "$needed" "$(limit held-$i)"; done

ask $kubelet POST /fake/slice '{"pod": "default/held-1", "bytes": 134217728}' >/dev/null
survives "a slice that is put back" held-1
a_person held-2 '{"spec": {"containers": [{"name": "app", "resources": {"limits": {"cpu": "2"}}}]}}'
sleep 3
survives "a CPU-only resize" held-2
a_person held-3 '{"spec": {"containers": [{"name": "app", "resources": {"limits": {"memory": "80Mi"}}}]}}'
sleep 3
survives "a person's smaller raise" held-3
ask $api POST /fake/back >/dev/null
until_true 120 agree held $pods
is "spec and cgroups agree" 0 $?
is "held: nobody was killed" 0 $(($(oom_kills) - before))
remove_pods held $pods

# ---- the kubelet is late: it puts older requests in force when more is in use
create_stormers late $pods "$holds"
ask $kubelet POST /fake/delay '{"least_ms": 3000, "most_ms": 6000}' >/dev/null
storm late $pods
before=$(oom_kills)
until_true 120 agree late $pods
is "late: spec and cgroups agree" 0 $?
is "late: nobody was killed" 0 $(($(oom_kills) - before))
ask $kubelet POST /fake/delay '{"least_ms": 300, "most_ms": 700}' >/dev/null
remove_pods late $pods
stop_agent
agent_checks_end
