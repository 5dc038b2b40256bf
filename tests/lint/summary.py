#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The last lines of scripts/test, from what ctest wrote: the end of what each failed test printed,
the ten tests that took longest, the names of all that did not pass, and the counts.

usage: summary.py JUNIT_XML CTEST_STATUS JUNIT_XML_ALONE
       summary.py --only-few-guests JUNIT_XML
The second file, if it is there, is of those that failed in the first, run again with nothing beside
them; the status is of the last run. The second form tells by its status whether that is worth while:
at most MOST_ALONE failed, all of them tests that boot a guest.
A test passed when ctest ran it and it ended well; it was skipped when it said so itself or is
disabled; everything else, a test that could not be started among them, failed.
"""
import pathlib
import re
import sys
import xml.etree.ElementTree


LINES_OF_ONE = 40
TESTS_SHOWN = 5
SLOWEST_SHOWN = 10
MOST_ALONE = 3
# What a test says that was one of several in a guest: ctest saw only its result being told.
IN_A_GUEST = re.compile(r"^vm: took ([0-9.]+) s and ([0-9.]+) s of CPU time in a guest", re.M)


def seconds(case):
    """How long it took, and where that was another time than ctest's, a word about it."""
    shared = IN_A_GUEST.search(case.findtext("system-out") or "")
    if shared:
        return float(shared.group(1)), f" (in a guest with others, {shared.group(2)} s of CPU time)"
    return float(case.get("time") or 0), ""


def verdict(case):
    status, skipped = case.get("status"), case.find("skipped")
    why = skipped.get("message", "") if skipped is not None else ""
    if status == "run" and case.find("failure") is None:
        return "passed", ""
    if status == "disabled":
        return "skipped", "disabled"
    if status == "notrun" and why.startswith("SKIP_"):
        # GoogleTest prints the reason in the line after the place; a script prints only that.
        said = (case.findtext("system-out") or "").strip().splitlines()
        places = [at for at, line in enumerate(said) if line.endswith(": Skipped")]
        reason = said[places[0] + 1] if places and places[0] + 1 < len(said) else " ".join(said[-2:])
        return "skipped", reason.strip()
    return "failed", why


def cases_of(junit):
    if not pathlib.Path(junit).is_file():
        return []
    return list(xml.etree.ElementTree.parse(junit).getroot().iter("testcase"))


def only_few_guests(junit):
    failed = [case.get("name") for case in cases_of(junit) if verdict(case)[0] == "failed"]
    return 0 < len(failed) <= MOST_ALONE and all(name.startswith("vm.") for name in failed)


def main():
    if sys.argv[1] == "--only-few-guests":
        sys.exit(0 if only_few_guests(sys.argv[2]) else 1)
    ctest_status, cases = int(sys.argv[2]), cases_of(sys.argv[1])
    alone = {case.get("name"): case for case in cases_of(sys.argv[3])}
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    earlier = 0
    verdicts = [(case, *verdict(case)) for case in cases]
    failed = [case for case, result, _ in verdicts if result == "failed"]
    for i, (case, result, _) in enumerate(verdicts):
        again = alone.get(case.get("name"))
        if result == "failed" and again is not None:
            verdicts[i] = (again, *verdict(again))
    for case in failed[:TESTS_SHOWN]:
        said = (case.findtext("system-out") or "").rstrip().splitlines()
        print(f"-- {case.get('name')}", *said[-LINES_OF_ONE:], sep="\n")
    for case, result, why in verdicts:
        counts[result] += 1
        earlier += result == "passed" and "vm: not run again: " in (case.findtext("system-out") or "")
        if result != "passed":
            print(f"{result}: {case.get('name')}" + (f" ({why})" if why else ""))
    for case in failed:
        again = alone.get(case.get("name"))
        if again is not None and verdict(again)[0] == "passed":
            print(f"passed alone, failed beside others (above): {case.get('name')}")
    # A guest of several is no test of its own.
    slowest = sorted(((*seconds(case), case.get("name")) for case in cases
                      if ".batch." not in case.get("name")), reverse=True)
    print("slowest:", *(f"{took:8.1f} s  {name}{word}"
                        for took, word, name in slowest[:SLOWEST_SHOWN]), sep="\n")
    if not counts["failed"] and (ctest_status or not counts["passed"]):
        # No tests found, a test program that could not be asked for its tests, ...
        print(f"failed: ctest itself ended with {ctest_status}, {counts['passed']} tests passed")
        counts["failed"] += 1
    if earlier:
        print(f"{earlier} of those passed were not booted again: same files, kernel and options as "
              "when they passed; scripts/test --again")
    line = f"{counts['passed']} passed, {counts['failed']} failed"
    print(line + (f", {counts['skipped']} skipped" if counts["skipped"] else ""))
    sys.exit(1 if counts["failed"] else 0)


main()
