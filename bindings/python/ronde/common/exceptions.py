# SPDX-License-Identifier: Apache-2.0
"""Exceptions, with the names that scripts written for Horovod catch."""


class HorovodInternalError(RuntimeError):
    """An operation failed: ranks disagree, a rank was lost, or the runtime was shut down."""


class HostsUpdatedInterrupt(RuntimeError):
    """The set of hosts has changed; the state of training is still good."""

    def __init__(self, skip_sync: bool = False) -> None:
        super().__init__("the set of hosts has changed")
        self.skip_sync = skip_sync
