# SPDX-License-Identifier: Apache-2.0
"""What the goals against Open MPI would mean here, beside what moving the bytes between cores takes.

In units of a memcpy of the same bytes, two ranks, out of place. A peer copy is the memcpy of what the
other rank has just written; the sums are left out:
  heap       half of the other's input is read and half of its output is written: one tensor's bytes
             cross, a peer copy
  ordinary   as many bytes are read from the staging, and its lines were read by the other rank one
             round before, so to write them again they have to be taken back: two peer copies
Part of report.py.
"""
import statistics

from tables import KIB, MIB, Data, limits, number, size_text, table


def goal(memory, size):
    """How many times faster than Open MPI is asked for."""
    if memory == "heap":
        return 4
    return 3 if size >= 64 * MIB else 1.5 if size >= 16 * MIB else 2


def bounds_table(folder):
    data, found = Data(folder, "allreduce"), limits(folder)
    rows = []
    for memory, copies in (("heap", 1), ("ordinary", 2)):
        for size in data.sizes(memory=memory, contestant="ronde", placement="out-of-place"):
            key = dict(memory=memory, bytes=size, placement="out-of-place")
            runs = found.get((size, "peer-copy", "in place"))
            mpi = data.ratio("mpi", "memcpy", **key)
            if size < 64 * KIB or not runs or mpi is None:
                continue
            moving = copies * statistics.median(run[1] for run in runs)
            figures = (mpi, mpi / goal(memory, size), moving, data.ratio("ronde", "memcpy", **key))
            rows.append([memory, size_text(size)] + [number(figure, 2) for figure in figures])
    if not rows:
        return "Not measured."
    return table(["memory", "size", "Open MPI", "wanted", "peer copies", "Ronde"], rows)
