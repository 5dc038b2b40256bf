#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Announced work of a pod: its limit is raised through the API when a command begins, stays while it
# runs, also for an agent that is started in the middle of it, and is given back after its end. Of a
# command without a size, what it needed is known the next time, also to the next agent.
# shellcheck source=lib/checks
. /bin/checks
# shellcheck source=lib/agent_node
. /bin/agent_node

printf 'memory: {shrink_after: 5s}\npods: {ceiling: 16}\n' >$config
mkdir -p /tmp/bin
# Needs 192 MiB when /run/need is there, and ends when /run/finish is.
cat >/tmp/bin/make <<'EOF'
#!/bin/sh
until [ -e /run/need ]; do read -t 0.1 _ <&3; done
storm-load touch --bytes 192Mi --result /dev/null
echo $? >/run/done.$$
until [ -e /run/finish ]; do read -t 0.1 _ <&3; done
EOF
cp /tmp/bin/make /tmp/bin/compile
chmod +x /tmp/bin/*

# order COMMAND: the container's shell starts it.
order() {
  rm -f /run/need /run/finish /run/done.*
  echo "$1" >/run/order.new
  mv /run/order.new /run/order
}
running() { [ "$(metric plimsoll_announced_running)" = "$1" ]; }
learned() { [ "$(metric plimsoll_announced_learned)" = "$1" ]; }
# grown MIB: its spec says at least that, and container and slice say the same.
grown() {
  grown_spec=$(pod_spec web-0)
  [ "${grown_spec#* }" -ge "$1" ] 2>/dev/null && agree web 1
}
grown_ahead() { until_true 120 grown "$1"; }
has_done() { [ -n "$(cat /run/done.* 2>/dev/null)" ]; }
# works NAME: what is needed is there, and nobody was killed for it.
works() {
  works_kills=$(oom_kills)
  touch /run/need
  until_true 120 has_done
  is "$1: has worked" 0 "$(cat /run/done.*)"
  is "$1: nobody was killed" 0 $(($(oom_kills) - works_kills))
}
given_back() {
  touch /run/finish
  until_true 120 running 0
  is "$1: has ended" 0 $?
  until_true 120 at_floor web 1
  is "$1: is given back" 0 $?
}

start_cluster
start_agent
until_true 120 agent_ready
is "the agent is ready" 0 $?
annotations=', "plimsoll.dev/announce": "make=256Mi,compile"'
create_pods web-0 1 'until [ -e /run/end ]; do if [ -e /run/order ] && mv /run/order /run/taken 2>/dev/null; then sh /run/taken; fi; read -t 0.1 _ <&3; done'
until_true 120 tracked 2
is "the pod is watched" 0 $?
is "nothing is announced" 0 "$(metric plimsoll_announced_running)"
until_true 120 at_floor web 1
is "it has what it declares" 0 $?

# ---- a size that the author knows
order /tmp/bin/make
grown_ahead 256
is "make: raised before it is needed, in the spec, too" 0 $?
until_true 120 running 1 # metrics are of the last tick
is "make: runs" 0 $?
at_least "make: the reason is announced" 1 "$(metric 'plimsoll_wishes_total{reason="announced"}')"
plimsoll explain default/web-0 >/tmp/explained
says "make: explain says what began" 'command_begins.*make' /tmp/explained
says "make: explain says what is announced" 'announces make: 256' /tmp/explained

kill -9 $agent
wait $agent 2>/dev/null
start_agent
until_true 120 tracked 2
is "the next agent watches the pod" 0 $?
until_true 120 running 1
is "the next agent knows what runs" 0 $?
sleep 9 # longer than a limit that nobody needs is left alone
grown 256
is "make: the limit stays while it runs" 0 $?
works make
given_back make
is "make: nothing is learned of what was not seen to begin" 0 "$(metric plimsoll_announced_learned)"

# ---- one that is learned
order /tmp/bin/compile
until_true 120 running 1
is "compile: runs" 0 $?
works compile
given_back compile
until_true 120 learned 1
is "compile: is learned" 0 $?
stop_agent
says "compile: is on disk" '"command":"compile"' /var/lib/plimsoll/floors
start_agent
until_true 120 tracked 2
is "the third agent watches the pod" 0 $?
order /tmp/bin/compile
grown_ahead 200
is "compile: the second time raised before it is needed" 0 $?
works "compile again"
given_back "compile again"

# ---- one that cannot be read
annotations=', "plimsoll.dev/announce": "/usr/bin/make"'
create_pods bad 1 'until [ -e /run/end ]; do read -t 0.1 _ <&3; done'
told() { ask $api GET /api/v1/namespaces/default/events | grep -q 'usr/bin/make.*last part of a path'; }
until_true 120 told
is "a bad list is an Event with what is allowed" 0 $?
ask $api DELETE /api/v1/namespaces/default/pods/bad >/dev/null
remove_pods web 1
stop_agent
agent_checks_end
