#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A container that may not grow is killed as soon as without Plimsoll: from its last progress to its
# death, interleaved in one boot. On a host that does nothing else that is at most 10 ms more.
# shellcheck source=lib/checks
. /bin/checks

pairs=9
printf 'budget: {limit: 0}\n' >/tmp/config.yaml
stall() { sed -n 's/.*"stall_ms":\([0-9.]*\).*/\1/p' "$1"; }
median_of() { sort -n "$1" | sed -n "$(((pairs + 1) / 2))p"; }
: >/tmp/without
: >/tmp/with
grants=0 holds=0 pair=0
while [ $pair -lt "$pairs" ]; do
  rm -f /tmp/result
  plain 64M storm-load touch --bytes 128Mi --supervise --result /tmp/result
  stall /tmp/result >>/tmp/without
  rm -f /tmp/result
  plimsoll run --config /tmp/config.yaml --memory 64Mi --memory-ceiling 1Gi --quiet \
    --report /tmp/report -- storm-load touch --bytes 128Mi --supervise --result /tmp/result
  stall /tmp/result >>/tmp/with
  grants=$((grants + $(value grants_total /tmp/report)))
  holds=$((holds + $(value held /tmp/report)))
  pair=$((pair + 1))
done
is "denied: all are killed without" "$pairs" "$(wc -l </tmp/without)"
is "denied: all are killed with" "$pairs" "$(wc -l </tmp/with)"
is "denied: grants" 0 $grants
is "denied: holds" 0 $holds
without=$(median_of /tmp/without)
with=$(median_of /tmp/with)
echo "# last progress to death: $without ms without, $with ms with (medians of $pairs)"
delay=$(awk -v a="$with" -v b="$without" 'BEGIN { printf "%d\n", (a - b) + 0.999 }')
at_most "denied: milliseconds that the kill comes later" 50 "$delay"
checks_end
