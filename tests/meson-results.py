#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns meson's testlog.json into the lines that tests/lib.sh counts.

usage: meson-results.py TESTLOG LINES-OF-OUTPUT
A failed test's output is printed before its line; a skipped test's last line is the reason. Cases
that a passed test has skipped (tests/skip.h) come after its line, as "skip TEST/CASE - REASON"; one
that skips in each turn of a loop is one skip.
"""
import json
import sys

SKIPPED = "skip "
STATES = {"OK": "ok", "EXPECTEDFAIL": "ok", "SKIP": "skip"}


def main():
    path, keep = sys.argv[1], int(sys.argv[2])
    with open(path, encoding="utf-8") as log:
        tests = [json.loads(line) for line in log]
    for test in tests:
        name = test["name"].split(" / ")[-1].replace(" ", "-")
        state = STATES.get(test["result"], "not ok")
        output = (test.get("stdout") or "") + (test.get("stderr") or "")
        lines = output.rstrip().splitlines()
        if state == "not ok":
            print(f"---- the last lines of {name}:")
            print("\n".join("  " + line for line in lines[-keep:]))
            print(f"not ok {name} - {test['result'].lower()}, status {test['returncode']}, "
                  f"{test['duration']:.0f} s")
        elif state == "skip":
            print(f"skip {name} - {lines[-1].strip() if lines else 'no reason given'}")
        else:
            print(f"ok {name} - {test['duration']:.1f} s")
            said = (test.get("stdout") or "").splitlines()
            for line in dict.fromkeys(line for line in said if line.startswith(SKIPPED)):
                print(f"{SKIPPED}{name}/{line[len(SKIPPED):]}")


main()
