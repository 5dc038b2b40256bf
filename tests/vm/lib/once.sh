# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154 # settings are variables of tests/vm/run
# A run that passed is not made again while nothing that it depends on has changed: what is in the
# guest, the harness, the kernel, QEMU and the options. Kept beside the kernels, outside every build.

# harness_key WORD...: the harness itself; WORDs say kernel and QEMU, with their versions.
harness_key() {
  {
    (cd "$vm_dir" && sha256sum run init lib/*)
    printf '%s\n' "$@"
  } | sha256sum | cut -d' ' -f1
}

# once_key STAGE: one word that stands for all of that.
once_key() {
  {
    (cd "$1" && find . -path ./vm/settings -prune -o -type f -print0 | sort -z | xargs -0 sha256sum)
    (cd "$1" && find . -type l -printf '%p %l\n' -o -type f -perm /111 -printf '%p\n' | sort)
    harness_key "$packages"
    printf '%s\n' "$memory" "$cpus" "$append" "$icount" "$strict" "$seconds" \
      ${gets[@]+"${gets[@]%%:*}"}
  } | sha256sum | cut -d' ' -f1
}

once_has_passed() { [[ -e "$vm_cache/passed/$1" && -z "${PLIMSOLL_AGAIN:-}" ]]; }

# once_passed KEY: ends the script when a run of this key has passed, or has been made in the guest of
# several (tests/vm/batch) and not been told yet: it is told once.
once_passed() {
  local told="$vm_cache/told/$1" status seconds used
  if [[ -e "$told.status" ]]; then
    read -r status seconds used <"$told.status"
    cat "$told.out"
    rm -f "$told.out" "$told.status"
    note "took $seconds s and $used s of CPU time in a guest with others"
    exit "$status"
  fi
  once_has_passed "$1" || return 0
  note "not run again: passed with the same files on $(date -r "$vm_cache/passed/$1" '+%F %T')"
  exit 0
}

# once_note KEY: it has passed now. What was not asked for in a month is forgotten.
once_note() {
  mkdir -p "$vm_cache/passed" && : >"$vm_cache/passed/$1"
  find "$vm_cache/passed" -type f -mtime +30 -delete
}
