#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The node agent restarted in the middle of a burst, by SIGTERM and SIGKILL, with the API there and
# gone; and its configuration changed while it runs, as a ConfigMap changes.
# shellcheck source=lib/checks
. /bin/checks
# shellcheck source=lib/agent_node
. /bin/agent_node

pods=3
# swap YAML: what a kubelet does when a mounted ConfigMap changes.
swaps=0
swap() {
  swaps=$((swaps + 1))
  mkdir -p /run/map/..$swaps
  echo "$1" >/run/map/..$swaps/config.yaml
  ln -s ..$swaps /run/map/..data_tmp
  mv -T /run/map/..data_tmp /run/map/..data
  [ -e /run/map/config.yaml ] || ln -s ..data/config.yaml /run/map/config.yaml
}
swap 'memory: {shrink_after: 5s}'
config=/run/map/config.yaml
start_cluster
start_agent
until_true 120 agent_ready
is "the agent is ready" 0 $?

# Fills 100 MB, says so, and 60 MB more when /run/more is there; of a limit of 64 MiB.
# shellcheck disable=SC2016 # for the container's shell
burst='dd if=/dev/zero of=/dev/shm/$$ bs=1M count=95 2>/dev/null && touch /run/half.$$ && until [ -e /run/more ]; do read -t 0.1 _ <&3; done; dd if=/dev/zero of=/dev/shm/more.$$ bs=1M count=57 2>/dev/null; echo $? >/run/done.$$; rm /dev/shm/$$ /dev/shm/more.$$; true'
halves() { [ "$(find /run -name 'half.*' | wc -l)" = $pods ]; }
all_done() { [ "$(cat /run/done.* 2>/dev/null | wc -l)" = $pods ]; }
# interrupted NAME SIGNAL
interrupted() {
  rm -f /run/half.* /run/done.* /run/more
  before=$(oom_kills)
  touch /run/go
  until_true 120 halves
  is "$1: all are half way" 0 $?
  kill -"$2" $agent
  wait $agent 2>/dev/null
  start_agent
  until_true 120 tracked $((pods * 2))
  is "$1: the next agent watches them" 0 $?
  touch /run/more
  until_true 120 all_done
  is "$1: all have ended their work" 0 $?
  is "$1: all of it well" $pods "$(cat /run/done.* 2>/dev/null | grep -cx 0)"
  is "$1: nobody was killed" 0 $(($(oom_kills) - before))
}

create_stormers term $pods "$burst"
interrupted term TERM
until_true 120 at_floor term $pods
is "term: all are back at their floors" 0 $?
remove_pods term $pods

create_stormers kill $pods "$burst"
interrupted kill KILL
until_true 120 at_floor kill $pods
is "kill: all are back at their floors" 0 $?
remove_pods kill $pods

# ---- the configuration
generation() { [ "$(metric plimsoll_config_generation)" = "$1" ]; }
refused() { [ "$(metric plimsoll_config_reload_failures_total)" = "$1" ]; }
swap 'memory: {shrink_after: 5s}
pods: {ceiling: 1.5}'
until_true 120 generation 2
is "a swapped file is in force" 0 $?
create_stormers narrow 1 "$(load 150000000)"
before=$(oom_kills)
touch /run/go
killed() { [ "$(oom_kills)" -gt "$before" ]; }
until_true 120 killed
is "its ceiling holds" 0 $?
is "the reaction thread is real-time, and the metric says so" 1 "$(metric plimsoll_reaction_realtime)"
remove_pods narrow 1
swap 'memory: {shrink_after: 5s}
pods: {ceiling: lots}'
until_true 120 refused 1
is "a bad file is counted" 0 $?
is "and the last good one stays" 2 "$(metric plimsoll_config_generation)"
is "and the metric says so" 0 "$(metric plimsoll_config_last_reload_successful)"
says "and the log says where" 'config.yaml:2: pods.ceiling' /tmp/agent.log
swap 'memory: {shrink_after: 5s}
pods: {ceiling: 8}'
until_true 120 generation 3
is "the next good one is in force" 0 $?
create_stormers wide 1 "$(load 150000000)"
storm wide 1
remove_pods wide 1
stop_agent
agent_checks_end
