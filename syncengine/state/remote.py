"""State at a URL: a local working copy of the database, fetched before use and put back with a precondition.

The remote file is the truth and may lag behind the working copy of a running or crashed run. Two machines cannot both
win: whoever puts second finds another version there, records nothing remotely, and fetches the other's at its next
start. A lost commit costs comparisons, never files (the state may lag, it never leads).
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from typing import Iterator, Optional, Protocol, Tuple

from ..errors import PreconditionFailed, StateError

_NOTE = "remote.json"


class RemoteFile(Protocol):
    """One file of a storage; stamps are texts of the implementation's choosing that tell versions apart.

    Every method raises StorageError where the storage fails.
    """

    def stamp(self) -> Optional[str]:
        """Return the stamp of what stands there, or None; cheaper than a fetch."""

    def fetch(self) -> Optional[Tuple[bytes, str]]:
        """Return the content and its stamp, or None where nothing stands there."""

    def put(self, content: bytes, expected: Optional[str]) -> str:
        """Replace exactly the version *expected* (None: nothing stands there) and return the new stamp.

        Raises PreconditionFailed where something else stands there.
        """

    def delete(self, expected: str) -> None:
        """Delete exactly the version *expected*, or raise PreconditionFailed."""


class RemotePlace(Protocol):
    """Where the state of one pair lives at a URL."""

    @property
    def conditional(self) -> bool:
        """Whether the storage itself can create-if-absent and replace-if-unchanged, or may, for all that is known."""

    def prove(self) -> bool:
        """Return whether it can, found out by writing where nobody knows yet."""

    @property
    def shown(self) -> str:
        """The redacted URL."""

    @property
    def database(self) -> RemoteFile:
        """The database; this machine works on a copy of it."""

    @property
    def lock(self) -> RemoteFile:
        """The lock object."""


class WorkingCopy:
    """The local copy of a remote database, at *path* in a directory of this pair alone."""

    def __init__(self, place: RemotePlace, path: str) -> None:
        self._place = place
        self._path = path
        self._note_path = os.path.join(os.path.dirname(path), _NOTE)

    def refresh(self) -> None:
        """Make the working copy the remote version, or keep it where it was made from exactly that version.

        So a crashed run's copy goes on where it stopped, unless another machine has put its own since.
        """
        remote = self._place.database.stamp()
        if remote is None and not os.path.exists(self._path):
            return
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        with self._alone():
            if not os.path.exists(self._path) or self._noted() != self._place.database.stamp():
                self._fetch()

    def _fetch(self) -> None:
        found = self._place.database.fetch()
        self._drop()
        if found is not None:
            content, stamp = found
            _replace(self._path, content)
            self._note(stamp)

    def push(self, content: bytes) -> None:
        """Put *content* in the place of the version this copy was made from; raises StateError where it is gone."""
        with self._alone():
            try:
                self._note(self._place.database.put(content, self._noted()))
            except PreconditionFailed as error:
                raise StateError(
                    f"Another machine replaced the state of this pair at {self._place.shown} during this run. What "
                    "this run did is done, but not recorded there; run it again, it will compare and record what is "
                    "equal."
                ) from error

    def remove(self) -> None:
        """Delete the remote version, whatever it is, and the working copy."""
        stamp = self._place.database.stamp()
        if stamp is not None:
            self._place.database.delete(stamp)
        self._drop()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # A planner must not take the copy of a run on this machine for outdated between its put and its note.
        import fcntl

        with open(self._note_path + ".lock", "ab") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            yield

    def _noted(self) -> Optional[str]:
        """Return the stamp of the remote version that the working copy was last equal to."""
        try:
            with open(self._note_path, "rb") as file:
                stamp: Optional[str] = json.load(file)["stamp"]
        except FileNotFoundError:
            return None
        return stamp

    def _note(self, stamp: str) -> None:
        _replace(self._note_path, json.dumps({"stamp": stamp}).encode("ascii"))

    def _drop(self) -> None:
        # The note goes last: a crash in between leaves a note that is not the remote stamp, so all is fetched anew.
        for path in (self._path + "-wal", self._path + "-shm", self._path, self._note_path):
            with suppress(FileNotFoundError):
                os.unlink(path)


def _replace(path: str, content: bytes) -> None:
    temporary = path + ".new"
    with open(temporary, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
