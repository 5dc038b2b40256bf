#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clang-tidy over every source of ours in a build's compile commands, one per CPU at a time. Of
sources that the build compiles several at once, each is looked at alone.

usage: tidy_all.py CLANG_TIDY BUILD_DIR [SINCE]
With SINCE, a commit: only the sources that have changed since then.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time


def check(clang_tidy, alone, build, source):
    # GCC's own flags mean nothing to clang, which is what parses here.
    run = subprocess.run(
        [clang_tidy, "--quiet", "-p", str(alone), "--extra-arg=-Wno-unknown-warning-option",
         "--extra-arg=-Wno-everything", source],
        capture_output=True, text=True)
    # What it finds in generated code, on a way through ours, is bpftool's.
    found = re.findall(r"^(/[^:]*):\d+:\d+: error:", run.stdout, re.M)
    ours = not found or any(not pathlib.Path(name).is_relative_to(build) for name in found)
    return source, run.returncode if ours else 0, run.stdout


def one_by_one(entries):
    """The entries, with those of the sources instead of a file of CMake's that includes them."""
    for entry in entries:
        together = pathlib.Path(entry["file"])
        if together.parent.name != "Unity":
            yield entry
            continue
        for source in re.findall(r'^#include "(.*)"', together.read_text(encoding="utf-8"), re.M):
            yield entry | {"file": source,
                           "command": entry["command"].replace(f" -c {together}", f" -c {source}")}


def main():
    clang_tidy, build = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    commands = build / "compile_commands.json"
    if not commands.is_file():
        sys.exit(f"no {commands}: configure and build first")
    entries = list(one_by_one(json.loads(commands.read_text(encoding="utf-8"))))
    sources = sorted({entry["file"] for entry in entries
                      if not pathlib.Path(entry["file"]).is_relative_to(build)})
    if sys.argv[3:]:
        changed = subprocess.run(["git", "diff", "--name-only", sys.argv[3]], text=True,
                                 capture_output=True, check=True).stdout.split()
        changed = {str(pathlib.Path(name).resolve()) for name in changed}
        sources = [source for source in sources if source in changed]
        if not sources:
            print(f"clang-tidy: no source has changed since {sys.argv[3]}")
            return
    started, bad = time.monotonic(), 0
    with (tempfile.TemporaryDirectory() as alone,
          concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool):
        pathlib.Path(alone, commands.name).write_text(json.dumps(entries), encoding="utf-8")
        for source, status, text in pool.map(lambda s: check(clang_tidy, alone, build, s), sources):
            if status:
                bad += 1
                print(text.rstrip() or f"{source}: clang-tidy failed", flush=True)
    seconds = time.monotonic() - started
    print(f"clang-tidy: {len(sources)} sources, {bad} with findings, {seconds:.0f} s")
    sys.exit(1 if bad or not sources else 0)


main()
