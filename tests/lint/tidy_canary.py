#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Proves that .clang-tidy does what it says: runs it over canary.cc and compares.

Every line of the canary fires exactly the checks its `// expect:` comment names, each as an error;
every entry of Checks fires somewhere; every naming rule that is configured fires somewhere.
usage: tidy_canary.py CLANG_TIDY CONFIG CANARY
"""
import collections
import fnmatch
import re
import subprocess
import sys

NAMING_RULE = re.compile(r"readability-identifier-naming\.(\w+?)Case\b")


def expected(canary):
    lines = collections.defaultdict(set)
    for number, line in enumerate(open(canary, encoding="utf-8"), 1):
        if "  // expect: " in line:
            lines[number] = set(line.split("// expect: ")[1].split())
    return lines


def main():
    clang_tidy, config, canary = sys.argv[1:]
    run = subprocess.run(
        [clang_tidy, "--quiet", f"--config-file={config}", canary, "--", "-std=c++20"],
        capture_output=True, text=True)
    fired, styles, problems = collections.defaultdict(set), set(), []
    for line in run.stdout.splitlines():
        found = re.match(r"(?:.*?:(\d+):\d+: )?(error|warning): (.*) \[([^]]+)\]$", line)
        if not found:
            continue
        number, level, text, names = found.groups()
        checks = set(names.split(",")) - {"-warnings-as-errors"}
        if level != "error":
            problems.append(f"only a warning: {line}")
        if number is None or any(check.startswith("clang-diagnostic") for check in checks):
            problems.append(f"not ours: {line}")
        else:
            fired[int(number)] |= checks
        style = re.match(r"invalid case style for ([\w ]+) '", text)
        if style:
            styles.add(style.group(1).replace(" ", ""))

    wanted = expected(canary)
    for number in sorted(set(fired) | set(wanted)):
        for check in sorted(wanted[number] - fired[number]):
            problems.append(f"{canary}:{number}: {check} did not fire")
        for check in sorted(fired[number] - wanted[number]):
            problems.append(f"{canary}:{number}: {check} fired and is not expected")

    text = open(config, encoding="utf-8").read()
    entries = re.search(r"^Checks: >\n((?:  .*\n)+)", text, re.M).group(1)
    everything = set().union(*fired.values()) if fired else set()
    entries = [entry for entry in re.split(r"[\s,]+", entries) if entry and entry[0] != "-"]
    for entry in entries:
        if not any(fnmatch.fnmatchcase(check, entry) for check in everything):
            problems.append(f"{config}: {entry} fires nowhere in the canary")
    for rule in NAMING_RULE.findall(text):
        if rule.lower() not in styles:
            problems.append(f"{config}: no name in the canary breaks {rule}Case")

    if problems:
        sys.exit("\n".join(problems))
    print(f"{len(entries)} entries and {len(styles)} naming rules fire, {len(everything)} checks")


main()
