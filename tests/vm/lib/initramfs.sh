# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Builds the guest's file system: busybox, our init, what the caller adds and the libraries that it
# is linked to, packed as an uncompressed newc cpio (under TCG unpacking costs more than copying).

# quote WORD: the word as a POSIX shell literal.
quote() { printf "'%s'" "${1//\'/\'\\\'\'}"; }

# Hard links cost nothing; another file system or owner makes them copies.
copy_tree() { cp -al "$1" "$2" 2>/dev/null || cp -a --reflink=auto "$1" "$2"; }

# stage_new STAGE: an empty guest tree. One set of directories, as in today's distributions.
stage_new() {
  local dir
  mkdir -p "$1"/usr/{bin,sbin,lib,lib64,local/bin} "$1"/{dev,etc,proc,root,run,sys,tmp,vm,var/tmp}
  for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$1/$dir"; done
  ln -s ../run "$1/var/run"
  chmod 1777 "$1/tmp" "$1/var/tmp"
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$1/etc/passwd"
  printf 'root:x:0:\ntty:x:5:\nnogroup:x:65534:\n' >"$1/etc/group"
  printf '127.0.0.1 localhost plimsoll-vm\n::1 localhost\n' >"$1/etc/hosts"
}

# stage_add STAGE SRC DST
stage_add() {
  local stage="$1" src="$2" dst="$3"
  if [[ -d "$src" ]]; then
    mkdir -p "$stage/$dst"
    copy_tree "$src/." "$stage/$dst/"
  else
    [[ "$dst" != */ ]] || dst="$dst$(basename "$src")"
    mkdir -p "$stage/$(dirname "$dst")"
    rm -f "$stage/$dst"
    copy_tree "$(realpath "$src")" "$stage/$dst"
  fi
}

# stage_libraries STAGE SRC...: the loader and libraries of every ELF file at or under SRC, at the
# paths where the host's loader finds them.
stage_libraries() {
  local stage="$1" src path
  shift
  local candidates=()
  for src in "$@"; do
    while IFS= read -r -d '' path; do candidates+=("$path"); done < <(
      find -L "$src" -type f \( -perm /111 -o -name '*.so*' \) -print0)
  done
  ((${#candidates[@]})) || return 0
  local linked missing
  linked="$(printf '%s\0' "${candidates[@]}" | xargs -0 ldd 2>/dev/null)" || true
  missing="$(awk '/=> not found/ {print $1}' <<<"$linked" | sort -u | tr '\n' ' ')"
  if [[ -n "$missing" ]]; then note "libraries not found on this host: $missing"; fi
  while IFS= read -r path; do
    [[ -e "$stage/$path" ]] || stage_add "$stage" "$path" "$path"
  done < <(awk '$2 == "=>" && $3 ~ /^\// {print $3} $1 ~ /^\// && $2 ~ /^\(0x/ {print $1}' \
    <<<"$linked" | sort -u)
}

# stage_pack STAGE IMAGE BUSYBOX
stage_pack() {
  (cd "$1" && find . -mindepth 1 -print0 | "$3" cpio -0 -o -H newc -R 0:0 2>/dev/null) >"$2"
}
