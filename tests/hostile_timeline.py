#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One rank of a job that uses tensors with hostile names, for a timeline to be recorded.

usage: RONDE_RANK=… RONDE_SIZE=… RONDE_ADDRESS=… RONDE_TIMELINE=FILE hostile_timeline.py LIBRONDE
"""
import ctypes
import sys
import time

NAMES = [
    b"layer1.weight", b"\\", b"ends in \\", b'a "quoted\\\n\xff name', b'"},{"ph":"X', b"<script>alert(1)</script>",
    b"\x01\x02\x1f\x7f\t\r", b"\xc0\xaf\xed\xa0\x80", b"\xf4\x90\x80\x80\xe2\x82", "😀 é €".encode(), b"\\u0000 %s %n",
    b"null", b"&amp;<!--]]>", b" ", b"0", b"x" * 500, b"\\\\\\", b'\\"', b"\\n", b"'; drop table slice; --",
]
FLOAT32, SUM = 10, 1
STEPS = 3


def main():
    ronde = ctypes.CDLL(sys.argv[1])
    ronde.ronde_error_message.restype = ctypes.c_char_p

    def must(status):
        if status:
            sys.exit(ronde.ronde_error_message().decode())

    def allreduce(name, data):
        must(ronde.ronde_allreduce(name, data, data, ctypes.c_int64(len(data)), FLOAT32, SUM))

    must(ronde.ronde_init(None))
    for _ in range(STEPS):
        if ronde.ronde_rank() == 1:
            time.sleep(0.003)  # somebody has to be waited for
        for number, name in enumerate(NAMES):
            allreduce(name, (ctypes.c_float * (4, 5000, 200000)[number % 3])())
        allreduce(None, (ctypes.c_float * 8)())
        must(ronde.ronde_barrier())
    must(ronde.ronde_shutdown())


main()
