#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clang-tidy over every source of ours in a build's compile commands, one per CPU at a time.

usage: tidy_all.py CLANG_TIDY BUILD_DIR [SINCE]
With SINCE, a commit: only the sources that have changed since then.
"""
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import time


def check(clang_tidy, build, source):
    # GCC's own flags mean nothing to clang, which is what parses here.
    run = subprocess.run(
        [clang_tidy, "--quiet", "-p", str(build), "--extra-arg=-Wno-unknown-warning-option",
         "--extra-arg=-Wno-everything", source],
        capture_output=True, text=True)
    return source, run.returncode, run.stdout


def main():
    clang_tidy, build = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    commands = build / "compile_commands.json"
    if not commands.is_file():
        sys.exit(f"no {commands}: configure and build first")
    entries = json.loads(commands.read_text(encoding="utf-8"))
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
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for source, status, text in pool.map(lambda s: check(clang_tidy, build, s), sources):
            if status:
                bad += 1
                print(text.rstrip() or f"{source}: clang-tidy failed", flush=True)
    seconds = time.monotonic() - started
    print(f"clang-tidy: {len(sources)} sources, {bad} with findings, {seconds:.0f} s")
    sys.exit(1 if bad or not sources else 0)


main()
