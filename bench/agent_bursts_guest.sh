#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# In the guest: how many PATCHes do grants and bursts cost? Five pods of 64 MiB need 150 MB at once
# and give them back, ROUNDS times with the API healthy and as often with one that takes 5 s. The
# last line is one JSON object.
# shellcheck source=../tests/vm/lib/checks
. /bin/checks
# shellcheck source=../tests/vm/lib/agent_node
. /bin/agent_node

pods=5
rounds=${ROUNDS:-4}
printf 'memory: {shrink_after: 5s}\n' >/tmp/config.yaml
# of_log FROM: "grants patches lowered" in the lines from there on. A grant is a raise of a
# container's limit, written or wished; a PATCH is counted when it is answered, well or not.
of_log() {
  tail -n +"$1" /tmp/agent.log | sed 's/.*Z [a-z]* //' | awk '
    function field(key,  at) { at = index($0, " " key "="); return at ? substr($0, at + length(key) + 2) + 0 : 0 }
    /^memory limit raised / && / container=/ { ++grants }
    /^memory limit to be changed through the API/ && field("to_bytes") > field("from_bytes") { ++grants }
    /^memory limit to be changed through the API/ && field("to_bytes") < field("from_bytes") { ++lowered }
    END { print grants + 0, lowered + 0 }'
}
# bursts NAME: rounds of it, and what they cost as a JSON object in $cost
bursts() {
  from=$(($(wc -l </tmp/agent.log) + 1))
  patches=0
  round=0
  while [ $round -lt "$rounds" ]; do
    round=$((round + 1))
    create_stormers "$1$round" $pods "$(load 150000000)"
    sleep 3 # the dry runs beforehand
    ask $api POST /fake/clear-requests >/dev/null
    [ "$1" = slow ] && fault '{"verb":"patch","kind":"delay","delay_ms":5000}'
    storm "$1$round" $pods
    until_true 120 at_floor "$1$round" $pods
    is "$1$round: all is given back" 0 $?
    patches=$((patches + $(counted 'patch pods\/resize')))
    remove_pods "$1$round" $pods
  done
  # shellcheck disable=SC2046 # two words
  set -- $(of_log "$from")
  cost="{\"bursts\": $((pods * rounds)), \"grants\": $1, \"lowered\": $2, \"patches\": $patches}"
}

start_cluster
start_agent
until_true 60 agent_ready
is "the agent is ready" 0 $?
bursts healthy
healthy=$cost
bursts slow
stop_agent
[ "$checks_failed" = 0 ] || agent_checks_end
echo "{\"healthy\": $healthy, \"slow\": $cost}"
