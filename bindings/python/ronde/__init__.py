# SPDX-License-Identifier: Apache-2.0
"""Ronde: collective communication for training loops."""

from ronde._arrays import allreduce, allreduce_async, barrier, poll, synchronize
from ronde.common.basics import (
    cross_rank, cross_size, init, is_homogeneous, is_initialized,
    local_rank, local_size, rank, shutdown, size,
)  # fmt: skip

Average, Sum, Adasum, Min, Max, Product = range(6)

__all__ = [
    "Adasum", "Average", "Max", "Min", "Product", "Sum",
    "allreduce", "allreduce_async", "barrier", "cross_rank", "cross_size", "init",
    "is_homogeneous", "is_initialized", "local_rank", "local_size", "poll", "rank",
    "shutdown", "size", "synchronize",
]  # fmt: skip
