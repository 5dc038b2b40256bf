#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each lint against a tree that breaks it: what passes a tree it should refuse is no check.

usage: selftest.py PART     PART is a part of scripts/lint, or `tests` for the configure step
Each case is a small clean tree with one change; the clean tree must pass, the changed one must
fail and say why.
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
APACHE, DUAL = "Apache-2.0", "GPL-2.0-only OR BSD-2-Clause"


def spdx(licence, comment="//"):
    # Put together here, so that this file names one licence: its own.
    return f"{comment} SPDX-License-" + f"Identifier: {licence}\n"


CLEAN = {
    "base/thing.h": spdx(APACHE) + "#pragma once\nint weigh();\n",
    "base/thing.cc": spdx(APACHE) + '#include "base/thing.h"\nint weigh() { return 1; }\n',
    "bpf/records.h": spdx(DUAL) + "#pragma once\nstruct pl_record {\n  int it;\n};\n",
    "bpf/state.h": spdx(DUAL) + '#pragma once\n#include "bpf/records.h"\n',
    "bpf/memory.bpf.c": spdx(DUAL) + '#include "bpf/state.h"\n',
    "bpf/loader.cc": spdx(APACHE) + '#include <bpf/libbpf.h>\n\n#include "memory.skel.h"\n',
    "agent/telemetry/log.h": spdx(APACHE) + "#pragma once\n",
    "agent/telemetry/log.cc": spdx(APACHE) + (
        '#include "agent/telemetry/log.h"\n\n#include <spdlog/spdlog.h>\n\n#include "base/thing.h"\n'),
    "agent/policy/plan.h": spdx(APACHE) + '#pragma once\n#include "base/thing.h"\n',
    "agent/policy/policy.h": spdx(APACHE) + '#pragma once\n#include "agent/policy/plan.h"\n',
    ".clang-tidy": (
        "Checks: >\n  -*,\n  modernize-use-override,\n  readability-identifier-naming\n"
        "WarningsAsErrors: '*'\nCheckOptions:\n"
        "  - { key: readability-identifier-naming.UnionCase, value: CamelCase }\n"),
    "tests/lint/canary.cc": spdx(APACHE) + (
        "struct Base {\n  virtual long weigh();\n};\nstruct Derived : Base {\n"
        "  long weigh();  // expect: modernize-use-override\n};\n"
        "union either {};  // expect: readability-identifier-naming\n"),
    "scripts/run": "#!/bin/bash\n" + spdx(APACHE, "#") + 'printf "%s\\n" "$1"\n',
}

CASES = {
    "format": [
        ("base/thing.cc", "{ return 1; }", "{return 1;}", "formatted"),
        ("bpf/records.h", "  int it;", "\tint it;", "formatted"),
    ],
    "layers": [
        ("base/thing.cc", '"base/thing.h"', '"bpf/records.h"', "base may not include bpf/records.h"),
        ("bpf/loader.cc", '"memory.skel.h"', '"agent/none.h"', "not a path"),
        ("agent/telemetry/log.cc", "spdlog/spdlog.h", "bpf/libbpf.h", "bpf/libbpf.h belongs to bpf"),
        ("agent/telemetry/log.cc", '"base/thing.h"', '"memory.skel.h"',
         "memory.skel.h belongs to bpf"),
        ("base/thing.cc", '"base/thing.h"', "<spdlog/spdlog.h>", "belongs to agent/telemetry"),
        ("agent/policy/plan.h", '"base/thing.h"', '"agent/telemetry/log.h"',
         "agent/policy may not include agent/telemetry/log.h"),
        ("agent/policy/plan.h", '"base/thing.h"', '"bpf/records.h"', "may not include bpf/records.h"),
        ("agent/policy/plan.h", '"base/thing.h"', '"agent/policy/policy.h"', "a circle"),
        ("agent/policy/plan_more.cc", None, spdx(APACHE), "no header of its name"),
        ("agent/loop.cc", None, spdx(APACHE), "beside the rooms"),
        ("base/thing.cc", '"base/thing.h"', "<curl/curl.h>", "belongs to kube"),
        ("base/thing.cc", '"base/thing.h"', "<nlohmann/json.hpp>", "belongs to agent/commands, agent/record"),
        ("base/thing.cc", "return 1", 'return getenv("HOME") != 0', "belongs to agent/commands"),
        ("base/thing.cc", '"base/thing.h"', '"thing.h"', "not a path from the repository's root"),
        ("base/thing.cc", "#include", "#include <string>\n#include", "base/thing.h comes first"),
        ("tests/base/thing_test.cc", None, spdx(APACHE) + "namespace plimsoll {}\n",
         "namespace ...::thing_test"),
        ("bpf/records.h", "struct", "#include <bpf/btf.h>\nstruct", "in a header"),
        ("base/thing.h", "#pragma once\n", "", "no #pragma once"),
        ("bpf/btf.h", None, spdx(DUAL) + "#pragma once\n", "hide it"),
    ],
    "spdx": [
        ("base/thing.cc", spdx(APACHE), "", 'licence is ""'),
        ("base/thing.cc", APACHE, DUAL, 'not "Apache-2.0"'),
        ("bpf/memory.bpf.c", DUAL, APACHE, f'not "{DUAL}"'),
        ("bpf/records.h", DUAL, APACHE, "bpf/records.h"),
        ("scripts/run", spdx(APACHE, "#"), "", "scripts/run"),
    ],
    "shell": [
        ("scripts/run", '"$1"', "$(ls $1) ]]", "scripts/run"),
    ],
    "canary": [
        (".clang-tidy", "  modernize-use-override,\n", "", "modernize-use-override did not fire"),
        (".clang-tidy", "WarningsAsErrors: '*'", "WarningsAsErrors: ''", "only a warning"),
        (".clang-tidy", "-*,", "-*,\n  google-runtime-int,", "google-runtime-int fired"),
        (".clang-tidy", "-*,", "-*,\n  mpi-*,", "mpi-* fires nowhere"),
        (".clang-tidy", "UnionCase, value: CamelCase", "UnionCase, value: lower_case",
         "did not fire"),
        ("tests/lint/canary.cc", "union either", "union Either", "breaks UnionCase"),
        ("tests/lint/canary.cc", "long weigh", "longer weigh", "not ours"),
    ],
    "tests": [
        ("base/thing_test.cc", None, spdx(APACHE), "base/thing_test.cc"),
        ("tests/deep/er/thing_test.cc", None, spdx(APACHE), "tests/deep/er/thing_test.cc"),
        ("tests/vm/lib/door_vmtest.cc", None, spdx(APACHE), "tests/vm/lib/door_vmtest.cc"),
        ("agent/decide_bench.cc", None, spdx(APACHE), "agent/decide_bench.cc"),
    ],
}


def plant(part, tree):
    for name, text in CLEAN.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text, encoding="utf-8")
    (tree / "scripts/run").chmod(0o755)
    if part == "tests":
        # The tree as it is; only its configure step is run.
        shutil.rmtree(tree)
        shutil.copytree(REPOSITORY, tree, symlinks=True,
                        ignore=shutil.ignore_patterns("build", ".git", ".cache"))


def run(part, tree):
    if part == "tests":
        command = ["cmake", "-G", "Ninja", "-S", tree, "-B", tree / "build",
                   "-DCMAKE_BUILD_TYPE=Debug"]
    else:
        command = [REPOSITORY / "scripts/lint", "--root", tree, f"--{part}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def main():
    part = sys.argv[1]
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        for name, old, new, why in [(None, None, None, None), *CASES[part]]:
            tree = pathlib.Path(folder) / "tree"
            shutil.rmtree(tree, ignore_errors=True)
            plant(part, tree)
            if name and old is None:
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                (tree / name).write_text(new, encoding="utf-8")
            elif name:
                text = (tree / name).read_text(encoding="utf-8")
                assert old in text, f"{name} does not hold {old!r}: the case is out of date"
                (tree / name).write_text(text.replace(old, new), encoding="utf-8")
            status, said = run(part, tree)
            if status == 77:
                print(said)
                sys.exit(77)
            if not name and status:
                problems.append(f"the clean tree is refused:\n{said}")
            elif name and (status == 0 or why not in said):
                problems.append(f"{name}, {old!r} -> {new!r}: status {status}, no '{why}' in:\n{said}")
    if problems:
        sys.exit("\n".join(problems))
    print(f"{part}: the clean tree passes, {len(CASES[part])} broken ones are refused")


main()
