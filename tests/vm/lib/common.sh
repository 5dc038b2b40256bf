# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
# What tests/vm/run and scripts/vm-packages share: where downloads live, which kernels are known,
# how an error is told. Sourced, never run; the caller sets `me` to the name it shows to the user.

# Kept outside every build tree, so that removing a build never means downloading again.
vm_cache="${PLIMSOLL_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or PLIMSOLL_CACHE}/.cache}/plimsoll}"

# Series that can be asked for, and the Debian suite that ships each.
vm_kernels=(6.1 6.12 7)
vm_suite_of() {
  case "$1" in
    6.1) echo bookworm ;;
    6.12) echo bookworm-backports ;;
    7) echo sid ;;
    *) return 1 ;;
  esac
}

note() { printf '%s: %s\n' "${me:?}" "$*" >&2; }

# vm_fail STATUS SENTENCE [CURE]
vm_fail() {
  note "$2"
  if [[ -n "${3:-}" ]]; then note "cure: $3"; fi
  exit "$1"
}
