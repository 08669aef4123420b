"""State at a URL: the files of one pair, read and written through a storage client, conditionally."""

from __future__ import annotations

import io
import json
from typing import Optional, Tuple

from attrs import frozen

from .core.canonical import stamp_record
from .core.entry import Entry, Kind, Stamp
from .errors import NotFound
from .state.records import pair_id
from .storage.location import locate
from .storage.protocol import Precondition, StorageClientProtocol, SupportsProof, exactly, expecting


class _Content(io.BytesIO):
    """Bytes in memory as a Source."""

    local_path: Optional[str] = None

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.size: Optional[int] = len(content)

    def verify(self) -> Stamp:
        return Stamp(size=self.size)


@frozen
class StoredFile:
    """One file of the state; its stamp is the canonical text of the storage's own."""

    client: StorageClientProtocol
    path: str

    def stamp(self) -> Optional[str]:
        """Return the stamp of what stands there, or None."""
        entry = self._entry()
        return None if entry is None else _text(entry.stamp)

    def fetch(self) -> Optional[Tuple[bytes, str]]:
        """Return the content and its stamp, or None where nothing stands there."""
        entry = self._entry()
        if entry is None:
            return None
        try:
            with self.client.read(self.path, expect=entry.stamp) as content:
                data = content.read()
                return data, _text(content.verify())
        except NotFound:
            return None

    def put(self, content: bytes, expected: Optional[str]) -> str:
        """Replace exactly the version *expected* and return the new stamp."""
        return _text(self.client.write(self.path, _Content(content), expect=self._expecting(expected)))

    def delete(self, expected: str) -> None:
        """Delete exactly the version *expected*."""
        self.client.delete(self.path, expect=self._expecting(expected))

    def _entry(self) -> Optional[Entry]:
        entry = self.client.stat(self.path)
        return entry if entry is not None and entry.kind is Kind.FILE else None

    def _expecting(self, expected: Optional[str]) -> Precondition:
        if expected is None:
            return expecting(None)
        entry = self._entry()
        # Another version stands there already: the recorded text cannot match, and the storage says so.
        stamp = entry.stamp if entry is not None and _text(entry.stamp) == expected else _OTHER
        return exactly(stamp)


_OTHER = Stamp(size=-1)


def _text(stamp: Stamp) -> str:
    return json.dumps(stamp_record(stamp), sort_keys=True)


@frozen
class StoredPlace:
    """Where the state of one pair lives at a URL."""

    client: StorageClientProtocol
    shown: str
    database: StoredFile
    lock: StoredFile

    @classmethod
    def at(cls, url: str, source_identity: str, destination_identity: str) -> StoredPlace:
        """Return the place of one pair below *url*."""
        location = locate(url)
        client = location.open()
        folder = pair_id(source_identity, destination_identity)
        return cls(
            client, location.url, StoredFile(client, f"{folder}/state.sqlite"), StoredFile(client, f"{folder}/lock")
        )

    @property
    def conditional(self) -> bool:
        """Whether the storage can write under conditions, or may: what has to be tried out is not, by a plan."""
        return isinstance(self.client, SupportsProof) or self._holds()

    def prove(self) -> bool:
        """Return whether the storage can write under conditions, found out by harmless requests."""
        if isinstance(self.client, SupportsProof):
            self.client.prove()
        return self._holds()

    def _holds(self) -> bool:
        conditions = self.client.capabilities
        return conditions.create_if_absent and conditions.replace_if_unchanged
