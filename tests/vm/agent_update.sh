#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The agent updated again and again while pods outgrow their limits: the next one starts beside the
# one that has the node, takes it over, and the old one idles until it is told to end, as a DaemonSet
# with maxSurge does it. UPDATES says how often; of five newcomers
# two are killed, one of them somewhere in the hand-over, and the old one takes the node back. The last line is a JSON object.
# shellcheck source=lib/checks
. /bin/checks
# shellcheck source=lib/agent_node
. /bin/agent_node

updates=${UPDATES:-5}
pods=5
floor=67108864
# Two agents on one machine need an address each; a pod has its own.
for which in 0 1; do
  printf 'memory: {shrink_after: 60s}\nmetrics: {address: ":946%d"}\n' $((4 + which)) >/tmp/config.$which
done
turn=0
# The functions of agent_node ask the agent that has the node.
metrics() { wget -q -O - "http://127.0.0.1:946$((4 + turn))/metrics" 2>/dev/null; }
agent_ready() { wget -q -O /dev/null "http://127.0.0.1:946$((4 + turn))/readyz" 2>/dev/null; }
said() { grep -c "$1" /tmp/agent.log; }

start_cluster
config=/tmp/config.0
start_agent --restore
until_true 120 agent_ready
is "the agent is ready" 0 $?

updated=0 stormed=0 survived=0 died=0 lost=0 unknown=0
# What stands above its floor is explained by the state.
look() {
  plimsoll restore --dry-run --json >/tmp/restore.json 2>/tmp/restore.err
  tr '{}' '\n\n' </tmp/restore.json >/tmp/restore.items
  for file in "$top"/kubepods.slice/*/*/memory.max "$top"/kubepods.slice/*/*/*/memory.max; do
    limit=$(cat "$file" 2>/dev/null) || continue
    if [ "$limit" = max ] || [ "$limit" -le $floor ]; then continue; fi
    path=${file#"$top/"}
    item=$(grep -F "\"path\":\"${path%/memory.max}\"" /tmp/restore.items)
    case $item in
      *'"outcome":"foreign"'* | '')
        unknown=$((unknown + 1))
        echo "after update $updated nobody knows $limit of $path: ${item:-$(cat /tmp/restore.err)}"
        ;;
    esac
  done
}
# newcomer: beside the one that has the node; its process is $agent, that of the other $before.
newcomer() {
  before=$agent
  turn=$((1 - turn))
  config=/tmp/config.$turn
  start_agent --restore
}
# die: the newcomer does, and the one before has the node again: it watches all of the next update.
# Of this one those may be gone that needed memory in between.
die() {
  kill -9 $agent
  wait $agent 2>/dev/null
  agent=$before
  turn=$((1 - turn))
  until_true 120 agent_ready
  is "u$updated: and is ready again" 0 $?
  died=$((died + 1))
}
explained() { plimsoll explain "default/u$updated-0" >/tmp/explain.txt 2>&1; }
loaded() { [ "$(said 'another agent has the node asked=true')" -gt "$loads" ]; }
taken() { [ "$(said 'the node was taken over')" -gt "$takes" ]; }
all_done() { [ "$(cat /run/done.* 2>/dev/null | wc -l)" = $pods ]; }

while [ $updated -lt "$updates" ]; do
  updated=$((updated + 1))
  create_stormers "u$updated" $pods "$(load 150000000)"
  rm -f /run/done.*
  kills=$(oom_kills)
  takes=$(said 'the node was taken over')
  loads=$(said 'another agent has the node asked=true')
  newcomer
  # From when it has loaded all that it needs, another moment each time: before, in and after the
  # hand-over.
  until_true 120 loaded
  is "u$updated: the next agent is loaded" 0 $?
  usleep $((updated % 7 * 100000))
  touch /run/go
  if [ $((updated % 5)) = 3 ]; then
    # Somewhere in the middle.
    usleep $(($(od -An -N4 -tu4 /dev/urandom) % 900000))
    die
    # Until the one before has the node again nobody grows anything, as between two agents without a
    # hand-over: who needs more just then is killed.
    until_true 20 all_done
    lost=$((lost + pods - $(cat /run/done.* 2>/dev/null | grep -cx 0)))
    kills=$(oom_kills)
  else
    until_true 120 taken
    is "u$updated: the next agent has the node" 0 $?
    until_true 120 agent_ready
    is "u$updated: and is ready" 0 $?
  fi
  if [ $((updated % 5)) != 3 ]; then
    until_true 120 all_done
    is "u$updated: all have ended their work" 0 $?
  fi
  stormed=$((stormed + pods))
  survived=$((survived + $(cat /run/done.* 2>/dev/null | grep -cx 0)))
  is "u$updated: nobody was killed" 0 $(($(oom_kills) - kills))
  look
  is "u$updated: the one before lives" 0 "$(kill -0 $before; echo $?)"
  if [ $((updated % 5)) = 0 ]; then
    die
  elif [ $agent != $before ]; then
    # What the next agent has asked for has come into force: nothing else moves limits now.
    until_true 120 agree "u$updated" $pods
    is "u$updated: spec, container and pod agree" 0 $?
    limits=$(container_limits | sort)
    kill $before
    wait $before
    is "u$updated: the one before ends with" 0 $?
    is "u$updated: and restores nothing" "$limits" "$(container_limits | sort)"
  fi
  until_true 60 explained
  is "u$updated: explain finds the agent" 0 $?
  remove_pods "u$updated" $pods
done
is "all have survived but in the gap that a crash leaves" $stormed $((survived + lost))
is "no limit that nobody knows" 0 $unknown
gaps=$(sed -n 's/.*gap_seconds[^0-9]*\([0-9.e-]*\).*/\1/p' /tmp/agent.log | sort -n)
echo "# gaps in seconds: $(echo "$gaps" | tr '\n' ' ')"
stop_agent
echo "{\"updates\": $updated, \"stormed\": $stormed, \"survived\": $survived, \"died\": $died, \"lost\": $lost," \
  "\"unknown\": $unknown, \"longest_gap_seconds\": $(echo "$gaps" | tail -n 1), \"seconds\": $(cut -d. -f1 /proc/uptime)}"
agent_checks_end
