# SPDX-License-Identifier: Apache-2.0
"""What the goals would mean here, beside what the loads and stores alone take.

In units of a memcpy of the same bytes, two ranks. "Moves alone" is the fastest of the moves of
ronde-perf-algorithms that a path could be made of (perf/algorithms/moves.c): the bytes are read,
added up and written as in an operation, and no rank waits for another or decides anything. "Bare" is
the fastest algorithm of that path in the same program and run, with its waiting, without
negotiation. Part of report.py.
"""
import statistics

from tables import KIB, MIB, Data, limits, number, size_text, table

# A path's moves and algorithms, as ronde-perf-algorithms calls them.
MOVES = {
    "heap": ("allreduce-moves-heap",),
    "ordinary": ("allreduce-moves-slices", "allreduce-moves-direct"),
}
BARE = {
    "heap": ("allreduce-zero-copy",),
    "ordinary": ("allreduce-staged", "allreduce-direct"),
}


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


def fastest(found, size, placement, names):
    """The least of the medians over the runs, of what begins with one of the names."""
    medians = [
        statistics.median(run[1] for run in runs)
        for (bytes_, name, where), runs in found.items()
        if bytes_ == size and where == placement and name.startswith(names)
    ]
    return min(medians) if medians else None


def bounds_table(folder):
    data, found = Data(folder, "allreduce"), limits(folder)
    rows = []
    for memory in ("heap", "ordinary"):
        for size in data.sizes(memory=memory, contestant="ronde", command="allreduce"):
            if size < 64 * KIB:
                continue
            for placement in ("out-of-place", "in-place"):
                key = dict(memory=memory, bytes=size, placement=placement)
                mpi = data.ratio("mpi", "memcpy", **key)
                place = placement.replace("-", " ")
                figures = (
                    goal_memcpy(memory, size),
                    None if mpi is None else mpi / goal_mpi(memory, size),
                    fastest(found, size, place, MOVES[memory]),
                    fastest(found, size, place, BARE[memory]),
                    data.ratio("ronde", "memcpy", **key),
                )
                rows.append([f"{memory}, {place}", size_text(size)] + [number(f, 2) for f in figures])
    if not rows:
        return "Not measured."
    head = ["tensors", "size", "wanted", "wanted, from Open MPI's time", "moves alone", "bare", "Ronde"]
    return table(head, rows)
