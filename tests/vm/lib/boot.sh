# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # settings and clean-up are variables of tests/vm/run
# Starts QEMU, follows what the guest's init reports on its fourth serial line, and turns the end of
# it all into one exit status.

alarms="$vm_dir/lib/alarms"

# What was seen so far of this boot: none, ready, running, exited.
phase=none
status=125

# Opens: $report (the guest's reports, end of file when QEMU ends). Sets qemu_pid, cat_pids.
start_qemu() {
  local accel=(-accel "tcg,thread=multi") tsc_khz=1000000
  if $icount; then
    accel=(-accel "tcg,thread=single" -icount "shift=0,sleep=off")
  else
    # Where the host cannot tell, the guest measures.
    tsc_khz="$("$vm_dir/lib/tsc_khz" 2>/dev/null)" || tsc_khz=''
  fi
  # Without what costs an emulator time and tells a test nothing: five levels of page tables, string
  # operations byte by byte, and a check of each access to a program's memory.
  local cpu="max,-la57,-erms,-fsrm,-smap"
  local parameters="console=ttyS0 quiet panic=-1 oops=panic log_buf_len=4M"
  parameters+=" tsc=reliable no_timer_check${tsc_khz:+ tsc_early_khz=$tsc_khz}"
  parameters+=" cgroup_no_v1=all psi=1"
  parameters+=" rcupdate.rcu_cpu_stall_timeout=${PLIMSOLL_VM_RCU_STALL_SECONDS:-10}"
  parameters+=" rdinit=/init$append"
  local stdout=stdio with_parent=()
  if type -p setpriv >/dev/null; then with_parent=(setpriv --pdeathsig KILL --); fi
  : >"$console"
  # QEMU makes the files it writes to non-blocking, which the caller's own must not become: pipes.
  exec {to_stdout}> >(exec cat)
  cat_pids=($!)
  exec {to_stderr}> >(exec cat >&2)
  cat_pids+=($!)
  exec {caller_stdin}<&0 {caller_stdout}>&1
  if ((shell)); then
    stdout="stdio,id=out,signal=off"
    if [[ -t 0 ]]; then terminal="$(stty -g)"; fi
  else
    stdout="file,id=out,path=/dev/fd/$to_stdout"
  fi
  exec {report}< <(
    exec {reports}>&1 1>&"$caller_stdout"
    if ((shell)); then exec <&"$caller_stdin"; else exec </dev/null; fi
    # Should this script be killed with no chance to clean up, QEMU goes with it.
    exec ${with_parent[@]+"${with_parent[@]}"} "$qemu" \
      -nodefaults -no-user-config -display none -vga none -no-reboot -machine pc,hpet=off \
      "${accel[@]}" -cpu "$cpu" -smp "$cpus" -m "$memory" -kernel "$vmlinuz" -initrd "$work/initrd" \
      -append "$parameters" \
      -chardev "file,id=console,path=$console,append=on" -serial chardev:console \
      -chardev "$stdout" -serial chardev:out \
      -chardev "file,id=err,path=/dev/fd/$to_stderr" -serial chardev:err \
      -chardev "file,id=report,path=/dev/fd/$reports" -serial chardev:report \
      2>"$work/qemu.log"
  )
  qemu_pid=$!
  exec {to_stdout}>&- {to_stderr}>&- {caller_stdin}<&- {caller_stdout}>&-
}

stop_qemu() {
  kill -9 "$qemu_pid" 2>/dev/null || true
  wait "$qemu_pid" 2>/dev/null || true
  qemu_pid=''
}

# take_file BYTES DESTINATION: the bytes leave the line even if they cannot be put there.
take_file() {
  head -c "$1" <&"$report" >"$work/got"
  [[ "$(stat -c %s "$work/got")" == "$1" ]] && cp "$work/got" "$2"
}

# qemu_hundredths: the CPU time that QEMU has used, in hundredths of a second.
qemu_hundredths() { awk '{sub(/.*\) /, ""); print $12 + $13}' "/proc/$qemu_pid/stat" || echo 0; }

# keep_result NAME STATUS SECONDS BYTES: what one test of several came to, into the directory.
used_before=0
keep_result() {
  local used
  used="$(qemu_hundredths)"
  head -c "$4" <&"$report" >"$results/$1.out"
  echo "$2 $3 $(((used - used_before) / 100)).$(((used - used_before) / 10 % 10))" \
    >"$results/$1.status"
  used_before="$used"
}

# Follows one boot to its end. Returns 1 if it timed out, else 0; `phase` says how far it came.
follow() {
  local deadline=$((SECONDS + ${PLIMSOLL_VM_BOOT_SECONDS:-120})) word rest started=$EPOCHREALTIME
  local index bytes left
  while :; do
    left=$((deadline - SECONDS))
    ((left > 0)) || return 1
    # Status above 128: the time of `read` is up; else end of file.
    if IFS=' ' read -r -t "$left" -u "$report" word rest; then :; else
      if (($? > 128)); then return 1; fi
      return 0
    fi
    case "$word" in
      ready)
        phase=ready deadline=$((SECONDS + seconds))
        rm -f "$work/initrd" ;;
      start)
        phase=running
        used_before="$(qemu_hundredths)"
        if $verbose; then
          note "at the command after $(awk "BEGIN{printf \"%.1f\", $EPOCHREALTIME - $started}") s"
        fi ;;
      result)
        # shellcheck disable=SC2086 # four words
        keep_result $rest
        deadline=$((SECONDS + seconds)) ;;
      exit) phase=exited status="$rest" deadline=$((SECONDS + 120)) ;;
      log)
        { echo "--- kernel log since the command started ---"
          head -c "$rest" <&"$report"; } >>"$console" ;;
      file)
        index="${rest%% *}" bytes="${rest##* }"
        take_file "$bytes" "${gets[index]#*:}" ||
          { note "--get: could not write ${gets[index]#*:}"; lost=true; } ;;
      nofile) note "--get: the guest has no file ${gets[rest]%%:*}"; lost=true ;;
      end) phase=ended ;;
    esac
  done
}

boot_and_report() {
  local attempt timed_out=false lost=false
  for attempt in 1 2 3; do
    phase=none timed_out=false
    start_qemu
    follow || timed_out=true
    stop_qemu
    exec {report}<&-
    # What is still in the pipes reaches the caller before the exit status does.
    wait "${cat_pids[@]}" || true
    [[ "$phase" == none ]] || break
    if [[ -s "$work/qemu.log" && ! -s "$console" ]] && ! $timed_out; then
      cat "$work/qemu.log" >&2
      vm_fail 125 "QEMU did not start"
    fi
    mv "$console" "$console.boot$attempt"
    note "boot $attempt of 3 ended before the guest's first line; console: $console.boot$attempt"
  done

  local complaints='' result="$status"
  if [[ -f "$console" ]]; then
    # Up to the mark it is the boot; the log at the end repeats lines of the live console.
    complaints="$(sed -n '/plimsoll-vm: the command starts/,$p' "$console" | tr -d '\r' |
      awk -f "$vm_dir/lib/complaints.awk" | grep -aE -f "$alarms" | awk '!seen[$0]++' || true)"
  fi
  case "$phase" in
    none) result=126; note "the guest never came up" ;;
    exited | ended) ;;
    *)
      if ! $timed_out; then result=126; note "the guest's kernel died while the command ran"
      elif [[ -n "$complaints" ]]; then result=126; note "the guest's kernel hung"
      else result=124; note "the command did not end within $seconds s"; fi ;;
  esac
  if [[ "$phase" == exited ]]; then
    result=126
    note "the guest died after the command ended ($status)"
  fi
  if $lost && ((result == 0)); then result=125; fi
  if [[ -n "$complaints" ]]; then
    while IFS= read -r line; do note "console: $line"; done <<<"$complaints"
    if $strict && ((result != 124)); then result=126; fi
  fi
  if ((result)); then
    if [[ -f "$console" ]]; then note "status $result; kernel console: $console"; fi
  else
    $keep_console || rm -f "$console"
    if $once; then once_note "$key"; fi
  fi
  exit "$result"
}
