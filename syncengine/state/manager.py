"""SyncStateManager: the durable memory of one pair of locations.

Order matters more than anything else here: an effect on a side is durable before the row that tells of it. The state
may lag behind reality, which costs comparisons; it never leads, which would turn a row into a deletion.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from typing import Callable, Iterable, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from attrs import evolve

from ..core.entry import Base, Kind
from ..core.modes import InitialSyncPreference
from ..core.packs import Rows
from ..core.paths import decoded, encoded
from ..errors import StateError
from .database import Database, Draft, in_ranges, read_header, translated
from .home import DirectoryHome, home_of
from .journal import Journal
from .lock import Holder, PairLock
from .records import (
    Bootstrap,
    Ended,
    Intent,
    PairSummary,
    Run,
    StateReference,
    default_place,
    pair_id,
    run_document,
    run_from,
)
from .remote import RemotePlace
from .schema import ABSENT, Damage, Header, Tally, base_from, generation_of, packs, ranges, row_bytes

HISTORY = 1000
"""How many runs the history remembers."""


class SyncStateManager:
    """What both sides of a pair last agreed on, durable and resumable.

    Nothing is opened before it is needed, and nothing is created before ``begin``. The two sides may be given in
    either order, in every mode. *place* is a directory that holds the states of all pairs; with *remote* it holds
    the local working copies. With *ephemeral* the state lives in this process. *source_shown* and
    *destination_shown* are redacted URLs for lists. Raises StateError throughout.
    """

    def __init__(
        self,
        place: Optional[str],
        source_identity: str,
        destination_identity: str,
        *,
        source_shown: str = "",
        destination_shown: str = "",
        remote: Optional[RemotePlace] = None,
        ephemeral: bool = False,
        single_writer: bool = False,
        push_every: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.pair_id = pair_id(source_identity, destination_identity)
        self._swapped = source_identity > destination_identity
        self._identities = self._by_identity(source_identity, destination_identity)
        self._locations = self._by_identity(source_shown, destination_shown)
        self._clock = clock
        self._home = home_of(
            os.path.join(default_place() if place is None else place, self.pair_id),
            self.pair_id,
            remote=remote,
            ephemeral=ephemeral,
            single_writer=single_writer,
            push_every=push_every,
            clock=clock,
        )
        self.lock = PairLock(self._home.cell, self._home.shown, clock=clock)
        self.journal = Journal(self._home.shelf)
        self._database: Optional[Database] = None
        self._header: Optional[Header] = None
        self._run: Optional[Run] = None
        self._unclean = False

    def _by_identity(self, source: str, destination: str) -> Tuple[str, str]:
        return (destination, source) if self._swapped else (source, destination)

    def __enter__(self) -> SyncStateManager:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of everything; a run that was not finished shows as crashed, its commits stand."""
        try:
            if self._unclean and self._database is not None:
                self._mark_clean(self._database)
        finally:
            self._forget_handle()
            self._run = None
            self.lock.release()

    def _mark_clean(self, database: Database) -> None:
        # Without the mark the next opening reads everything once; no reason to hide the error that led here.
        with suppress(StateError), self._writing(database) as draft:
            draft.header = evolve(draft.header, clean=True)
        self._unclean = False

    def _forget_handle(self) -> None:
        database, self._database, self._header = self._database, None, None
        if database is not None:
            self._home.close(database)

    # Opening

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Set a damaged database aside, unless a run that is alive is writing it."""
        try:
            yield
        except Damage as damage:
            holder = None if self.lock.held else self.lock.holder()
            if holder is not None:
                raise StateError(
                    f"The state {self._home.shown} looks damaged ({damage}), and {holder} uses it."
                ) from damage
            self._forget_handle()
            raise self._home.set_aside(str(damage)) from damage

    def _opened(self) -> Optional[Database]:
        if self._database is None:
            with self._guarded():
                self._database = self._home.open()
                if self._database is not None:
                    self._header = self._examined(self._database)
        return self._database

    def _examined(self, database: Database) -> Header:
        header = database.header()
        if header.pair_id != self.pair_id:
            raise Damage(f"it belongs to another pair, {' and '.join(header.shown)}")
        # Whoever left it unclean is dead if the lock is ours or free; otherwise a run is simply going on.
        if not header.clean and (self.lock.held or self.lock.holder() is None):
            database.check()
        return header

    @property
    def exists(self) -> bool:
        """Whether anything has been recorded of this pair."""
        return self._opened() is not None

    @property
    def header(self) -> Optional[Header]:
        """The header as of the opening or of this manager's last commit, or None without a state."""
        self._opened()
        return self._header

    @property
    def lineage(self) -> Optional[str]:
        """Which database this is: a new one is another lineage."""
        return None if self.header is None else self.header.lineage

    @property
    def generation(self) -> int:
        """How many runs have written rows."""
        return 0 if self.header is None else self.header.generation

    @property
    def reference(self) -> StateReference:
        """What a plan notes; never newer than the rows read afterwards, so that a change in between is noticed."""
        return StateReference(self._home.shown, self.lineage, self.generation)

    # Rows

    def rows(self, prefixes: Sequence[str] = ()) -> Iterator[Base]:
        """Yield all rows, or those at and below *prefixes*, in key order, as of one moment.

        Memory is constant. A full read ends with StateError where a row is missing or doubled.
        """
        for together in self.packs(prefixes):
            yield from together

    def packs(self, prefixes: Sequence[str] = ()) -> Iterator[Rows]:
        """Yield what ``rows`` does, many at a time."""
        database = self._opened()
        if database is None:
            return
        wanted = ranges(prefixes)
        tally = Tally()
        with self._guarded(), database.snapshot() as connection, translated(database.shown):
            # The header first: it fixes the moment, before anything is yielded.
            header = read_header(connection)
            yield from packs(in_ranges(connection, wanted), tally, swapped=self._swapped)
            if wanted == [(b"", None)]:
                tally.settle(header)

    def row(self, path: str) -> Optional[Base]:
        """Return the row at *path*, a file's before a directory's."""
        database = self._opened()
        if database is None:
            return None
        for position in _positions(path):
            with self._guarded():
                payload = database.find(position)
            if payload is not None:
                return base_from(position, payload, swapped=self._swapped)
        return None

    def count_live(self, prefixes: Sequence[str] = ()) -> int:
        """Count the live rows, which is how many live entries either side has; whole pairs cost nothing."""
        if prefixes:
            return sum(row.live for row in self.rows(prefixes))
        return 0 if self.header is None else self.header.live

    def count_live_files(self, prefixes: Sequence[str] = ()) -> int:
        """Count the live rows that are no directories; whole pairs cost nothing."""
        if prefixes:
            return sum(row.live and row.kind is not Kind.DIRECTORY for row in self.rows(prefixes))
        return 0 if self.header is None else self.header.live_files

    def newer_rows(self, generation: int, root_digest: Optional[str], paths: Iterable[str]) -> Iterator[str]:
        """Yield those *paths* whose row is newer than *generation* and was not written by a plan of the same root."""
        database = self._opened()
        if database is None or self.generation <= generation:
            return
        own: Set[int] = set()
        for run in self.runs():
            if root_digest is not None and run.root_digest == root_digest:
                own.update(run.generations)
        for path in paths:
            with self._guarded():
                payloads = [database.find(position) for position in _positions(path)]
            written = {generation_of(payload) for payload in payloads if payload is not None}
            if any(number > generation for number in written - own):
                yield path

    def undo_rows(self) -> Iterator[Tuple[str, Optional[Base]]]:
        """Yield the positions the last writing run changed, each with the row of the generation before, or None."""
        database = self._opened()
        if database is None:
            return
        with self._guarded():
            for position, payload in database.undo():
                base = None if payload == ABSENT else base_from(position, payload, swapped=self._swapped)
                yield decoded(position), base

    # Running

    def acquire(self, timeout: float = 0) -> None:
        """Take the lock of this pair, waiting up to *timeout* seconds, and look at the state anew.

        Checks that a run makes on the state belong between this and ``begin``.
        """
        if self.lock.held:
            return
        self._home.prepare()
        self.lock.acquire(timeout)
        # What was opened before the lock was taken may have been replaced since.
        self._forget_handle()

    def begin(self, run: Run, *, preference: Optional[InitialSyncPreference] = None) -> None:
        """Record the start of *run*, make the state if there is none, and take the lock unless it is held.

        A run that has nothing to perform and nothing to record does not begin: it leaves the state byte for byte.
        *preference* governs a first sync until it has finished; another than the one it began with is refused.
        """
        self.acquire()
        database = self._opened() or self._created()
        with self._writing(database) as draft:
            draft.header = _begun(evolve(draft.header, clean=False, shown=self._shown(draft.header)), preference)
            begun = self._continued(run)
            draft.put_run(encoded(run.run_id), run_document(begun), kept=HISTORY)
        self._run, self._unclean = begun, True

    def _created(self) -> Database:
        header = Header(
            pair_id=self.pair_id,
            lineage=os.urandom(16).hex(),
            created_at=datetime.fromtimestamp(self._clock(), timezone.utc).isoformat(),
            identities=self._identities,
            shown=self._locations,
        )
        self._database = self._home.create(header)
        self._header = header
        return self._database

    def _shown(self, header: Header) -> Tuple[str, str]:
        first, second = (new or old for new, old in zip(self._locations, header.shown))
        return first, second

    def _continued(self, run: Run) -> Run:
        earlier = self.run(run.run_id)
        if earlier is None:
            return run
        return evolve(run, started_at=earlier.started_at, generations=earlier.generations)

    @contextmanager
    def _writing(self, database: Database) -> Iterator[Draft]:
        with self._guarded():
            self.lock.ensure_held()
            with database.transaction() as draft:
                yield draft
            self._header = draft.header

    def _running(self) -> Tuple[Database, Run]:
        if self._database is None or self._run is None:
            raise StateError("No run has begun on this state; call begin() before anything is committed.")
        return self._database, self._run

    def commit(
        self,
        rows: Iterable[Base] = (),
        *,
        forgotten: Iterable[str] = (),
        dormant: Iterable[str] = (),
        settled: Iterable[str] = (),
        moved: Iterable[Tuple[str, str, bool]] = (),
    ) -> int:
        """Record a group, all of it or nothing; durable on return. Returns how many rows moved.

        *rows* are agreements whose effects are durable on their side; *forgotten* and *dormant* are positions
        (``path``, or ``path + "/"`` for a directory) whose row is dropped or made dormant; *settled* are operations
        whose intents end with this group; *moved* are directories whose rows go from the first name to the second,
        before anything else, and whether they become weak.
        """
        database, run = self._running()
        with self._writing(database) as draft:
            run = self._writing_generation(draft, run)
            generation = draft.header.generation
            carried = sum(draft.move(encoded(old), encoded(new), weak=weak) for old, new, weak in moved)
            for position in forgotten:
                draft.drop(encoded(position))
            for position in dormant:
                self._sleep(draft, encoded(position), generation)
            swapped = self._swapped
            draft.put_all((encoded(base.position), row_bytes(base, generation, swapped=swapped)) for base in rows)
            for operation in settled:
                draft.drop_intent(encoded(operation))
        self._run = run
        self._home.committed(database, last=False)
        return carried

    def _writing_generation(self, draft: Draft, run: Run) -> Run:
        # The first commit of a run, or of its continuation, begins a generation; its number belongs to the run.
        if draft.header.generation in run.generations:
            return run
        draft.begin_generation()
        run = evolve(run, generations=(*run.generations, draft.header.generation))
        draft.put_run(encoded(run.run_id), run_document(run), kept=HISTORY)
        return run

    def _sleep(self, draft: Draft, position: bytes, generation: int) -> None:
        payload = draft.find(position)
        if payload is not None:
            base = evolve(base_from(position, payload, swapped=self._swapped), live=False)
            draft.put(position, row_bytes(base, generation, swapped=self._swapped))

    def finish(self, finished_at: datetime, counts: Mapping[str, int], *, interrupted: bool = False) -> None:
        """Record the end of the run, mark the state clean and let the lock go."""
        database, run = self._running()
        ended = Ended.INTERRUPTED if interrupted else Ended.FINISHED
        with self._writing(database) as draft:
            draft.header = evolve(draft.header, clean=True)
            done = evolve(run, finished_at=finished_at, ended=ended, counts=dict(counts))
            draft.put_run(encoded(run.run_id), run_document(done), kept=HISTORY)
        self._run, self._unclean = None, False
        self._home.committed(database, last=True)
        self.lock.release()

    # The first sync

    @property
    def bootstrap(self) -> Bootstrap:
        """How far the first sync is; without a state everything is to do."""
        header = self.header
        return Bootstrap(("",), None) if header is None else Bootstrap(header.todo, header.preference)

    def set_bootstrap(self, todo: Iterable[str]) -> None:
        """Record which prefixes the first sync has not seen yet; with none left its preference is forgotten."""
        database, _ = self._running()
        left = tuple(sorted(todo))
        with self._writing(database) as draft:
            preference = draft.header.preference if left else None
            draft.header = evolve(draft.header, todo=left, preference=preference)

    # Intents

    def add_intents(self, *intents: Intent) -> None:
        """Record what is about to be done, all at once; durable on return, so before the effects."""
        database, _ = self._running()
        with self._writing(database) as draft:
            for intent in intents:
                document = {"kind": intent.kind, "paths": list(intent.paths), "payload": dict(intent.payload)}
                draft.put_intent(encoded(intent.operation), document)

    def remove_intents(self, operations: Iterable[str]) -> None:
        """Forget intents whose operations failed or turned out not to have happened."""
        database, _ = self._running()
        with self._writing(database) as draft:
            for operation in operations:
                draft.drop_intent(encoded(operation))

    def intents(self) -> List[Intent]:
        """Return the open intents, which an earlier run left behind."""
        database = self._opened()
        if database is None:
            return []
        with self._guarded():
            return [
                Intent(decoded(key), found["kind"], tuple(found["paths"]), found["payload"])
                for key, found in database.documents("intents", "id")
            ]

    # History

    def runs(self) -> List[Run]:
        """Return the remembered runs, newest first; one without an end has crashed unless its process is alive."""
        database = self._opened()
        if database is None:
            return []
        with self._guarded():
            found = [run_from(document) for _, document in database.documents("runs", "ordinal desc")]
        running = self._run.run_id if self._run is not None else self._elsewhere(found)
        return [
            evolve(run, ended=Ended.CRASHED) if run.ended is Ended.RUNNING and run.run_id != running else run
            for run in found
        ]

    def _elsewhere(self, found: Sequence[Run]) -> Optional[str]:
        newest = found[0] if found else None
        if newest is None or newest.ended is not Ended.RUNNING or self.lock.held or self.lock.holder() is None:
            return None
        return newest.run_id

    def run(self, run_id: str) -> Optional[Run]:
        """Return one remembered run."""
        return next((run for run in self.runs() if run.run_id == run_id), None)

    # Maintenance

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self.lock.held:
            yield
            return
        self.acquire()
        try:
            yield
        finally:
            self.lock.release()

    def check(self) -> None:
        """Read everything; raises StateError, and sets the files aside, where anything is not as it was written."""
        database = self._opened()
        if database is not None:
            with self._guarded():
                database.check()

    def forget(self, prefixes: Sequence[str]) -> int:
        """Drop the rows at and below *prefixes* and return how many; what is equal there is agreed on anew."""
        if not self.exists:
            return 0
        with self._locked():
            database = self._opened()
            assert database is not None
            positions = [encoded(row.position) for row in self.rows(prefixes)]
            with self._writing(database) as draft:
                draft.begin_generation()
                for position in positions:
                    draft.drop(position)
            self._home.committed(database, last=True)
        return len(positions)

    def revert(self) -> bool:
        """Put the rows of the previous generation back; False where none is kept.

        Older rows are true of the past: they cost comparisons and are never ahead of what the sides hold.
        """
        if self.header is None or self.header.undo is None:
            return False
        with self._locked():
            database = self._opened()
            assert database is not None
            with self._writing(database) as draft:
                draft.go_back()
            self._home.committed(database, last=True)
        return True

    def reset(self) -> None:
        """Forget what was agreed, also where it is damaged: the next run is a first sync. Journals stay."""
        with self._locked():
            self._forget_handle()
            self._home.discard()
            self._unclean = False

    def erase(self) -> None:
        """Delete everything about this pair: state, journals, what was set aside."""
        with self._locked():
            self._forget_handle()
            self._home.erase()
            self._unclean = False

    def unlock(self) -> Optional[Holder]:
        """Remove the lock of a holder that cannot be asked; refused where it is alive on this machine."""
        return self.lock.unlock()

    @staticmethod
    def pairs(place: str) -> Iterator[PairSummary]:
        """Yield a summary of every pair whose state lies in the directory *place*."""
        try:
            names = sorted(os.listdir(place))
        except FileNotFoundError:
            return
        for name in names:
            summary = _summary(place, name)
            if summary is not None:
                yield summary


def _summary(place: str, name: str) -> Optional[PairSummary]:
    try:
        database = DirectoryHome(os.path.join(place, name)).open()
    except StateError as error:
        return PairSummary(name, problem=str(error))
    if database is None:
        return None
    try:
        header = database.header()
        last = next((run_from(document) for _, document in database.documents("runs", "ordinal desc")), None)
    except StateError as error:
        return PairSummary(name, problem=str(error))
    finally:
        database.close()
    return PairSummary(name, header.shown, header.generation, header.rows, last)


def _begun(header: Header, preference: Optional[InitialSyncPreference]) -> Header:
    if not header.todo or preference is None:
        return header
    if header.preference not in (None, preference):
        raise StateError(
            f"The first sync of this pair began with initial={header.preference.value!r} and has not finished; it "
            f"cannot go on with {preference.value!r}. Finish it first, or start over with `syncengine state reset`."
        )
    return evolve(header, preference=preference)


def _positions(path: str) -> Tuple[bytes, bytes]:
    position = encoded(path)
    return position, position + b"/"
