# SPDX-License-Identifier: Apache-2.0
"""What ronde-perf wrote, and tables of it. Part of report.py."""
import csv
import os
import re
import statistics

KIB, MIB = 1 << 10, 1 << 20


def size_text(size):
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def text_of(folder, name):
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return ""
    with open(path) as file:
        return file.read().strip()


class Data:
    """The rows of one CSV file. Every run of the programs appended its rows."""

    def __init__(self, folder, name):
        path = os.path.join(folder, name + ".csv")
        self.rows = []
        if os.path.exists(path):
            with open(path, newline="") as file:
                self.rows = list(csv.DictReader(file))
        for row in self.rows:
            if row["contestant"].startswith("MPICH"):
                row["contestant"] = "mpich"

    def values(self, contestant, column="median_us", **match):
        """One number a run."""
        match["contestant"] = contestant
        return [
            float(row[column])
            for row in self.rows
            if all(row[key] == str(value) for key, value in match.items())
        ]

    def figure(self, contestant, column="median_us", **match):
        values = self.values(contestant, column, **match)
        return statistics.median(values) if values else None

    def ratios(self, above, below, **match):
        """above / below of each run, each a contestant or (contestant, matches)."""
        pairs = []
        for who in (above, below):
            name, own = who if isinstance(who, tuple) else (who, {})
            pairs.append(self.values(name, **{**match, **own}))
        return [x / y for x, y in zip(*pairs)]

    def ratio(self, above, below, **match):
        """Their median."""
        ratios = self.ratios(above, below, **match)
        return statistics.median(ratios) if ratios else None

    def sizes(self, **match):
        found = {
            int(row["bytes"])
            for row in self.rows
            if all(row[key] == str(value) for key, value in match.items())
        }
        return sorted(found)

    def wrong(self):
        return sum(int(row["wrong"]) for row in self.rows)

    def by_run(self):
        """Ronde's times: a list for each thing measured, with one number a run."""
        runs = {}
        for row in self.rows:
            if row["contestant"] == "ronde":
                key = tuple(row[k] for k in ("command", "memory", "placement", "ranks", "bytes"))
                runs.setdefault(key, []).append(float(row["median_us"]))
        return list(runs.values())

    def runs(self):
        """How often the program was run: what was measured least often counts."""
        return min((len(values) for values in self.by_run()), default=0)

    def spread(self):
        """Median over all rows of (largest run − smallest run) / median run, for Ronde."""
        spreads = [
            (max(v) - min(v)) / statistics.median(v)
            for v in self.by_run()
            if len(v) > 1 and statistics.median(v) > 0
        ]
        return statistics.median(spreads) if spreads else None


def number(value, digits=1):
    if value is None:
        return "–"
    if digits == 1 and abs(value) < 10:
        digits = 2
    return f"{value:,.{digits}f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def by_size(data, memory, peers, **match):
    head = ["size", "out of place (µs)", "in place (µs)", "memcpy (µs)", "memcpy (GB/s)", "÷ memcpy"]
    for peer, name in peers:
        head += [f"{name} (µs)", "× faster"]
    rows = []
    for size in data.sizes(memory=memory, contestant="ronde", **match):
        key = dict(memory=memory, bytes=size, **match)
        out = dict(key, placement="out-of-place")
        row = [size_text(size), number(data.figure("ronde", **out))]
        row.append(number(data.figure("ronde", **dict(key, placement="in-place"))))
        row.append(number(data.figure("memcpy", **out)))
        row.append(number(data.figure("memcpy", column="algbw", **out)))
        row.append(number(data.ratio("ronde", "memcpy", **out)))
        for peer, _ in peers:
            own = {"memory": "ordinary"} if peer == "mpich" else {}
            row.append(number(data.figure(peer, **{**out, **own})))
            row.append(number(data.ratio((peer, own), "ronde", **out)))
        rows.append(row)
    return table(head, rows)


def latency_table(data, ranks, operation="allreduce", memory="heap", size=32):
    names = {"ronde": "Ronde", "mpi": "Open MPI", "mpich": "MPICH"}
    rows = []
    for who, name in names.items():
        for called in ("back-to-back", "after-meeting"):
            where = dict(command=operation, ranks=ranks, bytes=size, placement=called)
            where["memory"] = "ordinary" if who == "mpich" or operation == "barrier" else memory
            if who == "mpich" and called == "after-meeting":
                where["placement"] = "out-of-place"
            if data.figure(who, **where) is None:
                continue
            columns = ("median_us", "p99_us", "mean_us")
            figures = [number(data.figure(who, column=c, **where)) for c in columns]
            rows.append([name, called.replace("-", " ")] + figures)
    return table(["", "called", "p50 (µs)", "p99 (µs)", "mean (µs)"], rows)


def hosts_table(data):
    """2 ranks are one on each of two hosts, 4 are two."""
    rows = []
    for size in data.sizes(contestant="ronde"):
        row = [size_text(size)]
        for ranks in (2, 4):
            key = dict(ranks=ranks, bytes=size)
            row += [number(data.figure("ronde", **key)), number(data.figure("mpi", **key))]
            row.append(number(data.ratio("mpi", "ronde", **key), 2))
        rows.append(row)
    if not rows:
        return "Not measured."
    head = ["size"] + [f"{shape}: {what}" for shape in ("2×1", "2×2") for what in ("Ronde (µs)", "Open MPI (µs)", "× faster")]
    return table(head, rows)


def step_table(data):
    names = {"ronde": "Ronde", "memcpy": "memcpy of every tensor", "mpi": "one MPI_Allreduce a tensor"}
    rows = []
    copies = ("memcpy", {"memory": "ordinary"})
    for who, memory in (("ronde", "heap"), ("ronde", "ordinary"), ("memcpy", "ordinary"), ("mpi", "ordinary")):
        time = data.figure(who, memory=memory)
        if time is not None:
            ratio = data.ratio((who, {"memory": memory}), copies)
            bandwidth = data.figure(who, column="algbw", memory=memory)
            rows.append([names[who], memory, number(time / 1000, 2), number(bandwidth), number(ratio)])
    return table(["", "gradients in", "time (ms)", "GB/s", "÷ memcpy"], rows)


def turns_table(data, below, above, names, ratios=None):
    """Two ways to exchange the same gradients, measured in turns; ratios: of turn and turn, if these were taken."""
    rows = []
    for memory in ("heap", "ordinary"):
        times = [data.figure(who, memory=memory) for who in (below, above)]
        if None not in times:
            each = data.values(ratios, memory=memory) if ratios else data.ratios(above, below, memory=memory)
            row = [memory] + [number(time / 1000, 2) for time in times] + [number(statistics.median(each), 3)]
            rows.append(row + [", ".join(number(ratio, 3) for ratio in each)])
    return table(["gradients in"] + [f"{name} (ms)" for name in names] + ["×", "each run"], rows)


def others_table(data):
    rows = []
    for operation in ("broadcast", "allgather"):
        for memory in ("heap", "ordinary"):
            key = dict(command=operation, memory=memory, placement="out-of-place")
            for size in data.sizes(contestant="ronde", **key):
                own = dict(key, bytes=size)
                rows.append(
                    [
                        operation,
                        memory,
                        size_text(size),
                        number(data.figure("ronde", **own)),
                        number(data.ratio("ronde", "memcpy", **own)),
                        number(data.figure("mpi", **own)),
                        number(data.ratio("mpi", "ronde", **own)),
                    ]
                )
    head = ["", "memory", "size", "Ronde (µs)", "÷ memcpy", "Open MPI (µs)", "× faster"]
    return table(head, rows)


def training(folder):
    """{"accuracy", "epoch", "whole"} of the whole training of fashion_mnist on 2 ranks; empty: not done."""
    names = {"test accuracy": "accuracy", "epoch time": "epoch", "whole run": "whole"}
    found = re.findall(r"^(test accuracy|epoch time|whole run) +([\d.]+)", text_of(folder, "training.txt"), re.M)
    return {names[name]: float(value) for name, value in found}


def training_rates(folder):
    """{"1", "2", "apart": [images/s]} of the short trainings, one number a turn."""
    found = {}
    for who, rate in re.findall(r"^rate (\w+) (\d+)", text_of(folder, "training.txt"), re.M):
        found.setdefault(who, []).append(float(rate))
    return found


def training_waits(folder):
    """Percent of its time that each of 2 ranks waited for the communication: (least, most) of a turn."""
    found = re.findall(r"^wait 2 ([\d.]+) ([\d.]+)$", text_of(folder, "training.txt"), re.M)
    return [(float(least), float(most)) for least, most in found]


def training_faster(folder, who, than="1"):
    """Median over the turns of its images/s ÷ those of 1 rank, or of another, or None."""
    rates = training_rates(folder)
    ratios = [x / y for x, y in zip(rates.get(who, []), rates.get(than, []))]
    return statistics.median(ratios) if ratios else None


def line_text(folder):
    """What a cache line takes from one core to the other and back, in each run."""
    ways = re.findall(r"there and back: median ([\d.]+) us", text_of(folder, "limits.txt"))
    return ", ".join(f"{float(way):.2f}" for way in ways) + " µs" if ways else "–"


def training_table(folder):
    rows, rates, whole = [], training_rates(folder), training(folder)
    for who, name in (("1", "1"), ("2", "2"), ("apart", "1 + 1")):
        own = whole if who == "2" else {}
        rate = statistics.median(rates[who]) if who in rates else None
        row = [name, number(own.get("accuracy"), 4), number(own.get("whole"), 0)]
        row += [number(rate, 0), number(training_faster(folder, who), 2)]
        rows.append(row)
    return table(["ranks", "test accuracy", "whole run (s)", "images/s", "× 1 rank"], rows)


def large_table(data, size):
    rows = []
    names = {"ronde": "Ronde", "memcpy": "memcpy", "mpi": "Open MPI", "mpich": "MPICH"}
    for memory in ("heap", "ordinary"):
        for who, name in names.items():
            own = {"memory": memory, "bytes": size, "placement": "out-of-place"}
            if data.figure(who, **own) is None or (memory == "heap" and who != "ronde"):
                continue
            # Everybody is compared with what Ronde takes in ordinary memory.
            times = data.ratio((who, {"memory": memory}), ("ronde", {"memory": "ordinary"}),
                               bytes=size, placement="out-of-place")
            rows.append([name, memory, number(data.figure(who, **own) / 1000, 2), number(times, 2)])
    return table(["", "memory", "time (ms)", "÷ Ronde, ordinary"], rows)
