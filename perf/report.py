#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns what perf/run.sh measured into the tables and plots of docs/performance.md.

report.py machine MPIRUN   prints what machine this is
report.py plots FOLDER     draws FOLDER/*.svg from FOLDER/*.csv
report.py page FOLDER PAGE fills PAGE with tables: what stands between "<!-- begin NAME -->" and
                           "<!-- end NAME -->" is replaced; the text around it is left alone
report.py explained PAGE   fails if a goal that is not met has no row that says what misses it, or one that says nothing
                           does although no run reaches it

A figure is the median over the runs of the program; a ratio is taken within each run first.
"""
import os
import re
import subprocess
import sys

from bounds import ALL_OF_IT, bounds_table, memcpy_text, missed_table
from plots import plots
from tables import (
    KIB,
    MIB,
    Data,
    by_size,
    large_table,
    hosts_table,
    latency_table,
    line_text,
    number,
    others_table,
    size_text,
    step_table,
    table,
    text_of,
    training,
    training_faster,
    training_table,
    turns_table,
)


def extreme(data, pick, who, below, memory, least, most=1 << 62):
    """The worst ratio over sizes and placements, where it is, and the worst of each run."""
    found, runs = [], []
    for placement in ("out-of-place", "in-place"):
        for size in data.sizes(memory=memory, contestant="ronde", command="allreduce"):
            if least <= size <= most:
                key = dict(memory=memory, bytes=size, placement=placement)
                ratio = data.ratio(who, below, **key)
                if ratio is not None:
                    found.append((ratio, f"{size_text(size)} {placement.replace('-', ' ')}"))
                    runs.append(data.ratios(who, below, **key))
    return (*pick(found), [pick(run) for run in zip(*runs)]) if found else (None, "", [])


def goals(folder):
    """What was asked for, what was measured, and whether that is enough."""
    allreduce, latency = Data(folder, "allreduce"), Data(folder, "latency")
    step, idle, crowded = Data(folder, "step"), Data(folder, "idle"), Data(folder, "crowded")
    rows = []

    def add(text, value, limit, most, unit="×", where="", each=()):
        def meets(reached):
            return reached <= limit if most else reached >= limit

        met = None if value is None else meets(value)
        wanted = f"{'≤' if most else '≥'} {limit:g} {unit}"
        measured = "–" if value is None else f"{number(value, 3 if unit == '%' else 2)} {unit}"
        measured += f" ({where})" if where and value is not None else ""
        # What the median hides.
        good = sum(map(meets, each))
        of_runs = "" if good == (len(each) if met else 0) else f" ({good} of {len(each)} runs)"
        rows.append([text, wanted, measured, {True: "yes", False: "**no**", None: "–"}[met] + of_runs])

    def against_memcpy(memory, least, limit):
        value, where, each = extreme(allreduce, max, "ronde", "memcpy", memory, least)
        text = f"{memory}, from {size_text(least)}: time ÷ memcpy, worst"
        add(text, value, limit, True, where=where, each=each)

    def against_mpi(memory, least, most, limit):
        value, where, each = extreme(allreduce, min, "mpi", "ronde", memory, least, most)
        span = f"from {size_text(least)}" if most > 64 * MIB else f"{size_text(least)}–{size_text(most)}"
        span = f"at {size_text(least)}" if most == least else span
        add(f"{memory}, {span}: faster than Open MPI, worst", value, limit, False, where=where, each=each)

    against_memcpy("heap", MIB, 1.3)
    against_memcpy("heap", 16 * MIB, 1.1)
    against_mpi("heap", 64 * KIB, 1 << 62, 4)
    against_memcpy("ordinary", 64 * MIB, 2)
    against_mpi("ordinary", 64 * KIB, 4 * MIB, 2)
    against_mpi("ordinary", 16 * MIB, 16 * MIB, 1.5)
    against_mpi("ordinary", 64 * MIB, 1 << 62, 3)
    small = dict(memory="heap", bytes=32)
    for called in ("back-to-back", "after-meeting"):
        value = latency.figure("ronde", placement=called, **small)
        each = latency.values("ronde", placement=called, **small)
        add(f"8 floats, 2 ranks, {called.replace('-', ' ')}: median", value, 2, True, "µs", each=each)
    copies = ("memcpy", {"memory": "ordinary"})
    for memory, limit in (("heap", 1.3), ("ordinary", 2)):
        value = step.ratio(("ronde", {"memory": memory}), copies)
        each = step.ratios(("ronde", {"memory": memory}), copies)
        add(f"ResNet-50's gradients, {memory}: time ÷ memcpy", value, limit, True, each=each)
    for memory in ("heap", "ordinary"):
        value = step.figure("timeline-cost", memory=memory)
        more = None if value is None else (value - 1) * 100
        each = [(ratio - 1) * 100 for ratio in step.values("timeline-cost", memory=memory)]
        add(f"the same, {memory}, both ranks recording a timeline: more time", more, 2, True, "%", each=each)
    value = crowded.figure("ronde", placement="back-to-back", **small)
    each = crowded.values("ronde", placement="back-to-back", **small)
    add("8 floats, 4 ranks on 2 cores: median", value, 20, True, "µs", each=each)
    large = dict(bytes=16 * MIB, placement="out-of-place", memory="ordinary")
    for peer, name in (("mpi", "Open MPI"), ("mpich", "MPICH")):
        value, each = crowded.ratio(peer, "ronde", **large), crowded.ratios(peer, "ronde", **large)
        add(f"16 MiB ordinary, 4 ranks on 2 cores: faster than {name}", value, 1, False, each=each)
    share = idle.figure("ronde", placement="cpu-share")
    add("idle runtime: share of a core", None if share is None else share / 1e4, 0.5, True, "%")
    speed = idle.figure("ronde", placement="speed-kept")
    add("compute loop beside it: speed kept", None if speed is None else speed / 1e4, 99, False, "%")
    lines = text_of(folder, "overlap.txt").splitlines()
    good = lines.count("# as it should be")
    runs = good + lines.count("# NOT as it should be")
    met = "–" if not runs else "yes" if good == runs else "**no**"
    rows.append(["overlap and fusion, as below", "every run", f"{good} of {runs} runs", met])
    whole = training(folder)
    add("Fashion-MNIST, 2 ranks: test accuracy", whole.get("accuracy"), 0.90, False, "")
    add("Fashion-MNIST, 2 ranks: whole run", whole.get("whole"), 120, True, "s")
    value = training_faster(folder, "2")
    add("Fashion-MNIST: images/s of 2 ranks ÷ 1 rank", value, 1.8, False)
    return table(["what", "wanted", "measured", "met"], rows)


def run_text(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout.strip().splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return ""


def machine(mpirun):
    cpu = {}
    done = subprocess.run(["lscpu"], capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        key, _, value = line.partition(":")
        cpu.setdefault(key.strip(), value.strip())
    mpich = run_text("mpichversion") or run_text("mpirun.mpich", "--version")
    mpich = re.search(r"\d+\.\d+(\.\d+)?", mpich)
    print(f"- {cpu.get('Model name', '?')}, {os.cpu_count()} cores, L2 {cpu.get('L2 cache', '?')}, "
          f"L3 {cpu.get('L3 cache', '?')}"
          + (f", virtual ({cpu['Hypervisor vendor']})" if "Hypervisor vendor" in cpu else ""))
    print(f"- Linux {os.uname().release}, {run_text('gcc', '--version')}, "
          f"glibc {os.confstr('CS_GNU_LIBC_VERSION').split()[-1]}")
    print(f"- Open MPI {run_text(mpirun, '--version').split()[-1]}, "
          f"MPICH {mpich.group(0) if mpich else 'not measured'}")
    print(f"- {run_text('date', '+%Y-%m-%d')}, commit {run_text('git', 'rev-parse', '--short', 'HEAD')}; "
          f"load of the machine before: {os.getloadavg()[0]:.1f}")


def overlap_text(folder):
    """The last run's lines, as they were printed."""
    lines = text_of(folder, "overlap.txt").splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("# ronde-perf")]
    last = lines[starts[-1] + 1 :] if starts else []
    last = [line for line in last if line.startswith("# ")]
    return "```\n" + "\n".join(line[2:] for line in last) + "\n```"


# What somebody else does on the machine, or on its host, shows in every figure.
QUIET_LOAD = 0.5
QUIET_HOST = 5  # per cent


def load_warning(folder):
    text = text_of(folder, "machine.txt")
    load = re.search(r"load of the machine before: ([0-9.]+)", text)
    host = re.search(r"gave others ([0-9]+) %", text)
    why = []
    if not load or float(load.group(1)) > QUIET_LOAD:
        why.append("its load before was " + (load.group(1) if load else "not known"))
    if host and int(host.group(1)) > QUIET_HOST:
        why.append(f"its host gave {host.group(1)} % of its time to others")
    if not why:
        return ""
    return (f"**The machine was not quiet: {' and '.join(why)} (a load of {QUIET_LOAD} and {QUIET_HOST} % are "
            "quiet). Ratios suffer less than times.**\n\n")


def runs_text(folder):
    parts = []
    for name in ("allreduce", "others", "latency", "step", "idle", "crowded", "hosts"):
        runs = Data(folder, name).runs()
        if runs:
            parts.append(f"{name} {runs}")
    return "Runs of each program: " + ", ".join(parts) + ". " if parts else ""


def noise(folder):
    parts = []
    for name in ("allreduce", "latency", "step", "crowded"):
        spread = Data(folder, name).spread()
        if spread is not None:
            parts.append(f"{name} {spread * 100:.0f} %")
    text = "Spread between the runs of a program (largest − smallest, of the median): "
    text += (", ".join(parts) if parts else "each was run once") + "."
    wrong = sum(Data(folder, name).wrong() for name in ("allreduce", "step", "crowded", "others", "hosts"))
    return text + f" Wrong elements in all checked rounds: {wrong}."


def page(folder, path):
    allreduce, crowded = Data(folder, "allreduce"), Data(folder, "crowded")
    step = Data(folder, "step")
    peers = [("mpi", "Open MPI"), ("mpich", "MPICH")]
    blocks = {
        "machine": text_of(folder, "machine.txt")
        + "\n\n"
        + load_warning(folder)
        + runs_text(folder)
        + noise(folder),
        "goals": goals(folder),
        "allreduce-heap": by_size(allreduce, "heap", peers),
        "allreduce-ordinary": by_size(allreduce, "ordinary", peers),
        "latency": latency_table(Data(folder, "latency"), 2),
        "step": step_table(step),
        "timeline": turns_table(step, "timeline-off", "timeline-on", ("without", "recorded"), "timeline-cost"),
        "group": turns_table(step, "one-by-one", "group", ("one by one", "as one group")),
        "crowded-latency": latency_table(crowded, 4),
        "crowded-large": large_table(crowded, 16 * MIB),
        "hosts": hosts_table(Data(folder, "hosts")),
        "others": others_table(Data(folder, "others")),
        "barrier": latency_table(Data(folder, "others"), 2, "barrier", "ordinary", 0),
        "overlap": overlap_text(folder),
        "training": training_table(folder),
        "limits": f"A cache line from one core to the other and back, in each run: {line_text(folder)}.",
        "memcpy": memcpy_text(folder),
        "bounds": bounds_table(folder),
        "missed": missed_table(folder),
    }
    with open(path) as file:
        text = file.read()
    for name, block in blocks.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if begin not in text or end not in text:
            sys.exit(f"report.py: {path} has no place for \"{name}\": {begin} … {end}")
        head, rest = text.split(begin, 1)
        text = head + begin + "\n" + block + "\n" + end + rest.split(end, 1)[1]
    with open(path, "w") as file:
        file.write(text)


def rows_of(text, block):
    """Of a page's table, without its head: [[cell]]."""
    lines = text.split(f"<!-- begin {block} -->")[1].split(f"<!-- end {block} -->")[0].strip().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def row_name(goal, measured):
    """What bounds.py calls the row of a goal: the worst case has the place where it was measured."""
    where = re.search(r"\((.*)\)", measured)
    if where:
        return f"{goal.split(',')[0]}, {where.group(1)}: {goal.split(': ')[1].removesuffix(', worst')}"
    return goal.replace(" 2 ranks,", "").removesuffix(": median") if goal.startswith("8 floats") else goal


def explained(path):
    with open(path) as file:
        text = file.read()
    missed = {row[0] for row in rows_of(text, "missed")
              if row[5] and not re.match(f"{ALL_OF_IT}; .* in 0 of ", row[5])}
    lost = [goal for goal, _, measured, met in rows_of(text, "goals")
            if "no" in met and row_name(goal, measured) not in missed]
    for goal in lost:
        print(f"{path}: not met, and nothing says what misses it: {goal}")
    sys.exit(bool(lost))


def main():
    actions = {"machine": (machine, 1), "plots": (plots, 1), "page": (page, 2), "explained": (explained, 1)}
    action, count = actions.get(sys.argv[1] if len(sys.argv) > 1 else "", (None, 0))
    if not action or len(sys.argv) != count + 2:
        sys.exit(__doc__)
    action(*sys.argv[2:])


if __name__ == "__main__":
    main()
