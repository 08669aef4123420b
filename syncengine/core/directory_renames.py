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
from typing import Callable, Dict, Hashable, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, Union

from attrs import define, field, frozen

from .comparator import Change, SideChange
from .entry import Entry, Kind, Side, Stamp
from .merge import Views
from .paths import encoded, is_within, parent, parents

Pair = Tuple[Change, Change]
"""What is gone under the old name, and what stands under the new one."""

Proof = Callable[[Side, str, Sequence[Pair]], bool]
"""Says whether the files of all pairs are the same ones; the side renamed them, the text is the new directory."""

LISTING = "listing"
"""The algorithm of the digest by which a directory with everything in it is recognised."""


@frozen
class DirectoryRename:
    """A directory that one side renamed, with everything in it.

    ``listing`` is the digest of what the other side holds under the old name; ``size`` is in bytes.
    """

    old: str
    new: str
    side: Side
    files: int
    size: int
    listing: str
    pairs: Tuple[Pair, ...]

    @property
    def expected(self) -> Stamp:
        """What the directory must be when it is moved."""
        return Stamp(size=self.size, digests=(self.listing,))


def listing_digest(entries: Iterable[Entry], directory: str) -> str:
    """Return the digest of what lies below *directory*: relative names and stamps, in key order."""
    start = len(directory) + 1
    hashed = sha256()
    for entry in sorted(entries, key=lambda each: encoded(each.position)):
        stamp = entry.stamp
        told = (
            entry.position[start:],
            stamp.size,
            stamp.mtime_ns,
            stamp.etag,
            stamp.version,
            stamp.file_id,
            entry.link,
        )
        hashed.update(encoded(repr(told)))
    return f"{LISTING}:{hashed.hexdigest()}"


def directory_renames(
    changes: Sequence[Union[Change, Views]], side: Side, *, proved: Proof
) -> Iterator[DirectoryRename]:
    """Yield the directories that *side* renamed and the other side can follow as a whole, outermost first."""
    found = _Found.of(changes, side)
    waiting = found.outermost()
    while waiting:
        old = waiting.pop()
        rename = found.rename(old, proved)
        if rename is not None:
            yield rename
        else:
            waiting += found.directories_in(old)


@define(eq=False)
class _Found:
    """What was gone and what was new on one side, ready to be held against each other."""

    side: Side
    gone: Dict[str, Change]
    new: Dict[str, Change]
    others: Set[str]
    """Whatever else was met."""
    taken: Set[str]
    """That, and the directories above it."""
    gone_paths: List[str] = field(init=False)
    new_paths: List[str] = field(init=False)
    marked: Dict[Hashable, Optional[str]] = field(factory=dict, init=False)
    """Where the file with a mark stands now; None where it is not alone."""

    def __attrs_post_init__(self) -> None:
        """Sort the names, so that what lies below a directory is one slice."""
        self.gone_paths, self.new_paths = sorted(self.gone), sorted(self.new)
        for path, change in self.new.items():
            entry = change.entry(self.side)
            mark = None if entry is None else _mark(entry.stamp)
            if mark is not None:
                self.marked[mark] = None if mark in self.marked else path

    @classmethod
    def of(cls, changes: Sequence[Union[Change, Views]], side: Side) -> _Found:
        """Sort *changes* into what can be part of a rename and what stands in the way of one."""
        gone: Dict[str, Change] = {}
        new: Dict[str, Change] = {}
        others: List[str] = []
        for change in changes:
            if isinstance(change, Change) and _is_gone(change, side):
                gone[change.path] = change
            elif isinstance(change, Change) and _is_new(change, side):
                new[change.path] = change
            else:
                others.append(change.path)
        taken = {above for path in others for above in (*parents(path), path)}
        return cls(side, gone, new, set(others), taken)

    def outermost(self) -> List[str]:
        """Return the directories that are gone, without those that went with another."""
        gone = self.gone
        return [
            path
            for path in reversed(self.gone_paths)
            if gone[path].kind is Kind.DIRECTORY and not _is_directory(gone.get(parent(path)))
        ]

    def directories_in(self, directory: str) -> List[str]:
        """Return the directories right in *directory* that are gone."""
        depth = directory.count("/") + 1
        below = _below(self.gone_paths, directory)
        return [path for path in below if path.count("/") == depth and self.gone[path].kind is Kind.DIRECTORY]

    def rename(self, old: str, proved: Proof) -> Optional[DirectoryRename]:
        """Return the rename of the directory *old*, where it is one."""
        if old in self.taken:
            return None
        below = _below(self.gone_paths, old)
        new = self._new_name(old, below)
        if new is None or not self._is_free(old, new):
            return None
        pairs = self._pairs(old, new, below)
        if pairs is None or not proved(self.side, new, pairs):
            return None
        standing = [entry for entry in (gone.entry(self.side.other) for gone, _ in pairs) if entry is not None]
        files = [entry for entry in standing if entry.kind is not Kind.DIRECTORY]
        size = sum(entry.stamp.size or 0 for entry in files)
        listing = listing_digest(standing, old)
        whole = ((self.gone[old], self.new[new]), *pairs)
        return DirectoryRename(old, new, self.side, len(files), size, listing, whole)

    def _new_name(self, old: str, below: Sequence[str]) -> Optional[str]:
        """Return what the directory must be called now, by the first file in it that can be told from all others."""
        for path in below:
            base = self.gone[path].base
            mark = None if base is None else _mark(base.stamp(self.side))
            found = None if mark is None else self.marked.get(mark)
            if found is not None:
                name = path[len(old) :]
                return found[: -len(name)] if found.endswith(name) else None
        return None

    def _is_free(self, old: str, new: str) -> bool:
        """Say whether *new* is a new directory that nothing stands in the way of on the other side."""
        if not _is_directory(self.new.get(new)) or is_within(new, old) or is_within(old, new):
            return False
        # Above it, something else may be a file that would have to make room first.
        return new not in self.taken and self.others.isdisjoint(parents(new))

    def _pairs(self, old: str, new: str, below: Sequence[str]) -> Optional[List[Pair]]:
        """Return everything below both names side by side, or None where the two are not the same."""
        arrived = _below(self.new_paths, new)
        if len(arrived) != len(below):
            return None
        pairs = [(self.gone[path], self.new[other]) for path, other in zip(below, arrived)]
        start, start_new = len(old), len(new)
        alike = all(
            path[start:] == other[start_new:] and self._alike(*pair) for path, other, pair in zip(below, arrived, pairs)
        )
        return pairs if alike else None

    def _alike(self, gone: Change, new: Change) -> bool:
        base, entry, standing = gone.base, new.entry(self.side), gone.entry(self.side.other)
        assert base is not None
        assert entry is not None
        assert standing is not None
        plain = entry.spelling is None and standing.spelling is None
        return plain and base.kind is entry.kind and base.stamp(self.side) == entry.stamp


def _mark(stamp: Stamp) -> Optional[Hashable]:
    """Return what tells a file from every other of its storage; every empty file looks like every other."""
    if not stamp.size or stamp.file_id is None:
        return None
    return stamp.file_id, stamp.size, stamp.mtime_ns


def _is_gone(change: Change, side: Side) -> bool:
    """Say whether *side* lost what both had agreed on and the other side still holds unchanged."""
    base, standing = change.base, change.entry(side.other)
    if base is None or not base.live or standing is None or change.entry(side) is not None:
        return False
    since = change.comparison.destination if side is Side.SOURCE else change.comparison.source
    return since is SideChange.SAME and base.kind is standing.kind


def _is_new(change: Change, side: Side) -> bool:
    return change.base is None and change.entry(side) is not None and change.entry(side.other) is None


def _is_directory(change: Optional[Change]) -> bool:
    return change is not None and change.kind is Kind.DIRECTORY


def _below(paths: Sequence[str], directory: str) -> Sequence[str]:
    """Return those of the sorted *paths* that lie below *directory*."""
    return paths[bisect_left(paths, directory + "/") : bisect_left(paths, directory + "0")]
