"""What each run did, one JSON line per finished operation, written before the state knows of it.

``started``, then the operations in the caller's own form, then ``finished``. Lines reach the kernel at once, so they
survive the death of the process; ``barrier`` makes them survive a power cut and is called before every delete. A line
torn by a crash is no line. The journals of the last KEPT runs are kept.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Protocol

from attrs import frozen

from ..errors import StateError

KEPT = 1000
"""As many as the state remembers runs: a version in the trash is best explained by the journal of its run."""

_SUFFIX = ".jsonl"
_TAIL = 1 << 16


class Shelf(Protocol):
    """Where journals lie: named append-only byte strings, named so that their order is that of their runs."""

    def names(self) -> List[str]:
        """Return all names, oldest first."""

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield the lines of one journal with their ends; the last one may be torn. An unknown name has none."""

    def tail(self, name: str) -> bytes:
        """Return the last bytes of one journal, at least its last line unless that is extraordinarily long."""

    def cut(self, name: str, size: int) -> None:
        """Keep only the first *size* bytes."""

    def append(self, name: str, line: bytes) -> None:
        """Add one line, or several."""

    def flush(self, name: str) -> None:
        """Return once all lines survive a power cut."""

    def close(self, name: str) -> None:
        """Let go of what appending needed."""

    def remove(self, name: str) -> None:
        """Forget one journal."""


class FileShelf:
    """Journals as files of one directory, which is made with the first of them."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._open: Dict[str, int] = {}

    def names(self) -> List[str]:
        """Return the names of all journals in the directory, oldest first."""
        try:
            found = os.listdir(self._directory)
        except FileNotFoundError:
            return []
        return sorted(name[: -len(_SUFFIX)] for name in found if name.endswith(_SUFFIX))

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield the lines of one file."""
        try:
            with open(self._path(name), "rb") as file:
                yield from file
        except FileNotFoundError:
            return

    def tail(self, name: str) -> bytes:
        """Return the end of one file."""
        with open(self._path(name), "rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - _TAIL, 0))
            return file.read()

    def cut(self, name: str, size: int) -> None:
        """Shorten one file."""
        os.truncate(self._path(name), size)

    def append(self, name: str, line: bytes) -> None:
        """Write one line at the end of one file."""
        with self._written(name):
            descriptor = self._open.get(name)
            if descriptor is None:
                descriptor = self._open[name] = self._opened(name)
            while line:
                line = line[os.write(descriptor, line) :]

    @contextmanager
    def _written(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StateError(
                f"The journal {self._path(name)} cannot be written: {error.strerror}. What was done stands, and the "
                "next run finds it; see that the disk of the state is mounted, writable and not full."
            ) from error

    def _opened(self, name: str) -> int:
        os.makedirs(self._directory, mode=0o700, exist_ok=True)
        descriptor = os.open(self._path(name), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        sync_directory(self._directory)
        return descriptor

    def flush(self, name: str) -> None:
        """Have the kernel write one file to the disk."""
        with self._written(name):
            os.fsync(self._open[name])

    def close(self, name: str) -> None:
        """Close one file."""
        descriptor = self._open.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)

    def remove(self, name: str) -> None:
        """Delete one file."""
        os.unlink(self._path(name))

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name + _SUFFIX)


def sync_directory(directory: str) -> None:
    """Make names that were created or replaced in *directory* survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class MemoryShelf:
    """Journals that live as long as the process."""

    def __init__(self) -> None:
        self._journals: Dict[str, bytearray] = {}

    def names(self) -> List[str]:
        """Return the names of all journals, oldest first."""
        return sorted(self._journals)

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield the lines of one journal."""
        yield from bytes(self._journals.get(name, b"")).splitlines(keepends=True)

    def tail(self, name: str) -> bytes:
        """Return one journal."""
        return bytes(self._journals[name])

    def cut(self, name: str, size: int) -> None:
        """Shorten one journal."""
        del self._journals[name][size:]

    def append(self, name: str, line: bytes) -> None:
        """Add one line."""
        self._journals.setdefault(name, bytearray()).extend(line)

    def flush(self, name: str) -> None:
        """Do nothing: memory does not survive a power cut."""

    def close(self, name: str) -> None:
        """Do nothing: there is nothing to let go of."""

    def remove(self, name: str) -> None:
        """Forget one journal."""
        del self._journals[name]


@frozen
class Started:
    """The first line of a journal: which plan a run performs, on which generation of the state."""

    run_id: str
    plan_digest: str
    root_digest: str
    generation: int
    started_at: datetime
    source: Optional[str] = None
    """The identity of the side that was the source: the roles may have been swapped since."""
    mode: Optional[str] = None
    trash: Optional[str] = None
    """Where versions were kept; None: below each side."""


class JournalWriter:
    """The journal of the run that is going on; every method may be called from any thread."""

    def __init__(self, shelf: Shelf, run_id: str) -> None:
        self._shelf = shelf
        self._run_id = run_id
        self._mutex = threading.Lock()
        self._flushed = False

    def append(self, line: Mapping[str, Any]) -> None:
        """Write one finished operation, a mapping that JSON can hold, in the caller's own form."""
        self._write("operation", line)

    def append_lines(self, lines: Iterable[str]) -> None:
        """Write several finished operations with one call of the system; each is the text of a JSON object."""
        text = "".join([f'{{"event": "operation", {line[1:]}\n' for line in lines])
        with self._mutex:
            self._shelf.append(self._run_id, text.encode("ascii"))
            self._flushed = False

    def agree(self, line: Mapping[str, Any]) -> None:
        """Write what both sides were found to agree on without any operation."""
        self._write("agreement", line)

    def barrier(self) -> None:
        """Return once everything written so far survives a power cut; called before every delete."""
        with self._mutex:
            if not self._flushed:
                self._shelf.flush(self._run_id)
                self._flushed = True

    def finish(self, finished_at: datetime, *, applied_in_full: bool) -> None:
        """Write the last line and make the journal durable; *applied_in_full* says that nothing is left to do."""
        self._write("finished", {"finished_at": finished_at.isoformat(), "applied_in_full": applied_in_full})
        self.barrier()
        self.close()

    def close(self) -> None:
        """Let go of the file; a run that did not finish stays without a last line."""
        self._shelf.close(self._run_id)

    def start(self, started: Started) -> None:
        """Write the first line."""
        members = {
            "run_id": started.run_id,
            "plan_digest": started.plan_digest,
            "root_digest": started.root_digest,
            "generation": started.generation,
            "started_at": started.started_at.isoformat(),
            "source": started.source,
            "mode": started.mode,
            "trash": started.trash,
        }
        self._write("started", members)

    def _write(self, event: str, members: Mapping[str, Any]) -> None:
        line = json.dumps({"event": event, **members}, separators=(",", ":")).encode("ascii") + b"\n"
        with self._mutex:
            self._shelf.append(self._run_id, line)
            self._flushed = False


class Journal:
    """All journals of one pair."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    @classmethod
    def at(cls, directory: str) -> Journal:
        """Return the journals in the ``runs`` folder of a pair's *directory*."""
        return cls(FileShelf(os.path.join(directory, "runs")))

    def start(self, started: Started) -> JournalWriter:
        """Begin the journal of a new run, or go on with that of a run which did not finish.

        The oldest journals beyond KEPT are deleted. Raises StateError where the run has finished already.
        """
        writer = JournalWriter(self._shelf, started.run_id)
        if started.run_id in self._shelf.names():
            self._reopen(started.run_id)
        else:
            self._prune()
        writer.start(started)
        return writer

    def _reopen(self, run_id: str) -> None:
        last = _whole_line(self._shelf.tail(run_id).splitlines(keepends=True)[-1:])
        if last is not None and last.get("event") == "finished":
            raise StateError(f"The run {run_id} has finished; it cannot be continued.")
        sound = sum(len(line) for line in self._shelf.lines(run_id) if line.endswith(b"\n"))
        self._shelf.cut(run_id, sound)

    def _prune(self) -> None:
        for name in self._shelf.names()[: -(KEPT - 1)]:
            self._shelf.remove(name)

    def runs(self) -> List[str]:
        """Return the ids of all runs that have a journal, newest first."""
        return self._shelf.names()[::-1]

    def read(self, run_id: str) -> Iterator[Dict[str, Any]]:
        """Yield the lines of one run, a torn last one left out.

        Each has ``event``: started, agreement, operation or finished.

        Raises StateError where a line in the middle cannot be read.
        """
        for line in self._shelf.lines(run_id):
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line)
            except ValueError as error:
                raise StateError(f"The journal of run {run_id} is damaged: {error}.") from error

    def already_applied(self, plan_digest: str) -> Optional[str]:
        """Return the run that applied exactly this plan in full, or None."""
        for run_id in self.runs():
            first = next(self.read(run_id), {})
            if first.get("plan_digest") == plan_digest and self._in_full(run_id):
                return run_id
        return None

    def _in_full(self, run_id: str) -> bool:
        last = _whole_line(self._shelf.tail(run_id).splitlines(keepends=True)[-1:])
        return last is not None and last.get("event") == "finished" and bool(last.get("applied_in_full"))


def _whole_line(lines: List[bytes]) -> Optional[Dict[str, Any]]:
    if not lines or not lines[0].endswith(b"\n"):
        return None
    try:
        found = json.loads(lines[0])
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
