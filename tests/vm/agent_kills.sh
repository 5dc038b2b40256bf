#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The node agent killed with SIGKILL at random moments, again and again, under load and with an API
# that comes and goes: whatever it has raised, the one that is started next knows; and when all is
# quiet every limit is back at its floor. KILLS says how often. The last line is a JSON object.
# shellcheck source=lib/checks
. /bin/checks
# shellcheck source=lib/agent_node
. /bin/agent_node

kills=${KILLS:-8}
pods=4
floor=67108864
printf 'memory: {shrink_after: 2s}\n' >/tmp/config.yaml

start_cluster
# Grows over its limit and shrinks, for ever; what the OOM killer takes while there is no agent is the
# program, not the container.
# shellcheck disable=SC2016 # for the container's shell
create_pods storm $pods 'echo 0 >/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)/memory.oom.group; '\
'until [ -e /run/end ]; do '\
'megabytes=$((32 + $(od -An -N1 -tu1 /dev/urandom) * 3 / 5)); '\
'storm-load touch --bytes $((megabytes * 1000000)) --result /dev/null; '\
'usleep $((megabytes * 10000)); done; '\
'sleep 100000'
start_agent
watched() { tracked $((pods * 2)); }
until_true 120 watched
is "the pods are watched" 0 $?

random() { echo $(($(od -An -N4 -tu4 /dev/urandom) % $1)); }
calm_api() {
  ask $api POST /fake/back >/dev/null
  ask $api POST /fake/clear-faults >/dev/null
}
# upset_api: what the API is like from now on.
upset_api() {
  case $(random 5) in
    0) ask $api POST /fake/go >/dev/null ;;
    1) fault '{"verb":"patch","kind":"status","code":503,"reason":"ServiceUnavailable"}' ;;
    2) fault '{"verb":"patch","kind":"delay","delay_ms":3000}' ;;
  esac
}
# look: with no agent there, all that stands above its floor is in the state, and explained by it.
# Counts in `raised` what stands above, in `unknown` what nobody knows.
look() {
  plimsoll restore --dry-run --json >/tmp/restore.json 2>/tmp/restore.err
  tr '{}' '\n\n' </tmp/restore.json >/tmp/restore.items
  for file in "$top"/kubepods.slice/*/*/memory.max "$top"/kubepods.slice/*/*/*/memory.max; do
    limit=$(cat "$file" 2>/dev/null) || continue
    if [ "$limit" = max ] || [ "$limit" -le $floor ]; then continue; fi
    raised=$((raised + 1))
    path=${file#"$top/"}
    item=$(grep -F "\"path\":\"${path%/memory.max}\"" /tmp/restore.items)
    case $item in
      *'"outcome":"foreign"'* | '')
        unknown=$((unknown + 1))
        echo "after kill $killed nobody knows $limit of $path: ${item:-$(cat /tmp/restore.err)}"
        cp /run/plimsoll/state "/tmp/state.$killed"
        ;;
    esac
  done
}

killed=0 raised=0 unknown=0
before=$(oom_kills)
while [ $killed -lt "$kills" ]; do
  calm_api
  # Every other one not before it does its work, which takes a busy host longer.
  [ $((killed % 2)) = 0 ] || until_true 120 agent_ready
  upset_api
  usleep $(($(random 3000) * 1000))
  kill -9 $agent
  wait $agent 2>/dev/null
  killed=$((killed + 1))
  look
  start_agent
  if [ $((killed % 50)) = 0 ]; then echo "$killed kills, $raised limits were raised, $unknown unknown"; fi
done
at_least "limits stood above their floors" "$kills" $raised
is "nobody knew of" 0 $unknown
ooms=$(($(oom_kills) - before))

calm_api
touch /run/end
until_true 120 agent_ready
is "the agent is ready" 0 $?
until_true 120 at_floor storm $pods
is "all are back at their floors" 0 $?
lost=0
for i in $(seq 0 $((pods - 1))); do
  case $(pod_spec storm-$i) in *' 64') ;; *) lost=$((lost + 1)) ;; esac
done
stop_agent
echo "{\"kills\": $killed, \"raised\": $raised, \"unknown\": $unknown, \"floors_lost\": $lost," \
  "\"oom_kills_without_agent\": $ooms, \"seconds\": $(cut -d. -f1 /proc/uptime)}"
agent_checks_end
