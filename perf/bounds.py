# SPDX-License-Identifier: Apache-2.0
"""What the goals would mean here, beside what an allreduce is made of.

All of a row comes from one run of ronde-perf-limits (perf/limits/), in which these are contestants
of the same rounds on the same tensors: memcpy, Open MPI, Ronde, the bare algorithm, and the moves
alone. A path has several runs of moves (slices or blocks, through the caches or past them); the
fastest counts. Ratios are taken within a run first. Part of report.py.
"""
from tables import KIB, MIB, Data, number, size_text, table, training_faster

NOT_MEASURED = "Not measured."
PLACEMENTS = ("out-of-place", "in-place")


def goal_mpi(memory, size):
    """How many times faster than Open MPI is asked for."""
    if memory == "heap":
        return 4
    return 3 if size >= 64 * MIB else 1.5 if size >= 16 * MIB else 2


def goal_memcpy(memory, size):
    """How many times a memcpy is allowed, or None."""
    if memory == "heap":
        return 1.1 if size >= 16 * MIB else 1.3 if size >= MIB else None
    return 2 if size >= 64 * MIB else None


def all_moves(data):
    return sorted({row["contestant"] for row in data.rows if row["contestant"].startswith("moves-")})


def moves_of(data, key):
    """The name of the fastest moves, or None."""
    found = [(data.figure(name, **key), name) for name in all_moves(data)]
    found = [pair for pair in found if pair[0] is not None]
    return min(found)[1] if found else None


def cells(data):
    """(memory, size, placement, what to look for) of everything from 64 KiB on."""
    for memory in ("heap", "ordinary"):
        for size in data.sizes(memory=memory, contestant="ronde", command="allreduce"):
            for placement in PLACEMENTS if size >= 64 * KIB else ():
                yield memory, size, placement, dict(memory=memory, bytes=size, placement=placement)


def bounds_table(folder):
    data, rows = Data(folder, "allreduce"), []
    for memory, size, placement, key in cells(data):
        moves, mpi = moves_of(data, key), data.ratio("mpi", "memcpy", **key)
        if moves is None:
            continue
        figures = [goal_memcpy(memory, size), None if mpi is None else mpi / goal_mpi(memory, size)]
        figures += [data.ratio(who, "memcpy", **key) for who in (moves, "bare", "ronde", "ronde-handle")]
        row = [f"{memory}, {placement.replace('-', ' ')}", size_text(size)]
        row.append(number(data.figure("memcpy", **key)))
        rows.append(row + [number(f, 2) for f in figures] + [moves.removeprefix("moves-")])
    if not rows:
        return NOT_MEASURED
    head = ["tensors", "size", "memcpy (µs)", "wanted", "wanted, from Open MPI's time"]
    head += ["moves alone", "bare", "Ronde", "Ronde, by handle", "fastest moves"]
    return table(head, rows)


def shares(data, moves, key):
    """Where Ronde's time goes, in the same run."""
    least, bare = data.ratio(moves, "ronde", **key), data.ratio("bare", "ronde", **key)
    if bare is None:
        return f"moves {100 * least:.0f}, all else {100 * (1 - least):.0f}"
    return f"moves {100 * least:.0f}, waiting {100 * (bare - least):.0f}, all else {100 * (1 - bare):.0f}"


ALL_OF_IT = "only all of it"


def limit(data, misses):
    """What alone misses the goal already, in every run; misses(who) says so of each run."""
    bare, runs = misses("bare"), [misses(name) for name in all_moves(data)]
    runs = [run for run in runs if run]
    if not bare or not runs:
        return ALL_OF_IT
    # Moves that are slower than the algorithm that makes them bound nothing: the fastest of all counts.
    if all(all(each) for each in zip(bare, *runs)):
        return "the moves alone"
    if all(bare):
        return "moves and waiting"
    return f"{ALL_OF_IT} (bare: {len(bare) - sum(bare)} of {len(bare)} runs reach it)"


def missed_large(data):
    rows = []
    for memory, size, placement, key in cells(data):
        moves = moves_of(data, key)
        if moves is None:
            continue
        name = f"{memory}, {size_text(size)} {placement.replace('-', ' ')}"
        wanted = goal_memcpy(memory, size)
        who = ("ronde", moves, "bare")
        if wanted is not None:
            values = [data.ratio(w, "memcpy", **key) for w in who]
            if values[0] > wanted:
                why = limit(data, lambda w: [r > wanted for r in data.ratios(w, "memcpy", **key)])
                row = (f"{name}: time ÷ memcpy", "≤", wanted, "×", values, why)
                rows.append(row + (shares(data, moves, key),))
        wanted = goal_mpi(memory, size)
        values = [data.ratio("mpi", w, **key) for w in who]
        if values[0] is not None and values[0] < wanted:
            why = limit(data, lambda w: [r < wanted for r in data.ratios("mpi", w, **key)])
            row = (f"{name}: faster than Open MPI", "≥", wanted, "×", values, why)
            rows.append(row + (shares(data, moves, key),))
    return rows


def missed_small(data):
    rows = []
    for called in ("back-to-back", "after-meeting"):
        key = dict(memory="heap", bytes=32, placement=called)
        values = [data.figure(who, **key) for who in ("ronde", "moves-lines")] + [None]
        if None not in values[:2] and values[0] > 2:
            name = f"8 floats, {called.replace('-', ' ')}"
            rows.append((name, "≤", 2, "µs", values, ALL_OF_IT, shares(data, "moves-lines", key)))
    return rows


def missed_training(folder):
    values = [training_faster(folder, "2"), training_faster(folder, "apart"), None]
    if None in values[:2] or values[0] >= 1.8:
        return []
    share = 100 * training_faster(folder, "2", "apart")
    return [("Fashion-MNIST: images/s of 2 ranks ÷ 1 rank", "≥", 1.8, "×", values, ALL_OF_IT,
             f"{share:.0f} of what two trainings come to that are not connected")]


def missed_table(folder):
    """The goals that are missed: what the machine's part alone would reach, and where the rest goes."""
    rows = []
    found = missed_large(Data(folder, "allreduce")) + missed_small(Data(folder, "latency"))
    for name, sign, wanted, unit, values, misses, text in found + missed_training(folder):
        reached = [number(v, 2) + (f" {unit}" if v is not None else "") for v in values]
        rows.append([name, f"{sign} {wanted:g} {unit}"] + reached + [misses, text])
    if bounds_table(folder) == NOT_MEASURED:
        return NOT_MEASURED
    if not rows:
        return "None, of those that are measured beside it."
    head = ["missed", "wanted", "Ronde", "moves alone", "bare", "what misses it already", "% of Ronde's time"]
    return table(head, rows)
