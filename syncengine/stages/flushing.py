"""A flush that is on its way: what was written becomes durable while other files are still being copied.

The rows that tell of those files wait here and are committed when the flush has returned, never before: the state may
lag behind reality and never leads. To wait for a disk needs no processor, so this costs a copy nothing.
"""

from __future__ import annotations

import threading
from typing import Mapping, Optional, Sequence, Set

from ..core.entry import Base
from ..storage.protocol import SupportsFlush


class Flushing:
    """The flush of *clients*, begun when this is made, with the rows and the forgotten positions that wait for it."""

    def __init__(self, clients: Sequence[SupportsFlush], rows: Mapping[str, Base], forgotten: Set[str]) -> None:
        self.rows = rows
        self.forgotten = forgotten
        self._clients = clients
        self._error: Optional[BaseException] = None
        # A daemon: a run that was broken off leaves its rows uncommitted and need not wait for the disk.
        self._thread = threading.Thread(target=self._flush, name="syncengine-flush", daemon=True)
        self._thread.start()

    def _flush(self) -> None:
        try:
            for client in self._clients:
                client.flush()
        except BaseException as error:  # noqa: BLE001 - raised again where the result is waited for
            self._error = error

    @property
    def ended(self) -> bool:
        """Whether waiting would take no time."""
        return not self._thread.is_alive()

    def wait(self) -> None:
        """Return once everything is durable; raises what the flush raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
