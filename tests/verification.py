#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page of what was run whole: docs/verification.md.

verification.py write PAGE SUITE LOG SECONDS  fills the suite's section with the censuses of its log
                                              (tests/census.h), the commit, seed, date and machine
verification.py check PAGE                    says what the page lacks of what has to be shown

Exit status of check: 0 nothing is missing, 1 something is, 77 the page has no figures at all.
"""
import os
import re
import shutil
import subprocess
import sys
import time

LINE = re.compile(r"^census: (\w+) \| (.*) \| (\d+) of (\d+) (.*)$", re.M)
ROW = re.compile(r"^\| (.*) \| (\d+) \| (\d+) \| (.*) \|$", re.M)
WORLDS = (1, 2, 3, 4, 5, 8)
MEMORIES = ("heap", "ordinary memory")
LARGE = ("allreduce", "allreduce float16 average", "allreduce float16 adasum", "reducescatter", "broadcast", "allgather",
         "alltoall", "grouped allreduce", "sparse allreduce", "clipping by global norm")
# Which sections there have to be, with which rows at least, and the least sum of what was run.
WANTED = {
    "conformance": ([f"{n} of {n} ranks" for n in WORLDS], 1),
    "reproducible": ([f"{n} ranks" for n in WORLDS], 1000),
    "disagreements": ([f"{n} ranks as {what}" for n in range(2, 6) for what in ("threads", "processes")], 2000),
    "group_mismatch": ([f"{n} ranks" for n in range(2, 6)], 1000),
    "large": ([f"2 ranks, {memory}" for memory in MEMORIES], 2 * len(LARGE)),
}


def output_of(*command):
    """What a program prints; nothing where there is no such program (a minimal system has no git)."""
    if not shutil.which(command[0]):
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def machine():
    model = re.search(r"^Model name: *(.*)$", output_of("lscpu"), re.M)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return (f"{model.group(1) if model else os.uname().machine}, {os.cpu_count()} cores, {memory} GiB, "
            f"Linux {os.uname().release}, {output_of('gcc', '--version').partition(chr(10))[0] or 'no gcc'}")


def commit():
    changed = output_of("git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/verification.md")
    name = output_of("git", "rev-parse", "--short=12", "HEAD") or "unknown"
    return f"commit {name}{', and changes to it' if changed else ''}"


def borders(name):
    return f"<!-- begin {name} -->\n", f"<!-- end {name} -->"


def section(page, name):
    begin, end = (page.index(text) for text in borders(name))
    return begin + len(borders(name)[0]), end


def write(path, suite, log, seconds):
    with open(log, encoding="utf-8") as file:
        rows = [line for line in LINE.findall(file.read()) if line[0] == suite]
    if not rows:
        sys.exit(f"{log} has no census of {suite}")
    text = (f"{commit()}, seed {os.environ.get('RONDE_TEST_SEED', 'unknown')}, {time.strftime('%Y-%m-%d %H:%M')}, "
            f"{int(seconds)} s; {machine()}\n\n| ranks | run | there are | |\n|---|---:|---:|---|\n")
    text += "".join(f"| {where} | {run} | {exist} | {what} |\n" for _, where, run, exist, what in rows)
    run, exist = (sum(int(row[i]) for row in rows) for i in (2, 3))
    text += f"\nTogether {run} of {exist}.\n"
    with open(path, encoding="utf-8") as file:
        page = file.read()
    begin, end = section(page, suite)
    with open(path, "w", encoding="utf-8") as file:
        file.write(page[:begin] + text + page[end:])


def lacks(page, name):
    """What a section lacks, as lines."""
    ranks, least = WANTED[name]
    begin, end = section(page, name)
    text = page[begin:end]
    rows = ROW.findall(text)
    if not rows:
        return ["it has not been run: .ci/long"]
    missing = [f"nothing about {where}" for where in ranks if where not in [row[0] for row in rows]]
    missing += [f"{where}: only {run} of {exist} {what}" for where, run, exist, what in rows if run != exist]
    total = sum(int(row[1]) for row in rows)
    if total < least:
        missing.append(f"{total} were run, at least {least} are wanted")
    if not re.match(r"commit [0-9a-f]{7,40}, seed \d+, \d{4}-\d\d-\d\d \d\d:\d\d, \d+ s; ", text):
        missing.append("it does not say of which commit (without changes), with which seed and when")
    if name == "large":
        missing += lacks_large(rows)
    return missing


def lacks_large(rows):
    missing = []
    for where in WANTED["large"][0]:
        for operation in LARGE:
            sizes = [re.match(rf"{operation} of (\d+) elements$", what) for row, _, _, what in rows if row == where]
            if not any(size and int(size.group(1)) > 1 << 31 for size in sizes):
                missing.append(f"{where}: no {operation} of more than 2^31 elements")
    return missing


def check(path):
    with open(path, encoding="utf-8") as file:
        page = file.read()
    found = {name: lacks(page, name) for name in WANTED}
    if not ROW.search(page):
        print("nobody has run .ci/long yet")
        sys.exit(77)
    for name, lines in found.items():
        for line in lines:
            print(f"{path}: {name}: {line}")
    sys.exit(any(found.values()))


if sys.argv[1:2] == ["write"] and len(sys.argv) == 6:
    write(*sys.argv[2:])
elif sys.argv[1:2] == ["check"] and len(sys.argv) == 3:
    check(sys.argv[2])
else:
    sys.exit(__doc__)
