# SPDX-License-Identifier: Apache-2.0
# Leaves out of a kernel log what only says that the whole virtual machine stood still: an idle CPU
# that was "stuck" in its halt, and RCU stalls that were over when they were seen, in a log that has
# such a CPU. Nothing that runs in the guest can do the former.
/soft lockup .*\[swapper\// { stood_still = 1; next }
{ line[++lines] = $0 }
END {
  for (i = 1; i <= lines; i++) {
    over = 0
    for (j = i + 1; j <= lines && j <= i + 4; j++) {
      if (line[j] ~ /Stall ended before state dump start/) over = 1
    }
    if (stood_still && over && line[i] ~ /rcu: INFO: .* detected .*stall/) continue
    print line[i]
  }
}
