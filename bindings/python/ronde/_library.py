# SPDX-License-Identifier: Apache-2.0
"""The C library: finding it, its structs, and its errors as exceptions.

ctypes releases the GIL during each call, so a thread that waits holds nobody up.
"""

import ctypes
import os
from ctypes import POINTER, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint64, c_void_p
from pathlib import Path
from typing import Optional

from ronde.common.exceptions import HorovodInternalError

# Mistakes of this rank alone; every other error concerns the job.
_LOCAL = {
    -1: "NOT_INITIALIZED",
    -2: "INVALID_ARGUMENT",
    -3: "UNKNOWN_HANDLE",
    -4: "DUPLICATE_NAME",
    -9: "CONFIGURATION",
}


class Options(ctypes.Structure):
    """ronde_options."""

    _fields_ = [
        ("size", c_size_t),
        ("process_set", c_int),
        ("ndim", c_int),
        ("shape", POINTER(c_int64)),
        ("prescale", c_double),
        ("postscale", c_double),
        ("partial_splits", c_int),
    ]


def _load() -> ctypes.CDLL:
    given = os.environ.get("RONDE_LIBRARY")
    beside = Path(__file__).parent / "lib" / "libronde.so"
    path = given or (str(beside) if beside.exists() else "libronde.so.0")
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(
            f"Ronde's library cannot be loaded: {error}. RONDE_LIBRARY can name it; "
            "it needs hwloc (on Debian the package libhwloc15)"
        ) from None


library = _load()
library.ronde_error_message.restype = c_char_p
library.ronde_test.argtypes = [c_uint64, POINTER(c_int)]
library.ronde_wait.argtypes = [c_uint64]
library.ronde_allreduce_async.argtypes = [
    c_char_p, c_void_p, c_void_p, c_int64, c_int, c_int, POINTER(Options), POINTER(c_uint64),
]  # fmt: skip


def check(status: int) -> int:
    """Returns a status that is no error.

    Raises ValueError for a mistake of this rank's caller, else HorovodInternalError.
    """
    if status >= 0:
        return status
    text = library.ronde_error_message().decode(errors="replace")
    raise (ValueError if status in _LOCAL else HorovodInternalError)(text)


def encode(name: Optional[str]) -> Optional[bytes]:
    """A tensor's name for C."""
    return None if name is None else name.encode()
