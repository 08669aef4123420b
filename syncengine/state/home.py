"""Where the state of one pair lives: a directory, a URL with a local working copy, or this process."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import Callable, Dict, Optional, Protocol

from ..errors import StateError
from .database import COMPANIONS, Database, create_database, memory_database, open_database, remove_database
from .journal import FileShelf, MemoryShelf, Shelf
from .lock import FileCell, MemoryCell, ReadableCell, RemoteCell
from .remote import RemotePlace, WorkingCopy
from .schema import Header

DATABASE = "state.sqlite"
_LOCK = "lock"
_MARK = "damaged.txt"
_CURE = (
    "Nothing is compared with it any more. `syncengine state reset` makes the next run a first sync, which deletes "
    "nothing in two-way mode."
)


class Home(Protocol):
    """What the manager needs of a place; ``shown`` names it in messages."""

    shown: str
    cell: ReadableCell
    shelf: Shelf

    def open(self) -> Optional[Database]:
        """Open the database, or return None where there is none; creates nothing."""

    def prepare(self) -> None:
        """Make the place itself, so that a lock can be taken there."""

    def create(self, header: Header) -> Database:
        """Make a new database."""

    def committed(self, database: Database, *, last: bool) -> None:
        """Take note of a commit; *last* says that the run ends with it."""

    def close(self, database: Database) -> None:
        """Let go of an open database."""

    def set_aside(self, reason: str) -> StateError:
        """Put a damaged database out of the way, never delete it, and return the error that says so."""

    def discard(self) -> None:
        """Delete the database and the mark of an earlier damage; journals and what was set aside stay."""

    def erase(self) -> None:
        """Delete everything about this pair."""


class DirectoryHome:
    """A directory of this pair alone."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.path = os.path.join(directory, DATABASE)
        self.shown = self.path
        self.cell: ReadableCell = FileCell(os.path.join(directory, _LOCK))
        self.shelf: Shelf = FileShelf(os.path.join(directory, "runs"))
        self._mark = os.path.join(directory, _MARK)

    def open(self) -> Optional[Database]:
        """Open the database; raises StateError as long as a damage was not answered by a reset."""
        if os.path.exists(self._mark):
            with open(self._mark, encoding="utf-8", errors="surrogateescape") as file:
                raise StateError(file.read() or f"The state {self.path} was damaged. {_CURE}")
        return open_database(self.path) if os.path.exists(self.path) else None

    def prepare(self) -> None:
        """Make the directory, readable by its owner alone: paths are nobody else's business."""
        try:
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
        except OSError as error:
            raise StateError(
                f"The state directory {self.directory} cannot be made: {error.strerror}. Choose another with `state`."
            ) from error

    def create(self, header: Header) -> Database:
        """Make a new database in the directory."""
        return create_database(self.path, header)

    def committed(self, database: Database, *, last: bool) -> None:
        """Do nothing: a commit is durable here."""

    def close(self, database: Database) -> None:
        """Close the file."""
        database.close()

    def set_aside(self, reason: str) -> StateError:
        """Rename the files and leave a mark, so that the pair stays refused until somebody decides."""
        message = f"The state {self.path} is damaged: {reason}. It was set aside as {self._rename()}. {_CURE}"
        with open(self._mark, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(message)
        return StateError(message)

    def _rename(self) -> str:
        aside = self._free_name()
        for companion in ("", *COMPANIONS):
            with suppress(FileNotFoundError):
                os.rename(self.path + companion, aside + companion)
        return aside

    def _free_name(self) -> str:
        number = 1
        while os.path.exists(f"{self.path}.damaged-{number}"):
            number += 1
        return f"{self.path}.damaged-{number}"

    def discard(self) -> None:
        """Delete the database and the mark."""
        remove_database(self.path)
        with suppress(FileNotFoundError):
            os.unlink(self._mark)

    def erase(self) -> None:
        """Delete everything in the directory but the lock, which the eraser itself holds."""
        import shutil

        for name in os.listdir(self.directory):
            path = os.path.join(self.directory, name)
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif name != _LOCK:
                os.unlink(path)


class RemoteHome(DirectoryHome):
    """A URL, with a working copy in a local directory; journals stay on this machine.

    The remote version is replaced at a commit if the last replacement is *push_every* seconds ago, and at the end.
    """

    def __init__(
        self, place: RemotePlace, directory: str, *, single_writer: bool, push_every: float, clock: Callable[[], float]
    ) -> None:
        super().__init__(directory)
        self.shown = place.shown
        self._place = place
        self._single_writer = single_writer
        self._must_hold(conditional=place.conditional)
        if place.conditional:
            self.cell = RemoteCell(place.lock)
        self._copy = WorkingCopy(place, self.path)
        self._push_every = push_every
        self._clock = clock
        self._pushed_at = clock()

    def _must_hold(self, *, conditional: bool) -> None:
        if conditional or self._single_writer:
            return
        raise StateError(
            f"The state cannot be kept at {self.shown}: this storage cannot create-if-absent and "
            "replace-if-unchanged, so two machines could overwrite each other's state. Keep it elsewhere, or pass "
            "state_single_writer=True where only one machine ever syncs this pair."
        )

    def prepare(self) -> None:
        """Make sure, before the first write, that what is written there can be written under conditions."""
        self._must_hold(conditional=self._place.prove())
        super().prepare()

    def open(self) -> Optional[Database]:
        """Fetch what is newer and open the working copy."""
        self._copy.refresh()
        return super().open()

    def committed(self, database: Database, *, last: bool) -> None:
        """Replace the remote version, if it is time."""
        if last or self._clock() - self._pushed_at >= self._push_every:
            self._copy.push(database.content())
            self._pushed_at = self._clock()

    def set_aside(self, reason: str) -> StateError:
        """Rename the working copy; the next start fetches the remote version and refuses it if it is damaged too."""
        return StateError(
            f"The working copy of the state at {self.shown} is damaged: {reason}. It was set aside as "
            f"{self._rename()}. Run again to fetch the state anew; if that is damaged too: {_CURE}"
        )

    def discard(self) -> None:
        """Delete the remote version, the working copy and the mark."""
        self._copy.remove()
        super().discard()

    def erase(self) -> None:
        """Delete the remote version and what is kept here."""
        self._copy.remove()
        super().erase()


class _Resident:
    """The state of one pair in this process."""

    def __init__(self) -> None:
        self.database: Optional[Database] = None
        self.cell = MemoryCell()
        self.shelf = MemoryShelf()


_RESIDENTS: Dict[str, _Resident] = {}


class MemoryHome:
    """This process: state of roots that die with it, found again by the next plan of the same pair."""

    def __init__(self, pair_id: str) -> None:
        self._pair_id = pair_id
        self._resident = _RESIDENTS.setdefault(pair_id, _Resident())
        self.shown = "the memory of this process"
        self.cell: ReadableCell = self._resident.cell
        self.shelf: Shelf = self._resident.shelf

    def open(self) -> Optional[Database]:
        """Return the database of this pair."""
        return self._resident.database

    def prepare(self) -> None:
        """Do nothing: memory is there."""

    def create(self, header: Header) -> Database:
        """Make a database in memory."""
        self._resident.database = memory_database(self.shown, header)
        return self._resident.database

    def committed(self, database: Database, *, last: bool) -> None:
        """Do nothing: nothing outlives the process."""

    def close(self, database: Database) -> None:
        """Do nothing: the next plan needs it."""

    def set_aside(self, reason: str) -> StateError:
        """Report the damage; a database in memory has no files to keep."""
        return StateError(f"The state in the memory of this process is damaged: {reason}. {_CURE}")

    def discard(self) -> None:
        """Forget the database."""
        database, self._resident.database = self._resident.database, None
        if database is not None:
            database.close()

    def erase(self) -> None:
        """Forget the database and the journals."""
        self.discard()
        for name in self.shelf.names():
            self.shelf.remove(name)


def home_of(
    directory: str,
    pair_id: str,
    *,
    remote: Optional[RemotePlace] = None,
    ephemeral: bool = False,
    single_writer: bool = False,
    push_every: float,
    clock: Callable[[], float] = time.time,
) -> Home:
    """Return where the state of a pair lives."""
    if ephemeral:
        return MemoryHome(pair_id)
    if remote is not None:
        return RemoteHome(remote, directory, single_writer=single_writer, push_every=push_every, clock=clock)
    return DirectoryHome(directory)
