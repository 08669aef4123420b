"""One SQLite database: opening, transactions that keep the header true, snapshots, and the full check."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from attrs import evolve

from ..errors import StateError
from .journal import sync_directory
from .schema import (
    ABSENT,
    FORMAT,
    SUM,
    TABLES,
    Damage,
    Header,
    Stored,
    Tally,
    converted,
    header_bytes,
    header_from,
    is_file,
    is_live,
    packed,
    packs,
    seal,
    unpacked,
    verify,
    with_generation,
)

if TYPE_CHECKING:
    from sqlite3 import Connection

_BUSY_SECONDS = 10.0
ROWS_AT_A_TIME = 512
_FEW = 512
"""So many rows that stand among new ones are found sooner together than each by itself."""
_HEADER_KEY = b"header"
_BACKUP = "state.sqlite.copy"
COMPANIONS = ("-wal", "-shm", "-journal")
"""What SQLite may leave beside a database after a crash; it belongs to exactly that database."""

_READ_HEADER = "select seal, document from header where id = 1"
_READ_ALL = "select position, seal, payload from rows order by position"
_READ_SOME = "select position, payload from rows where position > ? order by position limit ?"
_READ_RANGE = (
    "select position, seal, payload from rows where position >= :low and (:high is null or position < :high)"
    " order by position"
)
_KEEP_RANGE = (
    "insert or ignore into undo select position, seal, payload from rows where position >= :low and position < :high"
)
_SHARED_MEMORY_WORDS = ("unable to open", "disk I/O", "locking protocol")
# What a damaged schema makes SQLite say; everything else an OperationalError says is about the machine.
_SCHEMA_WORDS = ("no such", "has no column", "unsupported file format", "Could not decode", "malformed")


@contextmanager
def translated(shown: str) -> Iterator[None]:
    """Turn what SQLite raises into Damage (what is stored is broken) or StateError (it cannot be used now)."""
    import sqlite3

    try:
        yield
    except sqlite3.Error as error:
        words = str(error)
        broken = type(error) is sqlite3.DatabaseError or any(word in words for word in _SCHEMA_WORDS)
        if broken:
            raise Damage(words) from error
        raise StateError(
            f"The state {shown} cannot be used: {words}. See that its disk is mounted, writable and not full, and that "
            "no other run is using it."
        ) from error


class Draft:
    """What one transaction changes; the counts and the sum of the header follow every row."""

    def __init__(self, connection: Connection, header: Header) -> None:
        self._connection = connection
        self._rows, self._live, self._live_files, self._total = (
            header.rows,
            header.live,
            header.live_files,
            header.total,
        )
        self.header = header

    def find(self, position: bytes) -> Optional[bytes]:
        """Return the stored row at *position*."""
        found = find(self._connection, position)
        return None if found is None else found[1]

    def put(self, position: bytes, payload: bytes) -> None:
        """Store a row, keeping what stood there as an undo row."""
        self._set_aside(position)
        self._store(position, seal(position, payload), payload)

    def put_all(self, rows: Iterable[Tuple[bytes, bytes]]) -> None:
        """Store many rows, position and content each, the last one of a position; like ``put`` for each of them."""
        made = sorted(dict(rows).items())
        # A first copy comes nearly in key order: little of the groups before stands between what a group brings.
        standing = self._standing_between(made[0][0], made[-1][0]) if made else set()
        singly = made if len(standing) > _FEW else [row for row in made if row[0] in standing]
        for position, payload in singly:
            self.put(position, payload)
        if len(singly) < len(made):
            self._put_new([row for row in made if row[0] not in standing])

    def _put_new(self, rows: Sequence[Tuple[bytes, bytes]]) -> None:
        """Store rows where none stands, by a few statements."""
        if not self.header.undo_empty:
            absent = [(position, seal(position, ABSENT), ABSENT) for position, _ in rows]
            self._connection.executemany("insert or ignore into undo values (?, ?, ?)", absent)
        sealed = [(position, seal(position, payload), payload) for position, payload in rows]
        self._connection.executemany("insert into rows values (?, ?, ?)", sealed)
        live = [position for position, _, payload in sealed if is_live(payload)]
        self._rows += len(sealed)
        self._live += len(live)
        self._live_files += sum(map(is_file, live))
        self._total += sum(checksum for _, checksum, _ in sealed)

    def _standing_between(self, first: bytes, last: bytes) -> Set[bytes]:
        """Return the positions of rows, one more than a few at most."""
        wanted = "select position from rows where position between ? and ? limit ?"
        return {position for (position,) in self._connection.execute(wanted, (first, last, _FEW + 1))}

    def drop(self, position: bytes) -> None:
        """Remove a row if there is one, keeping it as an undo row."""
        if self._set_aside(position):
            self._connection.execute("delete from rows where position = ?", (position,))

    def move(self, old: bytes, new: bytes, *, weak: bool = False) -> int:
        """Give the rows of the directory *old*, and all below it, to *new*; return how many there were.

        With *weak* they become so. One statement for all rows where ``put`` and ``drop`` need several for each. Nothing
        stands at *new*.
        """
        wanted = {"low": old + b"/", "high": old + b"0"}
        found: List[Stored] = self._connection.execute(_READ_RANGE, wanted).fetchall()
        moved: List[Stored] = []
        for position, checksum, payload in found:
            verify(position, checksum, payload)
            other, renewed = new + position[len(old) :], with_generation(payload, self.header.generation, weak=weak)
            moved.append((other, seal(other, renewed), renewed))
        if not self.header.undo_empty:
            self._connection.execute(_KEEP_RANGE, wanted)
            absent = [(other, seal(other, ABSENT), ABSENT) for other, _, _ in moved]
            self._connection.executemany("insert or ignore into undo values (?, ?, ?)", absent)
        self._connection.execute("delete from rows where position >= :low and position < :high", wanted)
        self._connection.executemany("insert into rows values (?, ?, ?)", moved)
        self._total += sum(checksum for _, checksum, _ in moved) - sum(checksum for _, checksum, _ in found)
        return len(moved)

    def _set_aside(self, position: bytes) -> bool:
        found = self._uncount(position)
        if not self.header.undo_empty:
            checksum, kept = (seal(position, ABSENT), ABSENT) if found is None else found
            # Only the first value in a generation is the previous generation's.
            self._connection.execute("insert or ignore into undo values (?, ?, ?)", (position, checksum, kept))
        return found is not None

    def _uncount(self, position: bytes) -> Optional[Tuple[int, bytes]]:
        found = find(self._connection, position)
        if found is not None:
            self._count(position, *found, sign=-1)
        return found

    def _store(self, position: bytes, checksum: int, payload: bytes) -> None:
        self._count(position, checksum, payload, sign=1)
        self._connection.execute("insert or replace into rows values (?, ?, ?)", (position, checksum, payload))

    def _count(self, position: bytes, checksum: int, payload: bytes, *, sign: int) -> None:
        live = sign if is_live(payload) else 0
        self._rows += sign
        self._live += live
        self._live_files += live if is_file(position) else 0
        self._total += sign * checksum

    def begin_generation(self) -> None:
        """Count one generation more and let the undo rows lead back to this one."""
        self._connection.execute("delete from undo")
        if self.header.format < FORMAT:
            self._convert()
        self.header = evolve(
            self.header,
            generation=self.header.generation + 1,
            undo=self.header.generation,
            undo_empty=self._rows == 0,
        )

    def _convert(self) -> None:
        """Write every row in the present form, so that no older version takes this database for one of its own."""
        after = b""
        while True:
            rows = self._connection.execute(_READ_SOME, (after, ROWS_AT_A_TIME)).fetchall()
            if not rows:
                break
            for position, payload in rows:
                self._uncount(position)
                content = converted(position, payload)
                self._store(position, seal(position, content), content)
            after = rows[-1][0]
        self.header = evolve(self.header, format=FORMAT)

    def go_back(self) -> None:
        """Put every undo row back in its place; there is no way further back."""
        if self.header.undo_empty:
            self._connection.execute("delete from rows")
            self._rows = self._live = self._live_files = self._total = 0
        for position, checksum, payload in self._connection.execute("select * from undo").fetchall():
            verify(position, checksum, payload)
            self._uncount(position)
            if payload == ABSENT:
                self._connection.execute("delete from rows where position = ?", (position,))
            else:
                self._store(position, checksum, payload)
        self._connection.execute("delete from undo")
        self.header = evolve(self.header, generation=self.header.generation + 1, undo=None, undo_empty=False)

    def put_intent(self, key: bytes, document: Any) -> None:
        """Store an intent."""
        content = packed(document)
        self._connection.execute("insert or replace into intents values (?, ?, ?)", (key, seal(key, content), content))

    def drop_intent(self, key: bytes) -> None:
        """Remove an intent if it is there."""
        self._connection.execute("delete from intents where id = ?", (key,))

    def put_run(self, key: bytes, document: Any, *, kept: int) -> None:
        """Store a run of the history; the oldest beyond *kept* are forgotten."""
        content = packed(document)
        found = self._connection.execute(
            "update runs set seal = ?, document = ? where id = ?", (seal(key, content), content, key)
        )
        if found.rowcount == 0:
            self._connection.execute(
                "insert into runs (id, seal, document) values (?, ?, ?)", (key, seal(key, content), content)
            )
            self._connection.execute("delete from runs where ordinal <= (select max(ordinal) from runs) - ?", (kept,))

    def save(self) -> Header:
        """Store the header as it now is, and return it."""
        self.header = evolve(
            self.header,
            rows=self._rows,
            live=self._live,
            live_files=self._live_files,
            total=self._total % SUM,
        )
        write_header(self._connection, self.header)
        return self.header


def find(connection: Connection, position: bytes) -> Optional[Tuple[int, bytes]]:
    """Return seal and content of the stored row at *position*, checked."""
    found: Optional[Tuple[int, bytes]] = connection.execute(
        "select seal, payload from rows where position = ?", (position,)
    ).fetchone()
    if found is not None:
        verify(position, *found)
    return found


def write_header(connection: Connection, header: Header) -> None:
    """Store *header*."""
    content = header_bytes(header)
    connection.execute("insert or replace into header values (1, ?, ?)", (seal(_HEADER_KEY, content), content))


def read_header(connection: Connection) -> Header:
    """Return the header; raises Damage without one, and StateError where a newer version of this package wrote it."""
    found = connection.execute(_READ_HEADER).fetchone()
    if found is None:
        raise Damage("it has no header")
    document = unpacked(_HEADER_KEY, *found)
    if document["format"] > FORMAT:
        raise StateError(
            f"The state was written in format {document['format']} by a newer version of syncengine; this one reads "
            f"format {FORMAT}. Install a newer version; nothing was changed."
        )
    return header_from(document)


class Database:
    """One open database, usable from several threads; readers have their own connections where WAL allows it."""

    def __init__(self, connection: Connection, shown: str, path: Optional[str] = None) -> None:
        self._connection = connection
        self._path = path
        self._mutex = threading.RLock()
        self.shown = shown
        self._concurrent = bool(connection.execute("pragma journal_mode").fetchone()[0] == "wal")

    def header(self) -> Header:
        """Read the header."""
        with self._mutex, translated(self.shown):
            return read_header(self._connection)

    def find(self, position: bytes) -> Optional[bytes]:
        """Return the stored row at *position*."""
        with self._mutex, translated(self.shown):
            found = find(self._connection, position)
        return None if found is None else found[1]

    def documents(self, table: str, order: str) -> Iterator[Tuple[bytes, Any]]:
        """Yield key and document of everything in a small table."""
        with self._mutex, translated(self.shown):
            stored = self._connection.execute(f"select id, seal, document from {table} order by {order}").fetchall()  # noqa: S608 - our own names
        for key, checksum, content in stored:
            yield key, unpacked(key, checksum, content)

    def undo(self) -> Iterator[Tuple[bytes, bytes]]:
        """Yield position and content of the undo rows, ABSENT where nothing stood."""
        with self.snapshot() as connection, translated(self.shown):
            if read_header(connection).undo_empty:
                for (position,) in connection.execute("select position from rows order by position"):
                    yield position, ABSENT
            for position, checksum, payload in connection.execute("select * from undo order by position"):
                verify(position, checksum, payload)
                yield position, payload

    @contextmanager
    def transaction(self) -> Iterator[Draft]:
        """Change everything or nothing; durable when the block ends."""
        with self._mutex, translated(self.shown):
            self._connection.execute("begin immediate")
            try:
                draft = Draft(self._connection, read_header(self._connection))
                yield draft
                draft.save()
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Give a connection that sees one moment, whatever is committed meanwhile."""
        with translated(self.shown):
            connection = self._reader()
        try:
            with translated(self.shown):
                connection.execute("begin")
            yield connection
        finally:
            connection.close()

    def _reader(self) -> Connection:
        if self._concurrent and self._path is not None:
            return _connection(self._path)
        import sqlite3

        # Without WAL a reader would stop the writer: a private copy, on disk if it is large, stands for the moment.
        copy = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        with self._mutex:
            self._connection.backup(copy)
        return copy

    def check(self) -> None:
        """Read everything and raise Damage where anything is not as it was written."""
        with self.snapshot() as connection, translated(self.shown):
            with _words_decoded():
                answers = [row[0] for row in connection.execute("pragma integrity_check(3)")]
            if answers != ["ok"]:
                raise Damage("; ".join(str(answer) for answer in answers))
            tally = Tally()
            for _ in packs(in_ranges(connection, [(b"", None)]), tally, swapped=False):
                pass
            tally.settle(read_header(connection))
            for position, checksum, payload in connection.execute("select position, seal, payload from undo"):
                verify(position, checksum, payload)
        for table in ("intents", "runs"):
            for _ in self.documents(table, "id"):
                pass

    def content(self) -> bytes:
        """Return the bytes of a complete database file that holds what is committed now."""
        import sqlite3

        assert self._path is not None
        copy = os.path.join(os.path.dirname(self._path), _BACKUP)
        remove_database(copy)
        with translated(self.shown):
            target = sqlite3.connect(copy)
            try:
                with self._mutex:
                    self._connection.backup(target)
                target.execute("pragma journal_mode=delete")
            finally:
                target.close()
        with open(copy, "rb") as file:
            content = file.read()
        remove_database(copy)
        return content

    def close(self) -> None:
        """Let go of the file; SQLite folds the log into it when the last connection closes."""
        with self._mutex:
            self._connection.close()


def in_ranges(connection: Connection, wanted: Sequence[Tuple[bytes, Optional[bytes]]]) -> Iterator[Sequence[Stored]]:
    """Yield the rows of several ranges in order, many at a time; the range of everything also holds what is no BLOB."""
    for low, high in wanted:
        if (low, high) == (b"", None):
            found = connection.execute(_READ_ALL)
        else:
            found = connection.execute(_READ_RANGE, {"low": low, "high": high})
        yield from iter(partial(found.fetchmany, ROWS_AT_A_TIME), [])


@contextmanager
def _words_decoded() -> Iterator[None]:
    # SQLite quotes the schema when it complains about it, and a flipped byte there need not be text.
    try:
        yield
    except UnicodeDecodeError as error:
        raise Damage("its schema is no text") from error


def _connection(path: str) -> Connection:
    import sqlite3

    # Every byte is escaped: no name can be taken for a part of the URI, and urllib need not be loaded.
    name = "".join(f"%{byte:02x}" for byte in os.fsencode(os.path.abspath(path)))
    uri = f"file:{name}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS)
    try:
        with _words_decoded():
            _settle(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _settle(connection: Connection) -> None:
    import sqlite3

    try:
        connection.execute("pragma journal_mode").fetchone()
    except sqlite3.OperationalError as error:
        if not any(word in str(error) for word in _SHARED_MEMORY_WORDS):
            raise
        # This disk cannot make the shared memory of WAL (a network disk): alone on the file, SQLite needs none.
        connection.execute("pragma locking_mode=exclusive")
        connection.execute("pragma journal_mode=delete")
        connection.execute("pragma locking_mode=normal")
        connection.execute("select 1 from sqlite_master").fetchone()
    connection.execute("pragma synchronous=full")
    connection.execute("pragma cell_size_check=on")


def open_database(path: str) -> Database:
    """Open an existing database; nothing is created or changed."""
    with translated(path):
        return Database(_connection(path), path, path)


def create_database(path: str, header: Header) -> Database:
    """Make a database whose first visible state is complete: built under another name, then renamed."""
    temporary = path + ".new"
    remove_database(temporary)
    # A log that outlived its database would be taken for that of the new one.
    remove_database(path)
    with open(temporary, "xb"):
        os.chmod(temporary, 0o600)
    with translated(path):
        connection = _connection(temporary)
        try:
            # Nobody knows the file yet: it is flushed once, before it gets its name, and not after each step.
            connection.execute("pragma synchronous=off")
            _use_wal(connection)
            _fill(connection, header)
        finally:
            connection.close()
        _flush(temporary)
    os.replace(temporary, path)
    sync_directory(os.path.dirname(path))
    return open_database(path)


def _flush(path: str) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _use_wal(connection: Connection) -> None:
    import sqlite3

    try:
        connection.execute("pragma journal_mode=wal")
    except sqlite3.OperationalError:
        # A disk without shared memory keeps the rollback journal; writers and readers then wait for each other.
        connection.execute("pragma journal_mode=delete")


def _fill(connection: Connection, header: Header) -> None:
    connection.execute("begin immediate")
    for statement in TABLES:
        connection.execute(statement)
    write_header(connection, header)
    connection.execute("commit")


def memory_database(shown: str, header: Header) -> Database:
    """Make a database that lives in this process."""
    import sqlite3

    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _fill(connection, header)
    return Database(connection, shown)


def remove_database(path: str) -> None:
    """Delete a database and what belongs to it; one that is not there is no error."""
    for name in (*(path + companion for companion in COMPANIONS), path):
        with suppress(FileNotFoundError):
            os.unlink(name)
