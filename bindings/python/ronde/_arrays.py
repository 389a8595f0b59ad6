# SPDX-License-Identifier: Apache-2.0
"""allreduce on NumPy arrays, used where they lie."""

import ctypes
from typing import Any, Dict, Optional, Tuple

import numpy as np

from ronde._library import Options, check, encode, library

_TYPES = {
    name: value
    for value, name in enumerate(
        "uint8 int8 uint16 int16 uint32 int32 uint64 int64 float16 bfloat16 float32 float64 "
        "bool".split()
    )
}

# What operations in flight use, and their results: kept alive until they are waited for.
_in_flight: Dict[int, Tuple[Any, Any]] = {}


def allreduce_async(
    tensor: Any, name: Optional[str] = None, op: int = 0,
    prescale_factor: float = 1.0, postscale_factor: float = 1.0, process_set: int = 0,
) -> int:  # fmt: skip
    """Starts an allreduce; synchronize() gives the result. ValueError: types Ronde has not."""
    source = np.require(tensor, requirements="C")
    dtype = _TYPES.get(source.dtype.name)
    if dtype is None or not source.dtype.isnative:
        raise ValueError(f"allreduce: elements of type {source.dtype} cannot be reduced")
    result = np.empty_like(source, order="C", subok=False)
    shape = (ctypes.c_int64 * max(1, source.ndim))(*(source.shape or (1,)))
    options = Options(
        ctypes.sizeof(Options), process_set, max(1, source.ndim), shape,
        prescale_factor, postscale_factor, 0,
    )  # fmt: skip
    handle = ctypes.c_uint64()
    check(
        library.ronde_allreduce_async(
            encode(name), source.ctypes.data, result.ctypes.data, source.size, dtype, int(op),
            options, handle,
        )  # fmt: skip
    )
    _in_flight[handle.value] = (source, result)
    return handle.value


def poll(handle: int) -> bool:
    """Whether the operation is complete. ValueError for an unknown handle."""
    done = ctypes.c_int()
    check(library.ronde_test(handle, done))
    return bool(done.value)


def synchronize(handle: int) -> Any:
    """Waits for an operation and returns its result; raises its error."""
    status = library.ronde_wait(handle)
    _, result = _in_flight.pop(handle, (None, None))
    check(status)
    return result


def allreduce(tensor: Any, name: Optional[str] = None, op: int = 0, **more: Any) -> Any:
    """Reduces an array over the ranks and returns the result."""
    return synchronize(allreduce_async(tensor, name, op, **more))


def barrier() -> None:
    """Returns when every rank has called it."""
    check(library.ronde_barrier())
