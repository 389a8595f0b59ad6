# SPDX-License-Identifier: Apache-2.0
"""Starting, stopping, and this process's place in the job."""

import atexit

from ronde._library import check, library


def init() -> None:
    """Starts the runtime. Collective. Does nothing when it runs already."""
    check(library.ronde_init(None))


def shutdown() -> None:
    """Ends the runtime on all ranks."""
    check(library.ronde_shutdown())


def is_initialized() -> bool:
    """Whether the runtime runs."""
    return bool(library.ronde_is_initialized())


def rank() -> int:
    """This process's number in the job. ValueError before init()."""
    return check(library.ronde_rank())


def size() -> int:
    """Number of ranks in the job. ValueError before init()."""
    return check(library.ronde_size())


def local_rank() -> int:
    """This rank's number on its node. ValueError before init()."""
    return check(library.ronde_local_rank())


def local_size() -> int:
    """Number of ranks on this node. ValueError before init()."""
    return check(library.ronde_local_size())


def cross_rank() -> int:
    """This rank's number among those with its local rank. ValueError before init()."""
    return check(library.ronde_cross_rank())


def cross_size() -> int:
    """Number of ranks with this local rank. ValueError before init()."""
    return check(library.ronde_cross_size())


def is_homogeneous() -> bool:
    """Whether all nodes have equally many ranks. ValueError before init()."""
    return bool(check(library.ronde_is_homogeneous()))


atexit.register(library.ronde_shutdown)
