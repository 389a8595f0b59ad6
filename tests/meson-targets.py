#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the files that the tests of a build folder need, for ninja, one a line.

usage: meson introspect --tests --targets FOLDER | meson-targets.py FOLDER [SUITE-LEFT-OUT...]
"""
import json
import os
import sys


def main():
    folder, left_out = os.path.realpath(sys.argv[1]), set(sys.argv[2:])
    said = json.load(sys.stdin)
    files = {target["id"]: target["filename"] for target in said["targets"]}
    needed = set()
    for test in said["tests"]:
        suites = {suite.split(":")[-1] for suite in test["suite"]}
        if not suites & left_out:
            needed.update(file for target in test["depends"] for file in files[target])
    print("\n".join(sorted(os.path.relpath(file, folder) for file in needed)))


main()
