# SPDX-License-Identifier: Apache-2.0
"""What the goals would mean here, beside what an allreduce is made of.

All of a row comes from one run of ronde-perf-limits (perf/limits/), in which these are contestants
of the same rounds on the same tensors: memcpy, Open MPI, Ronde, the bare algorithm, and the moves
alone; and 8 floats by name with caches as cold. A path has several runs of moves (slices or blocks, through the caches or past them); the
fastest counts. Ratios are taken within a run first. Part of report.py.
"""
from tables import KIB, MIB, Data, number, size_text, table, training_faster, training_rates, training_waits

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


def memcpy_text(folder):
    """What memcpy takes of the same bytes depends on whose tensors lie beside them: where that matters most."""
    data, worst, least = Data(folder, "allreduce"), (0, ""), []
    sizes = [size for size in data.sizes(contestant="memcpy") if size >= 64 * KIB]
    for size in sizes:
        found = {(memory, placement): data.figure("memcpy", memory=memory, bytes=size, placement=placement)
                 for memory in ("heap", "ordinary") for placement in PLACEMENTS}
        found = [us for us in found.values() if us]
        if found:
            worst = max(worst, (max(found) / min(found), f"{size_text(size)}, {number(min(found))} to {number(max(found))} µs"))
        for placement in PLACEMENTS:
            wanted = goal_memcpy("heap", size)
            own = data.figure("ronde", memory="heap", bytes=size, placement=placement)
            if found and wanted and own and own / min(found) > wanted:
                least.append(f"{size_text(size)} {placement.replace('-', ' ')} {number(own / min(found), 2)} × instead of {wanted} ×")
    if not worst[1]:
        return NOT_MEASURED
    text = ("memcpy's median differs between tables (other tensors lie in the caches beside its own), most for "
            f"{worst[1]}. By the least of them the heap would take " + (", ".join(least) if least else "no goal less") + ".")
    return text


def shares(data, moves, key):
    """Where Ronde's time goes, in the same run: moves, what bare adds to them, 8 floats by name, the rest."""
    parts = {"moves": data.ratio(moves, "ronde", **key), "waiting": data.ratio("bare", "ronde", **key),
             "agreement": data.ratio("ronde-8", "ronde", **key)}
    if parts["agreement"] is None:  # of a small tensor the agreement is all
        del parts["agreement"]
    rest = 1 - parts["waiting"] - parts.get("agreement", 0)
    parts["waiting"] -= parts["moves"]
    return ", ".join(f"{name} {100 * part:.0f}" for name, part in parts.items()) + f", all else {100 * rest:.0f}"


ALL_OF_IT = "only all of it"


def all_of_it(reached, runs):
    """Nothing alone misses it; in how many runs Ronde does not, either."""
    return f"{ALL_OF_IT}; Ronde reaches it in {reached} of {runs} runs"


def limit(data, key, most):
    """
    What alone misses the goal already, in every run in which Ronde does; most: what each run allows,
    ÷ memcpy. What took longer than all of Ronde bounds nothing.
    """
    def taken(name):
        return data.ratios(name, "memcpy", **key)

    def bounds(times):
        return all(most[run] < times[run] <= ronde[run] for run in missed)

    ronde, bare, agreement = taken("ronde"), taken("bare"), taken("ronde-8")
    missed = [run for run, took in enumerate(ronde) if took > most[run]]
    moves = [min(each) for each in zip(bare, *filter(None, map(taken, all_moves(data))))]
    of_runs = "" if len(missed) == len(most) else f" ({len(missed)} of {len(most)} runs)"
    if bounds(moves):
        return "the moves alone" + of_runs
    if bounds(bare):
        return "moves and waiting" + of_runs
    if agreement:
        own = [took - agreed for took, agreed in zip(ronde, agreement)]
        if bounds([min(each) for each in zip(moves, own)]):
            return "all but the agreement" + of_runs
        if bounds([min(each) + agreed for *each, agreed in zip(bare, own, agreement)]):
            return "moves, waiting and agreement" + of_runs
    elif missed:  # of a small tensor the agreement is all that is added to bare
        return "the agreement" + of_runs
    return all_of_it(len(most) - len(missed), len(most))


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
            if max(data.ratios("ronde", "memcpy", **key)) > wanted:
                why = limit(data, key, [wanted] * len(data.ratios("ronde", "memcpy", **key)))
                row = (f"{name}: time ÷ memcpy", "≤", wanted, "×", values, why)
                rows.append(row + (shares(data, moves, key),))
        wanted = goal_mpi(memory, size)
        values = [data.ratio("mpi", w, **key) for w in who]
        if values[0] is not None and min(data.ratios("mpi", "ronde", **key)) < wanted:
            why = limit(data, key, [r / wanted for r in data.ratios("mpi", "memcpy", **key)])
            row = (f"{name}: faster than Open MPI", "≥", wanted, "×", values, why)
            rows.append(row + (shares(data, moves, key),))
    return rows


def missed_small(data):
    rows = []
    for called in ("back-to-back", "after-meeting"):
        key = dict(memory="heap", bytes=32, placement=called)
        values = [data.figure(who, **key) for who in ("ronde", "moves-lines", "bare")]
        if None not in values and values[0] > 2:
            name = f"8 floats, {called.replace('-', ' ')}"
            why = limit(data, key, [2 / us for us in data.values("memcpy", **key)])
            rows.append((name, "≤", 2, "µs", values, why, shares(data, "moves-lines", key)))
    return rows


def missed_training(folder):
    values = [training_faster(folder, "2"), training_faster(folder, "apart"), None]
    if None in values[:2] or values[0] >= 1.8:
        return []
    rates, waits = training_rates(folder), training_waits(folder)
    turns = [f"{100 * two / apart:.0f}" for two, apart in zip(rates["2"], rates["apart"])]
    missed = [turn for turn, rate in enumerate(rates["2"]) if rate < 1.8 * rates["1"][turn]]
    reached = any(rates["apart"][turn] >= 1.8 * rates["1"][turn] for turn in missed)
    text = f"of two trainings that are not connected, turn by turn: {', '.join(turns)}"
    if waits:
        text += f"; each rank's waiting: {', '.join(f'{a:.0f} and {b:.0f}' for a, b in waits)}"
    why = all_of_it(len(turns) - len(missed), len(turns))
    return [("Fashion-MNIST: images/s of 2 ranks ÷ 1 rank", "≥", 1.8, "×", values,
             why if reached else "two trainings that are not connected", text)]


def missed_timeline(folder):
    step, rows = Data(folder, "step"), []
    for memory in ("heap", "ordinary"):
        each = step.values("timeline-cost", memory=memory)
        cost, writing = (step.figure(who, memory=memory) for who in ("timeline-cost", "timeline-thread"))
        if cost is None or cost <= 1.02:
            continue
        share = None if writing is None else 100 * writing / step.figure("timeline-off", memory=memory)
        reached = sum(ratio <= 1.02 for ratio in each)
        why = all_of_it(reached, len(each)) if share is None or share <= 2 else "the thread that writes"
        text = f"each run: {', '.join(number(100 * (ratio - 1), 2) for ratio in each)}"
        if share is not None:
            text += f"; the thread that writes runs {number(share, 2)} % of a step"
        name = f"the same, {memory}, both ranks recording a timeline: more time"
        rows.append((name, "≤", 2, "%", [100 * (cost - 1), None, None], why, text))
    return rows


def missed_table(folder):
    """The goals that are missed: what the machine's part alone would reach, and where the rest goes."""
    rows = []
    found = missed_large(Data(folder, "allreduce")) + missed_small(Data(folder, "latency"))
    found += missed_timeline(folder) + missed_training(folder)
    for name, sign, wanted, unit, values, misses_it, text in found:
        reached = [number(v, 2) + (f" {unit}" if v is not None else "") for v in values]
        rows.append([name, f"{sign} {wanted:g} {unit}"] + reached + [misses_it, text])
    if bounds_table(folder) == NOT_MEASURED:
        return NOT_MEASURED
    if not rows:
        return "None, of those that are measured beside it."
    head = ["missed", "wanted", "Ronde", "moves alone", "bare", "what misses it already", "% of Ronde's time"]
    return table(head, rows)
