#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The node agent with API servers of five versions: limits are raised the way each takes it, and
# brought down again where it takes that.
# shellcheck source=lib/checks
. /bin/checks
# shellcheck source=lib/agent_node
. /bin/agent_node

pods=2
printf 'memory: {shrink_after: 3s}\n' >/tmp/config.yaml
# raised NAME COUNT: spec and cgroups agree on a limit above the floor.
raised() {
  for i in $(seq 0 $(($2 - 1))); do
    case $(pod_spec "$1-$i") in *' 64' | '') return 1 ;; esac
  done
  agree "$1" "$2"
}

for version in 1.27 1.32 1.33 1.34 1.36; do
  name=v$(echo $version | tr -d .)
  start_cluster --version $version
  path='patch pods\/resize'
  if [ $version = 1.27 ]; then
    path='patch pods' # itself
  fi
  start_agent
  until_true 120 agent_ready
  is "$version: the agent is ready" 0 $?
  create_stormers "$name" $pods "$(load 150000000)"
  ask $api POST /fake/clear-requests >/dev/null
  storm "$name" $pods
  patched() { [ "$(counted "$path")" -ge 1 ]; }
  until_true 120 patched # the grants of a burst go in one
  is "$version: PATCHes" 0 $?
  if [ $version = 1.33 ]; then
    sleep 10 # in which the others would lower it
    until_true 120 raised "$name" $pods
    is "$version: spec and cgroups agree, and stay raised" 0 $?
  else
    until_true 120 at_floor "$name" $pods
    is "$version: spec and cgroups are back at their floors" 0 $?
  fi
  remove_pods "$name" $pods
  stop_agent
  stop_cluster
done
agent_checks_end
