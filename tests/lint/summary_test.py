#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What summary.py says of made-up results: which of them count, and which guests are run again."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

SUMMARY = pathlib.Path(__file__).parent / "summary.py"


def junit(**passed):
    """NAME=True or False; `__` stands for a dot."""
    cases = "".join(
        f'<testcase name="{name.replace("__", ".")}" time="1" status="{"run" if good else "fail"}">'
        + ("" if good else '<failure message=""/><system-out>what it said</system-out>')
        + "</testcase>"
        for name, good in passed.items())
    return f"<testsuite>{cases}</testsuite>"


class Summary(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.first, self.alone = (pathlib.Path(self.folder.name) / name for name in ("a", "b"))

    def say(self, first, alone=None, status=8):
        self.first.write_text(junit(**first))
        if alone is not None:
            self.alone.write_text(junit(**alone))
        done = subprocess.run([SUMMARY, self.first, str(status), self.alone],
                              stdout=subprocess.PIPE, text=True)
        return done.returncode, done.stdout

    def few(self, **first):
        self.first.write_text(junit(**first))
        return subprocess.run([SUMMARY, "--only-few-guests", self.first]).returncode == 0

    def test_all_passed(self):
        self.assertEqual(self.say({"a": True, "vm__b": True}, status=0)[0], 0)

    def test_failed(self):
        status, said = self.say({"a": False, "vm__b": True})
        self.assertEqual(status, 1)
        self.assertIn("1 passed, 1 failed", said)

    def test_passed_alone(self):
        status, said = self.say({"a": True, "vm__b": False}, {"vm__b": True}, status=0)
        self.assertEqual(status, 0)
        self.assertIn("2 passed, 0 failed", said)
        self.assertIn("passed alone, failed beside others (above): vm.b", said)
        self.assertIn("what it said", said)

    def test_failed_alone_too(self):
        status, said = self.say({"vm__b": False, "vm__c": False}, {"vm__b": False, "vm__c": True})
        self.assertEqual(status, 1)
        self.assertIn("1 passed, 1 failed", said)

    def test_ctest_itself_failed(self):
        self.assertEqual(self.say({"a": True}, status=8)[0], 1)

    def test_only_a_few_guests_are_run_again(self):
        self.assertTrue(self.few(a=True, vm__b=False, vm__c=False, vm__d=False))
        self.assertFalse(self.few(vm__a=False, vm__b=False, vm__c=False, vm__d=False))
        self.assertFalse(self.few(a=False, vm__b=False))
        self.assertFalse(self.few(a=True))


if __name__ == "__main__":
    sys.exit(unittest.main())
