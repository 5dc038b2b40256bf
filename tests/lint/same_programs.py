#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two BPF objects of one source offer the kernel the same: programs, maps, sections, BTF."""
import re
import subprocess
import sys


def offers(path):
    text = subprocess.run(
        ["llvm-readelf", "--sections", "--symbols", "--wide", path],
        check=True, capture_output=True, text=True).stdout
    sections = set(re.findall(r"^\s*\[\s*\d+\]\s+([\w./+-]+)\s+(?:PROGBITS|NOBITS)", text, re.M))
    symbols = set(re.findall(r"(?:FUNC|OBJECT)\s+GLOBAL\s+\w+\s+\d+\s+(\S+)$", text, re.M))
    return sections, symbols


def main():
    _, x86, arm64 = sys.argv
    one, other = offers(x86), offers(arm64)
    for required in (".BTF", "license"):
        if required not in one[0]:
            sys.exit(f"{x86}: no section {required}")
    if not one[1]:
        sys.exit(f"{x86}: no program and no map")
    for kind, left, right in zip(("sections", "symbols"), one, other):
        if left != right:
            sys.exit(f"{kind} differ: x86 only {left - right}, arm64 only {right - left}")
    print(f"{len(one[0])} sections and {len(one[1])} symbols, the same on x86 and arm64")


main()
