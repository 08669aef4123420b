"""Two places with a state between them, edited behind the engine's back, and clients that see every mutating call.

``Tape`` is the fault injection: it counts the calls that write, over both sides, and may kill the process at one of
them, let it fail, or let a user edit something right before it. Every version that ever stood anywhere is remembered
by its stamp, so that what a row of the state claims can be held against the bytes it is about.
"""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, ClassVar, Container, Dict, Iterator, List, Mapping, Optional, Set, Tuple, Type
from uuid import uuid4
from weakref import WeakValueDictionary

import fsspec
from attrs import define, evolve, field

from syncengine import Entry, Guards, Kind, LocalStorageClient, Plan, Problem, Report, Side, Stamp, SyncEngine, locate
from syncengine.core.entry import Base, Extent, ProblemKind
from syncengine.core.paths import is_reserved, is_within, parents
from syncengine.errors import AccessDenied, SyncError
from tests.acceptance.places import Killed, LocalPlace, MemoryPlace
from tests.storage.filesystems import BareFileSystem
from tests.trees import _Halting

from .reference_model import Row, Tree

EPOCH = 1_600_000_000
OPEN: Dict[str, Any] = {"guards": Guards.off(), "allow_emptied": True, "progress": False, "retries": 0}
CALLS = ("write", "move", "copy", "preserve", "delete", "make_directory", "remove_directory")


# --------------------------------------------------------------------------------------------------------- places


class Folder(LocalPlace):
    """A folder on disk; every version is a file of its own, as editors write them."""

    def write(self, name: str, content: str, mtime: float) -> None:
        target, draft = self.path / name, self.path.parent / uuid4().hex
        draft.write_text(content)
        os.utime(draft, ns=(int(mtime * 1e9), int(mtime * 1e9)))
        for above in parents(name):
            if (self.path / above).is_file():
                (self.path / above).unlink()
        if target.is_dir():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.replace(target)

    def rewrite(self, name: str, content: str) -> None:
        """Change a file in place, now: its stamp may be that of a moment ago."""
        (self.path / name).write_text(content)

    def tidy(self) -> None:
        """Remove what is empty, but for directories that somebody made."""
        for path in sorted(self.path.rglob("*"), reverse=True):
            if path.is_dir() and not path.name.startswith("made") and not any(path.iterdir()):
                path.rmdir()

    def times(self) -> Dict[str, float]:
        return {name: (self.path / name).stat().st_mtime_ns / 1e9 for name in self.everything()}

    def directories(self) -> Set[str]:
        found = (path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_dir())
        return {path for path in found if not is_reserved(path)}


class CoarseFolder(Folder):
    """A disk whose clock ticks every two seconds."""

    TICK_NS = 2_000_000_000

    def write(self, name: str, content: str, mtime: float) -> None:
        super().write(name, content, mtime // 2 * 2)


class Memory(MemoryPlace):
    """A folder of fsspec's memory filesystem."""

    def write(self, name: str, content: str, mtime: float) -> None:
        for above in parents(name):
            if self.filesystem.isfile(f"{self.root}/{above}"):
                self.filesystem.rm_file(f"{self.root}/{above}")
        super().write(name, content, mtime)

    def tidy(self) -> None:
        occupied = {above for path in self.filesystem.store for above in parents(path[1:])}
        kept = [
            path
            for path in self.filesystem.pseudo_dirs
            if path[1:] in occupied or path == self.root or not is_within(path, self.root) or "/made" in path
        ]
        self.filesystem.pseudo_dirs[:] = kept

    def times(self) -> Dict[str, float]:
        start, store = len(self.root) + 1, self.filesystem.store
        return {path[start:]: store[path].modified.timestamp() for path in self._all(store)}


class FlatFileSystem(BareFileSystem):
    """A store of keys: directories are the beginnings of keys, a bucket exists without any."""

    protocol = "flat"
    store: ClassVar[Dict[str, bytes]] = {}

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> List[Any]:
        # Of a key that also begins others a store lists those others, as s3fs does.
        if self._strip_protocol(path) in self._directories():
            found = self._inside(self._strip_protocol(path))
            return found if detail else [info["name"] for info in found]
        try:
            return super().ls(path, detail, **kwargs)
        except FileNotFoundError:
            if "/" in self._strip_protocol(path):
                raise
            return []

    def info(self, path: str, **kwargs: Any) -> Dict[str, Any]:
        path = self._strip_protocol(path)
        if path in self.store:
            return self._info_of(path)
        if "/" in path and path not in self._directories():
            raise FileNotFoundError(path)
        return {"name": path, "type": "directory", "size": 0}

    @classmethod
    def keep_only(cls, buckets: Container[str]) -> None:
        for key in [key for key in cls.store if key.partition("/")[0] not in buckets]:
            del cls.store[key]


class Flat:
    """A bucket of that store."""

    _living: ClassVar[WeakValueDictionary[str, Flat]] = WeakValueDictionary()

    def __init__(self, _: Path) -> None:
        fsspec.register_implementation("flat", FlatFileSystem, clobber=True)
        self.bucket = uuid4().hex
        self._living[self.bucket] = self
        # Every listing looks at all keys, and a property makes hundreds of buckets, one world after the other.
        FlatFileSystem.keep_only(self._living)

    @property
    def url(self) -> str:
        return f"flat://{self.bucket}"

    def write(self, name: str, content: str, mtime: float) -> None:
        self.delete(name, missing_ok=True)
        for above in parents(name):
            FlatFileSystem.store.pop(f"{self.bucket}/{above}", None)
        FlatFileSystem.store[f"{self.bucket}/{name}"] = content.encode()

    def delete(self, name: str, *, missing_ok: bool = False) -> None:
        for key in [key for key in FlatFileSystem.store if is_within(key, f"{self.bucket}/{name}")]:
            del FlatFileSystem.store[key]

    def rename(self, old: str, new: str) -> None:
        start = f"{self.bucket}/{old}"
        for key in [key for key in FlatFileSystem.store if is_within(key, start)]:
            FlatFileSystem.store[f"{self.bucket}/{new}" + key[len(start) :]] = FlatFileSystem.store.pop(key)

    def touch(self, name: str, mtime: float) -> None:
        """Change nothing: a key has no time of its own."""

    def make_directory(self, name: str) -> None:
        """Change nothing: there are no directories."""

    def tidy(self) -> None:
        """Change nothing."""

    def everything(self) -> Tree:
        start = self.bucket + "/"
        found = FlatFileSystem.store.items()
        return {key[len(start) :]: content.decode() for key, content in found if key.startswith(start)}

    def times(self) -> Dict[str, float]:
        return {}


PLACES: Dict[str, Callable[[Path], Any]] = {"local": Folder, "memory": Memory, "flat": Flat, "coarse": CoarseFolder}


# ------------------------------------------------------------------------------------------------------------ tape


@define(eq=False)
class Tape:
    """What happens around the mutating calls of one run; ``before`` gets the number, the side, the call and the path.

    After a death nothing is written any more, whatever the engine still tries.
    """

    before: Callable[[int, Side, str, str], None] = field(default=lambda *_: None)
    blind: Mapping[Side, str] = field(factory=dict)
    reading: Optional[Callable[[], None]] = None
    """Called in the middle of each file that is read."""
    calls: List[Tuple[Side, str, str]] = field(factory=list)
    dead: bool = False
    on_death: Callable[[], None] = field(default=lambda: None)
    _lock: Any = field(factory=threading.RLock)

    def happens(self, side: Side, call: str, path: str) -> None:
        with self._lock:
            if self.dead:
                raise Killed
            self.calls.append((side, call, path))
            try:
                self.before(len(self.calls), side, call, path)
            except Killed:
                self.dead = True
                self.on_death()
                raise

    def sides(self) -> Set[Side]:
        return {side for side, _, _ in self.calls}


def killing(at: int) -> Callable[[int, Side, str, str], None]:
    """Return what kills the process right before its *at*-th mutating call."""

    def before(number: int, *_: Any) -> None:
        if number == at:
            raise Killed

    return before


def failing(at: int) -> Callable[[int, Side, str, str], None]:
    """Return what lets the *at*-th mutating call fail."""

    def before(number: int, side: Side, call: str, path: str) -> None:
        if number == at:
            raise AccessDenied(f"{path}: not now", path=path)

    return before


def right_before(at: int, edit: Callable[[], object]) -> Callable[[int, Side, str, str], None]:
    """Return what lets a user edit something right before the *at*-th mutating call."""

    def before(number: int, *_: Any) -> None:
        if number == at:
            edit()

    return before


_TAPED: Dict[Type[Any], Type[Any]] = {}


def _taped(cls: Type[Any]) -> Type[Any]:
    """Return *cls* with a tape running: blind where it must not see, and heard before each mutating call."""
    if cls in _TAPED:
        return _TAPED[cls]

    class Taped(cls):  # type: ignore[misc]
        tape: Tape
        side: Side

        def list(self, prefix: str = "", **options: Any) -> Iterator[Any]:
            blind, reported = self.tape.blind.get(self.side), False
            for item in super().list(prefix, **options):
                if blind is None or not is_within(item.path, blind):
                    yield item
                elif not reported:
                    reported = True
                    alone = item.path == blind and item.kind is not Kind.DIRECTORY
                    extent = Extent.PATH if alone else Extent.SUBTREE
                    yield Problem(ProblemKind.DENIED, blind, "cannot be seen", extent=extent)

        @contextmanager
        def read(self, path: str, **options: Any) -> Iterator[Any]:
            with super().read(path, **options) as content:
                yield content if self.tape.reading is None else _Halting(content, self.tape.reading)

        def stat(self, path: str) -> Any:
            blind = self.tape.blind.get(self.side)
            if blind is not None and is_within(path, blind):
                raise AccessDenied(f"{path}: cannot be seen", path=path)
            return super().stat(path)

    def heard(name: str) -> Callable[..., Any]:
        def method(self: Any, *arguments: Any, **options: Any) -> Any:
            target = arguments[1] if name in ("move", "copy", "preserve") else arguments[0]
            self.tape.happens(self.side, name, target)
            return getattr(super(made, self), name)(*arguments, **options)

        return method

    made = type(f"Taped{cls.__name__}", (Taped,), {})
    for name in CALLS:
        if hasattr(cls, name):
            setattr(made, name, heard(name))
    _TAPED[cls] = made
    return made


class CoarseClient(LocalStorageClient):
    """Writes the times that such a disk can hold."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.capabilities = evolve(self.capabilities, mtime_granularity_ns=CoarseFolder.TICK_NS)

    def write(self, path: str, content: Any, *, mtime_ns: Optional[int] = None, **options: Any) -> Stamp:
        ticks = (EPOCH * 10**9 if mtime_ns is None else mtime_ns) // CoarseFolder.TICK_NS
        return super().write(path, content, mtime_ns=ticks * CoarseFolder.TICK_NS, **options)


# ------------------------------------------------------------------------------------------------------------ pair


class Pair:
    """Two places and their state; *by_url* the engine opens them, so that plans can be saved, and no tape runs."""

    def __init__(self, kinds: str, base: Path, *, by_url: bool = False, **arguments: Any) -> None:
        self.by_url = by_url
        self.kinds = tuple(kinds.split("-"))
        self.base = base / uuid4().hex
        self.base.mkdir()
        self.places = {side: PLACES[kind](self.base) for side, kind in zip(Side, self.kinds)}
        self.state = self.base / "state"
        # What neither side can tell from a listing is read, so that a killed run is recognised by its content.
        self.arguments: Dict[str, Any] = {**OPEN, "hash_by_download": "flat" in self.kinds, **arguments}
        self.clock = 0.0
        self.known: Dict[Side, Dict[Stamp, str]] = {side: {} for side in Side}
        self.threads: Optional[int] = None

    # ------------------------------------------------------------------ users

    def write(self, side: Side, name: str, content: str, *, at: Optional[float] = None) -> None:
        """Let a user write a version, at a time of its own unless one is given; no two versions share a stamp."""
        self.clock += 10
        moment = EPOCH + (self.clock if at is None else at)
        while True:
            self.places[side].write(name, content, moment)
            client = self._plain(side)
            entry = client.stat(name)
            assert entry is not None
            if self.known[side].get(entry.stamp, content) == content:
                break
            moment += 10
        self.known[side][entry.stamp] = content

    def edit(self, side: Side, changes: Mapping[str, Optional[str]]) -> None:
        for name, content in changes.items():
            if content is not None:
                self.write(side, name, content)
            elif any(is_within(path, name) for path in self.tree(side)):
                self.places[side].delete(name)

    def agree_on(self, tree: Mapping[str, str]) -> None:
        """Let both sides hold *tree*, and the state know it."""
        self.edit(Side.SOURCE, tree)
        self.run(mode="source-to-destination")

    # ------------------------------------------------------------------- runs

    def engine(self, tape: Optional[Tape] = None, **arguments: Any) -> SyncEngine:
        places = [self.places[side].url if self.by_url else self._client(side, tape or Tape()) for side in Side]
        return SyncEngine(*places, state=str(self.state), **{**self.arguments, **arguments})

    def run(self, tape: Optional[Tape] = None, **arguments: Any) -> Tuple[Plan, Report]:
        with self.engine(tape, **arguments) as engine:
            plan = engine.plan()
            report = engine.apply(plan)
        self.observe()
        return plan, report

    def plan(self, **arguments: Any) -> Plan:
        with self.engine(**arguments) as engine:
            return engine.plan()

    def killed(self, at: int, **arguments: Any) -> bool:
        """Run, and die right before the *at*-th mutating call; say whether it came to that.

        What the unwinding interpreter still tells the state is undone: the state is what it was at that moment.
        """
        image = self.base / uuid4().hex
        tape = Tape(killing(at), on_death=lambda: self._keep_state(image))
        try:
            self.run(tape, **arguments)
        except Killed:
            shutil.rmtree(self.state, ignore_errors=True)
            if image.exists():
                image.rename(self.state)
        self.observe()
        return tape.dead

    def _keep_state(self, image: Path) -> None:
        # The lock names this process, which lives on; the kernel would let the lock of a dead one go.
        if self.state.exists():
            shutil.copytree(self.state, image, ignore=shutil.ignore_patterns("lock", "*-shm"))

    def lose_state(self) -> None:
        shutil.rmtree(self.state, ignore_errors=True)

    def _plain(self, side: Side) -> Any:
        if self.kinds[list(Side).index(side)] == "coarse":
            return CoarseClient(self.places[side].url)
        return locate(self.places[side].url).open()

    def _client(self, side: Side, tape: Tape) -> Any:
        client = self._plain(side)
        client.__class__ = _taped(type(client))
        client.tape, client.side = tape, side
        if self.threads is not None:
            client.capabilities = evolve(client.capabilities, threads=self.threads)
        return client

    # ------------------------------------------------------------------ looks

    def tree(self, side: Side) -> Tree:
        found = self.places[side].everything().items()
        return {path: content for path, content in found if not is_reserved(path)}

    def trees(self) -> Tuple[Tree, Tree]:
        return self.tree(Side.SOURCE), self.tree(Side.DESTINATION)

    def contents(self) -> Set[str]:
        """Return every content that is anywhere, the trash included."""
        return {content for place in self.places.values() for content in place.everything().values()}

    def observe(self) -> None:
        """Remember which content each stamp stands for."""
        for side in Side:
            tree = self.tree(side)
            for entry in self._plain(side).list():
                if isinstance(entry, Entry) and entry.kind is Kind.FILE:
                    self.known[side][entry.stamp] = tree[entry.path]

    def rows(self) -> Dict[str, Base]:
        """Return what the state holds of files."""
        with self.engine(mode="source-backup") as engine:
            state = engine.job().state
            assert state is not None
            return {row.path: row for row in state.rows() if row.kind is Kind.FILE}

    def all_rows(self) -> Dict[str, Base]:
        """Return what the state holds, by position, directories included."""
        with self.engine(mode="source-backup") as engine:
            state = engine.job().state
            assert state is not None
            return {row.position: row for row in state.rows()}

    def looks(self, side: Side) -> Dict[str, Stamp]:
        """Return the stamps that a fresh look finds."""
        listed = self._plain(side).list()
        return {entry.path: entry.stamp for entry in listed if isinstance(entry, Entry) and entry.kind is Kind.FILE}

    def remembered(self) -> Dict[str, Row]:
        """Return the state in the words of the model; both stamps of a row must stand for the same bytes."""
        found = {}
        for path, row in self.rows().items():
            contents = [self.known[side].get(evolve(row.stamp(side), digests=())) for side in Side]
            known = {content for content in contents if content is not None}
            assert len(known) == 1, f"the state claims that both sides agreed on {path}, which held {contents}"
            found[path] = Row(known.pop(), row.live)
        return found

    def rewritten(self) -> Set[Tuple[str, str]]:
        """Return the files, by side, that hold the agreed content in another version, where no digest tells that."""
        found = set()
        for path, row in self.rows().items():
            for side in Side:
                entry = self._plain(side).stat(path) if path in self.tree(side) else None
                if row.digest is None and entry is not None and not _same(entry.stamp, row.stamp(side)):
                    found.add((side.value, path))
        return found

    def newer(self, path: str) -> Optional[str]:
        """Return the side whose file is newer by more than two ticks of the coarsest clock, as a disk tells it."""
        times = {side: self.places[side].times() for side in Side}
        if any(path not in found for found in times.values()):
            return None
        apart = times[Side.SOURCE][path] - times[Side.DESTINATION][path]
        return None if abs(apart) <= 2 else (Side.SOURCE if apart > 0 else Side.DESTINATION).value

    def state_bytes(self) -> Dict[str, bytes]:
        """Return every row and the history of the state, to be compared."""
        with self.engine(mode="source-backup") as engine:
            state = engine.job().state
            assert state is not None
            return {"rows": repr(list(state.rows())).encode(), "runs": repr(state.runs()).encode()}


def _same(stamp: Stamp, recorded: Stamp) -> bool:
    return bool(stamp.same_version(recorded))


__all__ = ["OPEN", "Killed", "Pair", "SyncError", "Tape", "failing", "killing", "right_before"]
