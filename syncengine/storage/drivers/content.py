"""Content on its way between a storage and this machine: counted, checked, collected."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from typing import Any, ContextManager, Iterator, Optional

from attrs import define

from ...errors import PreconditionFailed
from ..protocol import Source

CHUNK_BYTES = 1 << 20
IN_MEMORY_BYTES = 8 << 20


@define
class Incoming:
    """Content on its way into a storage, counted; ``failure`` is what the content itself raised."""

    content: Source
    count: int = 0
    failure: Optional[BaseException] = None

    def read(self, size: int = -1) -> bytes:
        """Return up to *size* bytes of the content."""
        with self._noted():
            data = self.content.read(size)
        self.count += len(data)
        return data

    def finish(self) -> None:
        """Check that the content has its length and did not change while it was being read."""
        with self._noted():
            if self.content.size is not None and self.content.size != self.count:
                raise PreconditionFailed(f"the content has {self.count} bytes instead of {self.content.size}")
            self.content.verify()

    @contextmanager
    def _noted(self) -> Iterator[None]:
        # A library in between may wrap what the content raises; the writer reports the original.
        try:
            yield
        except BaseException as error:
            self.failure = error
            raise


class Readable:
    """A file that is being read, one chunk at a time under the lock of its filesystem."""

    def __init__(self, stream: Any, lock: ContextManager[Any]) -> None:
        self._stream = stream
        self._lock = lock

    def read(self, size: int = -1) -> bytes:
        """Return up to *size* bytes."""
        with self._lock:
            return bytes(self._stream.read(size))

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._stream.close()


@contextmanager
def collected(incoming: Incoming) -> Iterator[Any]:
    """Collect the content in memory, or in a local file where it is large."""
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as spool:
        pour(incoming, spool)
        spool.seek(0)
        yield spool


@contextmanager
def checked(incoming: Incoming) -> Iterator[Any]:
    """Collect the content and check it."""
    with collected(incoming) as spool:
        incoming.finish()
        yield spool


def pour(source: Any, target: Any) -> None:
    """Send everything that *source* has left to *target*, in pieces."""
    while True:
        chunk = source.read(CHUNK_BYTES)
        if not chunk:
            return
        target.write(chunk)
