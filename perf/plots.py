# SPDX-License-Identifier: Apache-2.0
"""Draws FOLDER/*.svg with gnuplot. Part of report.py."""
import subprocess

from tables import Data


def gnuplot(script):
    subprocess.run(["gnuplot"], input=script.encode(), check=True)


def plot_allreduce(folder):
    data = Data(folder, "allreduce")
    lines = [
        ("Ronde, heap", "ronde", "heap"),
        ("Ronde, ordinary memory", "ronde", "ordinary"),
        ("memcpy", "memcpy", "ordinary"),
        ("Open MPI", "mpi", "ordinary"),
        ("MPICH", "mpich", "ordinary"),
    ]
    script = (
        f"set terminal svg size 760,460 font 'sans,13' background 'white'\n"
        f"set output '{folder}/allreduce.svg'\n"
        "set title 'float32 sum over 2 ranks, out of place: bytes per second of one rank'\n"
        "set logscale xy 2\nset logscale y 10\nset grid\nset key below\nset xrange [*:134217728]\n"
        "set xlabel 'size of the tensor'\nset ylabel 'GB/s (size / time)'\n"
        "set xtics ('1 KiB' 1024, '16 KiB' 16384, '256 KiB' 262144, '4 MiB' 4194304, "
        "'64 MiB' 67108864)\n"
    )
    blocks, plots = "", []
    for index, (title, who, memory) in enumerate(lines):
        points = []
        for size in data.sizes(contestant=who, memory=memory):
            key = dict(memory=memory, bytes=size, placement="out-of-place")
            value = data.figure(who, column="algbw", **key)
            if value:
                points.append(f"{size} {value}")
        if points:
            blocks += f"$d{index} << END\n" + "\n".join(points) + "\nEND\n"
            plots.append(f"$d{index} with linespoints lw 2 title '{title}'")
    if plots:
        gnuplot(script + blocks + "plot " + ", ".join(plots) + "\n")


def plot_step(folder):
    data = Data(folder, "step")
    bars = [
        ("memcpy", "memcpy", "ordinary"),
        ("Ronde, heap", "ronde", "heap"),
        ("Ronde, ordinary", "ronde", "ordinary"),
        ("Open MPI", "mpi", "ordinary"),
    ]
    points = []
    for title, who, memory in bars:
        value = data.figure(who, memory=memory)
        if value:
            points.append(f'"{title}" {value / 1000}')
    if points:
        gnuplot(
            "set terminal svg size 760,360 font 'sans,13' background 'white'\n"
            f"set output '{folder}/step.svg'\n"
            "set title 'the 161 gradients of ResNet-50, averaged over 2 ranks'\n"
            "set style fill solid 0.7\nset boxwidth 0.6\nset yrange [0:*]\nset grid y\n"
            "set ylabel 'milliseconds'\nunset key\n"
            "$d << END\n" + "\n".join(points) + "\nEND\n"
            "plot $d using 0:2:xtic(1) with boxes, '' using 0:2:(sprintf('%.1f', $2)) "
            "with labels offset 0,0.6\n"
        )


def plots(folder):
    plot_allreduce(folder)
    plot_step(folder)
