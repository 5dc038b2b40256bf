#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# In the guest: the node agent with PODS pods. Times are those of the guest's clock. The last line
# is one JSON object; README.md says how each figure comes about.
# shellcheck source=../tests/vm/lib/checks
. /bin/checks
# shellcheck source=../tests/vm/lib/agent_node
. /bin/agent_node

pods=${PODS:-250}
rest=${REST:-180} # seconds
printf 'memory: {shrink_after: 5s}\n' >/tmp/config.yaml
ticks() { awk '{print $14 + $15}' /proc/$agent/stat; } # CPU time in hundredths
kib() { sed -n "s/^$1:[[:space:]]*\([0-9]*\) kB/\1/p" /proc/$agent/status; }
# said KEY: what the log says when all pods are known
said() { sed -n "s/.*all pods of the node are known.* $1=\([0-9.e+-]*\).*/\1/p" /tmp/agent.log; }

start_cluster
# As long as pods are: 10 kB each.
variables=$(seq 1 40 | sed 's/.*/{"name": "VARIABLE_&", "value": "some eighty characters, for the values that real pods are given are about as long"},/')
create_pods idle "$pods" 'sleep 100000' "$(echo "$variables" | tr -d '\n' | sed 's/,$//')"
settled() {
  sleep 2
  [ "$(ask $kubelet GET /fake/settled | tr -dc 0-9)" = "$pods" ]
}
until_true 600 settled
is "the pods run" 0 $?
ask $api POST /fake/clear-requests >/dev/null

# The agent has started when the list comes: what it takes from there on is its own.
fault '{"verb":"list","kind":"delay","delay_ms":5000}'
start_agent
begun() { grep -q 'the agent has started' /tmp/agent.log; }
until_true 60 begun
sleep 2
begin_ticks=$(ticks)
known() { [ -n "$(said armed)" ]; }
until_true 120 known
is "all are known" 0 $?
start_ticks=$(($(ticks) - begin_ticks))
ask $api POST /fake/clear-faults >/dev/null
is "all are tracked" $((pods * 2)) "$(said tracked)"
# Memory and CPU, each by a dry run of its own.
tried() {
  sleep 5
  [ "$(counted 'patch pods\/resize dry-run')" -ge $((2 * pods)) ]
}
until_true 300 tried
is "all were tried" 0 $?

# A scrape every 15 s, as Prometheus does by default.
scrapes() {
  scraped=0
  while [ $scraped -lt "$1" ]; do
    metrics >/dev/null
    sleep 15
    scraped=$((scraped + 15))
  done
}
scrapes 30
ask $api POST /fake/clear-requests >/dev/null
rest_ticks=$(ticks)
scrapes "$rest"
rest_ticks=$(($(ticks) - rest_ticks))
requests=$(ask $api GET /fake/requests | grep -o '"verb"' | wc -l)
watches=$(counted 'watch pods')
rss=$(kib VmRSS)
peak=$(kib VmHWM)
awk '/^[0-9a-f]+-[0-9a-f]+ /{n=$6; if (n == "") n = "none"} /^Rss:/{rss[n] += $2}
  END {for (n in rss) if (rss[n] > 100) print rss[n], n}' /proc/$agent/smaps | sort -rn >/tmp/smaps
stop_agent
cat /tmp/smaps
[ "$checks_failed" = 0 ] || agent_checks_end
echo "{\"pods\": $pods, \"armed\": $(said armed), \"list_to_armed_seconds\": $(said since_list_seconds)," \
  "\"list_to_armed_cpu_seconds\": $(awk "BEGIN {print $start_ticks / 100}"), \"rss_kib\": $rss," \
  "\"peak_rss_kib\": $peak, \"rest_seconds\": $rest, \"rest_requests\": $((requests - ${watches:-0}))," \
  "\"rest_cpu_seconds\": $(awk "BEGIN {print $rest_ticks / 100}")}"
