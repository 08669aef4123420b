"""Recognise that one side renamed a whole directory, so that the other side follows with one operation.

A pair of directories counts only where it is exact: everything that both sides had agreed on below the old name is
gone from the side that renamed it and stands there below the new one, under the same relative names with the very
stamps that were recorded; the other side holds it unchanged under the old name, and nothing else; and nothing stands
under the new name there. Anything else that was met at or below either name, hidden, unknown, new or edited, means
that the directory is not moved as a whole: the directories below it are tried, and the rest goes file by file.
"""

from __future__ import annotations

from bisect import bisect_left
from hashlib import sha256
from itertools import chain, repeat
from typing import Dict, Hashable, Iterable, Iterator, List, Optional, Protocol, Sequence, Set, Tuple, Union

from attrs import define, evolve, field, frozen

from .blocks import Block, taken_apart
from .comparator import Change, SideChange
from .entry import Entry, Kind, Side, Stamp
from .merge import Views
from .packs import Run, is_empty, plain_of, sizes
from .paths import encoded, is_within, parent, parents
from .renames import Ground

Pair = Tuple[Change, Change]
"""What is gone under the old name, and what stands under the new one."""

Met = Union[Change, Views, Block]
Part = Union[Change, Block]

LISTING = "listing"
"""The algorithm of the digest by which a directory with everything in it is recognised."""


class Proof(Protocol):
    """Says whether files under a new name are those of the old one; *side* renamed them, *new* is the new directory."""

    def by_time(self, side: Side) -> bool:
        """Say whether the size and the time of a file have to do for *side*, which tells no ids of files."""

    def files(self, side: Side, new: str, pairs: Sequence[Pair]) -> Optional[Ground]:
        """Return what shows it of all pairs, None where nothing does."""

    def untouched(self, side: Side, new: str, gone: Sequence[Block], arrived: Sequence[Block]) -> bool:
        """Say whether nobody touched the files of these blocks, of one folder, since they were agreed on."""


@frozen
class DirectoryRename:
    """A directory that one side renamed, with everything in it.

    ``listing`` is the digest of what the other side holds under the old name; ``size`` is in bytes; ``parts`` are all
    that was met under either name.
    """

    old: str
    new: str
    side: Side
    files: int
    size: int
    listing: str
    parts: Tuple[Part, ...]
    ground: Ground = Ground.CONTENT
    """What shows that the files are those of the old name."""

    @property
    def expected(self) -> Stamp:
        """What the directory must be when it is moved."""
        return Stamp(size=self.size, digests=(self.listing,))


def listing_digest(items: Iterable[Union[Entry, Run]], directory: str) -> str:
    """Return the digest of what lies below *directory*: relative names and stamps, in key order."""
    start = len(encoded(directory)) + 1
    hashed = sha256()
    for item in sorted(items, key=_position):
        if isinstance(item, Run):
            names = (position[start:] for position in item.positions)
            hashed.update(b"".join(chain.from_iterable(zip(names, repeat(_PLAIN), item.stamps))))
        else:
            hashed.update(encoded(item.position)[start:] + _told(item))
    return f"{LISTING}:{hashed.hexdigest()}"


_PLAIN, _OTHER = b"\0p", b"\0o"


def _position(item: Union[Entry, Run]) -> bytes:
    return item.positions[0] if isinstance(item, Run) else encoded(item.position)


def _told(entry: Entry) -> bytes:
    """Return what tells an entry from another of its name; no name holds the byte that it begins with."""
    # What this run computed to compare a young file is no part of what a listing tells.
    stamp = evolve(entry.stamp, digests=()) if entry.stamp.digests else entry.stamp
    packed = plain_of(stamp) if entry.kind is Kind.FILE else None
    if packed is not None:
        return _PLAIN + packed
    told = (stamp.size, stamp.mtime_ns, stamp.etag, stamp.version, stamp.file_id, entry.link)
    text = encoded(repr(told))
    return _OTHER + b"%d:" % len(text) + text


def directory_renames(changes: Sequence[Met], side: Side, *, proved: Proof) -> Iterator[DirectoryRename]:
    """Yield the directories that *side* renamed and the other side can follow as a whole, outermost first."""
    found = _Found.of(changes, side, by_time=proved.by_time(side))
    waiting = found.outermost() if found.new else []
    while waiting:
        old = waiting.pop()
        rename = found.rename(old, proved)
        if rename is not None:
            yield rename
        else:
            waiting += found.directories_in(old)


@define(eq=False)
class _Found:
    """What was gone and what was new on one side, ready to be held against each other.

    A block stands at the first of its files.
    """

    side: Side
    gone: Dict[str, Part]
    new: Dict[str, Part]
    others: Set[str]
    """Whatever else was met."""
    taken: Set[str]
    """That, and the directories above it."""
    by_time: bool = False
    """Sizes and times tell files apart, together with their names: nothing else is known of them."""
    gone_paths: List[str] = field(init=False)
    new_paths: List[str] = field(init=False)
    marked: Dict[Hashable, Optional[Part]] = field(factory=dict, init=False)
    """Where the file with a mark stands now; None where it is not alone."""
    ends: Set[str] = field(factory=set, init=False)
    """New names that a rename was found for."""

    def __attrs_post_init__(self) -> None:
        """Sort the names, so that what lies below a directory is one slice."""
        self.gone_paths, self.new_paths = sorted(self.gone), sorted(self.new)
        for part in self.new.values():
            for mark in self._marks(part):
                self.marked[mark] = None if mark in self.marked else part

    def _marks(self, part: Part) -> Iterable[Hashable]:
        """Return what tells the new files of *part* from every other of their storage."""
        if isinstance(part, Block):
            return (stamp for stamp in part.run.stamps if not is_empty(stamp))
        entry = part.entry(self.side)
        mark = None if entry is None else _mark(entry.stamp, self._told_name(part.path))
        return () if mark is None else (mark,)

    def _told_name(self, path: str) -> Optional[str]:
        return path.rpartition("/")[2] if self.by_time else None

    @classmethod
    def of(cls, changes: Sequence[Met], side: Side, *, by_time: bool) -> _Found:
        """Sort *changes* into what can be part of a rename and what stands in the way of one."""
        gone: Dict[str, Part] = {}
        new: Dict[str, Part] = {}
        others: List[str] = []
        for met in changes:
            if isinstance(met, Views):
                others.append(met.path)
            elif _is_gone(met, side):
                gone[met.path] = met
            elif _is_new(met, side):
                new[met.path] = met
            else:
                others.append(met.path)
        taken = {above for path in others for above in (*parents(path), path)}
        return cls(side, gone, new, set(others), taken, by_time)

    def outermost(self) -> List[str]:
        """Return the directories that are gone, without those that went with another."""
        gone = self.gone
        return [
            path
            for path in reversed(self.gone_paths)
            if _is_directory(gone[path]) and not _is_directory(gone.get(parent(path)))
        ]

    def directories_in(self, directory: str) -> List[str]:
        """Return the directories right in *directory* that are gone."""
        depth = directory.count("/") + 1
        below = _below(self.gone_paths, directory)
        return [path for path in below if path.count("/") == depth and _is_directory(self.gone[path])]

    def rename(self, old: str, proved: Proof) -> Optional[DirectoryRename]:
        """Return the rename of the directory *old*, where it is one."""
        if old in self.taken:
            return None
        gone = [self.gone[path] for path in _below(self.gone_paths, old)]
        new = self._new_name(old, gone)
        if new is None or not self._is_free(old, new):
            return None
        arrived = [self.new[path] for path in _below(self.new_paths, new)]
        alike = _Alike(self.side, old, new)
        ground = alike.ground(proved) if alike.holds(gone, arrived) else None
        if ground is None:
            return None
        self.ends.add(new)
        return evolve(self._rename(old, new, gone, arrived), ground=ground)

    def _rename(self, old: str, new: str, gone: Sequence[Part], arrived: Sequence[Part]) -> DirectoryRename:
        standing: List[Union[Entry, Run]] = []
        files = size = 0
        for part in gone:
            held = part.run if isinstance(part, Block) else part.entry(self.side.other)
            assert held is not None
            standing.append(held)
            if isinstance(held, Run):
                files, size = files + len(held), size + sizes(held.stamps)
            elif held.kind is not Kind.DIRECTORY:
                files, size = files + 1, size + (held.stamp.size or 0)
        parts = (self.gone[old], self.new[new], *gone, *arrived)
        return DirectoryRename(old, new, self.side, files, size, listing_digest(standing, old), parts)

    def _new_name(self, old: str, gone: Iterable[Part]) -> Optional[str]:
        """Return what the directory must be called now, by the first file in it that can be told from all others."""
        for part in gone:
            for name, mark in self._recorded(part):
                there = None if mark is None else self.marked.get(mark)
                if there is not None:
                    found = _path_of(there, mark)
                    name = name[len(old) :]
                    return found[: -len(name)] if found.endswith(name) else None
        return None

    def _recorded(self, part: Part) -> Iterator[Tuple[str, Optional[Hashable]]]:
        """Yield the paths of the files that are gone, each with the mark that is recorded of it."""
        if isinstance(part, Block):
            inside = part.run.inside
            for name, stamp in zip(part.run.names, part.recorded(self.side)):
                yield inside + name, None if is_empty(stamp) else stamp
        elif part.base is not None:
            yield part.path, _mark(part.base.stamp(self.side), self._told_name(part.path))

    def _is_free(self, old: str, new: str) -> bool:
        """Say whether *new* is a new directory that nothing stands in the way of on the other side."""
        if not _is_directory(self.new.get(new)) or is_within(new, old) or is_within(old, new) or new in self.ends:
            return False
        # Above it, something else may be a file that would have to make room first.
        return new not in self.taken and self.others.isdisjoint(parents(new))


@define(eq=False)
class _Alike:
    """Everything below an old and a new name, held against each other: blocks folder by folder, the rest in pairs."""

    side: Side
    old: str
    new: str
    pairs: List[Pair] = field(factory=list, init=False)
    folders: List[Tuple[List[Block], List[Block]]] = field(factory=list, init=False)

    def holds(self, gone: Sequence[Part], arrived: Sequence[Part]) -> bool:
        """Say whether the same stands below both names."""
        if _count(gone) != _count(arrived):
            return False
        blocks, others = _by_folder(gone, len(self.old))
        new_blocks, new_others = _by_folder(arrived, len(self.new))
        for folder in {**blocks, **new_blocks}:
            here, there = blocks.get(folder, []), new_blocks.get(folder, [])
            if self._same_files(here, there):
                self.folders.append((here, there))
            else:
                # One of them has a row that is not plain: file by file, then.
                others += taken_apart(here)
                new_others += taken_apart(there)
        return self._pair(others, new_others)

    def _same_files(self, gone: Sequence[Block], arrived: Sequence[Block]) -> bool:
        names, _ = _joined(gone)
        new_names, new_stamps = _joined(arrived)
        if names != new_names:
            return False
        recorded = [stamp for block in gone for stamp in block.recorded(self.side)]
        return recorded == new_stamps

    def _pair(self, gone: List[Change], arrived: List[Change]) -> bool:
        by_name = {change.path[len(self.new) :]: change for change in arrived}
        for change in gone:
            other = by_name.pop(change.path[len(self.old) :], None)
            if other is None or not self._alike(change, other):
                return False
            self.pairs.append((change, other))
        return not by_name

    def _alike(self, gone: Change, new: Change) -> bool:
        base, entry, standing = gone.base, new.entry(self.side), gone.entry(self.side.other)
        assert base is not None
        assert entry is not None
        assert standing is not None
        plain = entry.spelling is None and standing.spelling is None
        return plain and base.kind is entry.kind and base.stamp(self.side) == entry.stamp

    def ground(self, proof: Proof) -> Optional[Ground]:
        """Return what shows that the files are the same ones, and not others with the same stamps."""
        side, new = self.side, self.new
        touched = [pair for pair in self.folders if not proof.untouched(side, new, *pair)]
        doubtful = [pair for gone, arrived in touched for pair in zip(taken_apart(gone), taken_apart(arrived))]
        return proof.files(side, new, [*self.pairs, *doubtful])


def _count(parts: Iterable[Part]) -> int:
    return sum(len(part) if isinstance(part, Block) else 1 for part in parts)


def _by_folder(parts: Iterable[Part], start: int) -> Tuple[Dict[str, List[Block]], List[Change]]:
    """Sort *parts* into the blocks of each folder, by what its name is from *start* on, and the rest."""
    blocks: Dict[str, List[Block]] = {}
    others: List[Change] = []
    for part in parts:
        if isinstance(part, Block):
            blocks.setdefault(part.folder[start:], []).append(part)
        else:
            others.append(part)
    for together in blocks.values():
        together.sort(key=lambda block: block.run.positions[0])
    return blocks, others


def _joined(blocks: Iterable[Block]) -> Tuple[List[str], List[bytes]]:
    names: List[str] = []
    stamps: List[bytes] = []
    for block in blocks:
        names += block.run.names
        stamps += block.run.stamps
    return names, stamps


def _path_of(part: Part, mark: Optional[Hashable]) -> str:
    """Return the path of the file of *part* that has *mark*."""
    if not isinstance(part, Block):
        return part.path
    return part.run.position([*part.run.stamps].index(mark))  # type: ignore[arg-type]


def _mark(stamp: Stamp, name: Optional[str]) -> Optional[Hashable]:
    """Return what tells a file from every other of its storage; every empty file looks like every other.

    *name* is given where a storage tells no ids: files in a renamed directory keep their own names.
    """
    if not stamp.size or (stamp.file_id is None and (name is None or stamp.mtime_ns is None)):
        return None
    if stamp.file_id is None:
        return stamp.size, stamp.mtime_ns, name
    mark = stamp.size, stamp.mtime_ns, stamp.file_id
    return plain_of(Stamp(stamp.size, stamp.mtime_ns, file_id=stamp.file_id)) or mark


def _is_gone(part: Part, side: Side) -> bool:
    """Say whether *side* lost what both had agreed on and the other side still holds unchanged."""
    if isinstance(part, Block):
        return part.side is side.other and part.rows is not None
    base, standing = part.base, part.entry(side.other)
    if base is None or not base.live or standing is None or part.entry(side) is not None:
        return False
    since = part.comparison.destination if side is Side.SOURCE else part.comparison.source
    # What was only touched has the agreed content; the stamps that it has now are part of what the move expects.
    return since in (SideChange.SAME, SideChange.TOUCHED) and base.kind is standing.kind


def _is_new(part: Part, side: Side) -> bool:
    if isinstance(part, Block):
        return part.side is side and part.rows is None
    return part.base is None and part.entry(side) is not None and part.entry(side.other) is None


def _is_directory(part: Optional[Part]) -> bool:
    return isinstance(part, Change) and part.kind is Kind.DIRECTORY


def _below(paths: Sequence[str], directory: str) -> Sequence[str]:
    """Return those of the sorted *paths* that lie below *directory*."""
    return paths[bisect_left(paths, directory + "/") : bisect_left(paths, directory + "0")]
