"""Pair a disappearance with an appearance, so that a renamed file travels as a name and not as content.

Detection rewrites the diff and is no new kind of change: a pair ``a → b`` found on one side is applied virtually to
the other side and to the base, then the ordinary table decides what stands at ``b``. A wrong pair would move the
wrong file, so every precondition must hold and every ambiguity means no pair: a deletion and a creation are always
correct. The same rule as Unison's ``moves.ml``: equal content, never empty, exactly one candidate on both ends.

A file id, or where a storage tells none the size and the modification time, makes a pair, and the content proves it
where it can be had without a network. Where it cannot, a stamp that no other file which came or went has, and that is
too old for an edit to share it, is what a rename rests on: the plan says so, and nothing that such an agreement
destroys later goes without being kept.
"""

from __future__ import annotations

import re
from collections import Counter
from enum import Enum
from typing import Callable, Container, Dict, Hashable, Iterable, Iterator, List, Optional, Set, Tuple

from attrs import evolve, frozen

from .comparator import (
    DEFAULT_ALGORITHM,
    Change,
    Comparison,
    Equality,
    Question,
    SideChange,
    common_digest,
    computable,
)
from .entry import Base, Entry, Kind, Side, Stamp
from .paths import parents

Evidence = Tuple[Hashable, ...]
DigestOf = Callable[[Question], Optional[str]]

_CONTENT_ETAG = re.compile(r"[0-9a-f]{32}")
"""An MD5: multipart ETags end in the number of parts and depend on their size."""

_STRONG = ("sha256", "sha512", "sha1", "md5")


class Ground(str, Enum):
    """What a rename rests on: equal content, or a stamp that nothing else has."""

    CONTENT = "content"
    STAMP = "stamp"


@frozen
class Rename:
    """A file that one side renamed: ``change`` is what the table is asked about the new name."""

    old: str
    new: str
    side: Side
    change: Change
    base: Base
    """What was agreed under the old name."""
    proved: bool = False
    """The new name is known to hold the agreed content; a file id alone may have been given to another file."""

    @property
    def has_stamp(self) -> bool:
        """Whether what stands under the new name has the recorded stamp, and no edit since can have kept it."""
        arrived, recorded = self.change.entry(self.side), self.base.stamp(self.side)
        assert arrived is not None
        if self.side in self.base.racy or not recorded.size or recorded.mtime_ns is None:
            return False
        return recorded.mtime_ns == arrived.stamp.mtime_ns and bool(recorded.same_version(arrived.stamp))

    @property
    def edited(self) -> bool:
        """Whether the other side changed the content under the old name meanwhile."""
        return self.change.comparison.equality is Equality.DIFFERENT


def renames(
    changes: Iterable[Change], side: Side, *, digest_of: DigestOf, follow_edits: bool, by_time: bool = False
) -> Iterator[Rename]:
    """Yield what *side* renamed, with each old and each new name in one pair at the most.

    *digest_of* reads a new file whose size is that of exactly one vanished file with a known digest. *follow_edits*
    also pairs where the other side edited the old name (two-way: the edit follows the rename). *by_time* says that
    *side* keeps the times of contents and no ids of files, so that size and time together tell a file from others.
    """
    known = list(changes)
    vanished = [change for change in known if _vanished(change, side, follow_edits=follow_edits)]
    if not vanished:
        return
    occupied = {change.path for change in known if _is_file(change.entry(side.other))}
    appeared = [
        change for change in known if _appeared(change, side) and not occupied.intersection(parents(change.path))
    ]
    ambiguous = _shared_times(known, side) if by_time else set()

    def marks(stamp: Stamp) -> List[Evidence]:
        timed = by_time and stamp.file_id is None and _timed(stamp) not in ambiguous
        return _marks(stamp) + ([_timed(stamp)] if timed and stamp.size and stamp.mtime_ns is not None else [])

    pairs = _paired(vanished, appeared, lambda base: marks(base.stamp(side)), lambda entry: marks(entry.stamp), side)
    yield from (rename_of(old, new, side) for old, new in pairs)
    done = {change.path for pair in pairs for change in pair}
    left_old = [change for change in vanished if change.path not in done]
    left_new = [change for change in appeared if change.path not in done]
    yield from (rename_of(old, new, side) for old, new in _by_digest(left_old, left_new, side, digest_of))


def unfinished(
    changes: Iterable[Change], begun: Iterable[Tuple[str, str, Side]], *, digest_of: DigestOf
) -> Iterator[Rename]:
    """Yield the renames that a crashed run had begun to bring together with an edit.

    *begun* are hints (old name, new name, the side that renamed): one counts only where the renaming side holds, under
    the new name, the very content that the other side holds under the old one.
    """
    by_path = {change.path: change for change in changes}
    for old_path, new_path, side in begun:
        old, new = by_path.get(old_path), by_path.get(new_path)
        if old is None or new is None or not _vanished(old, side, follow_edits=True) or not _appeared(new, side):
            continue
        standing, arrived = old.entry(side.other), new.entry(side)
        assert standing is not None
        assert arrived is not None
        if standing.stamp.size != arrived.stamp.size:
            continue
        digest = digest_of(Question(side, arrived, "sha256"))
        if digest is not None and digest == digest_of(Question(side.other, standing, "sha256")):
            found = rename_of(old, new, side)
            both = Comparison(SideChange.MODIFIED, SideChange.MODIFIED, Equality.EQUAL)
            yield evolve(found, change=evolve(found.change, comparison=both), proved=True)


def ground_of(rename: Rename, digest_of: DigestOf, reads: Container[Side]) -> Optional[Ground]:
    """Return what a rename rests on; None where it is none, or nothing shows that it is one.

    *reads* are the sides whose content can be had without a network. What cannot be had so is read only where the
    stamp is too young to vouch for it: that costs no more than the copy that it saves.
    """
    same = is_same_content(rename, digest_of, reads)
    if same is None and rename.has_stamp:
        return Ground.STAMP
    if same is None:
        same = is_same_content(rename, digest_of, tuple(Side))
    return Ground.CONTENT if same else None


def is_same_content(rename: Rename, digest_of: DigestOf, reads: Container[Side]) -> Optional[bool]:
    """Say whether the new name of a rename holds what was agreed on under the old one.

    A storage gives the id of a deleted file to the next one it makes, and archives are unpacked with the times they
    carry. So where nothing else proves the pair, its content is read, on those sides that *reads* names. None means
    that a side would have to be read which is not among them.
    """
    if rename.proved:
        return True
    side = rename.side
    standing, arrived = rename.change.entry(side.other), rename.change.entry(side)
    assert standing is not None
    assert arrived is not None

    def digest(at: Side, entry: Entry, algorithm: str) -> Optional[str]:
        known = entry.stamp.digest(algorithm)
        return digest_of(Question(at, entry, algorithm)) if known is None and at in reads else known

    agreed = rename.base.digest
    found = None if agreed is None else digest(side, arrived, agreed.partition(":")[0])
    if found is not None:
        return found == agreed
    if rename.edited:
        return False if agreed is not None and side in reads else None
    ends = ((side.other, standing), (side, arrived))
    if not all(at in reads or computable(entry.stamp, _STRONG) for at, entry in ends):
        reads = ()  # to read one of them would settle nothing
    algorithm = computable(standing.stamp, _STRONG) or computable(arrived.stamp, _STRONG) or DEFAULT_ALGORITHM

    def told(at: Side, entry: Entry) -> Stamp:
        read = digest(at, entry, algorithm)
        stamp = entry.stamp if read is None else entry.stamp.with_digest(read)
        # 32 bits are too few to take a name away by.
        return evolve(stamp, digests=tuple(each for each in stamp.digests if not each.startswith("crc32")))

    same = common_digest(told(side.other, standing), told(side, arrived))
    return False if same is None and all(each in reads for each in Side) else same


def _is_file(entry: Optional[Entry]) -> bool:
    return entry is not None and entry.kind is Kind.FILE


def _change_on(change: Change, side: Side) -> SideChange:
    return change.comparison.source if side is Side.SOURCE else change.comparison.destination


def _vanished(change: Change, side: Side, *, follow_edits: bool) -> bool:
    """Say whether *side* lost an agreed file that the other side still has."""
    base = change.base
    if base is None or not base.live or base.kind is not Kind.FILE or not base.stamp(side).size:
        return False
    if change.entry(side) is not None or not _is_file(change.entry(side.other)):
        return False
    return follow_edits or _change_on(change, side.other) is not SideChange.MODIFIED


def _appeared(change: Change, side: Side) -> bool:
    """Say whether *side* has a new file where the other side has nothing."""
    return change.base is None and _is_file(change.entry(side)) and change.entry(side.other) is None


def _timed(stamp: Stamp) -> Evidence:
    return ("time", stamp.size, stamp.mtime_ns)


def _shared_times(changes: Iterable[Change], side: Side) -> Set[Evidence]:
    """Return the sizes and times that several files have which *side* lost, or several which it got, for any reason."""
    lost: Counter[Evidence] = Counter()
    got: Counter[Evidence] = Counter()
    for change in changes:
        entry = change.entry(side)
        if entry is not None and change.base is None:
            got[_timed(entry.stamp)] += 1
        elif entry is None and change.base is not None:
            lost[_timed(change.base.stamp(side))] += 1
    return {mark for counted in (lost, got) for mark, count in counted.items() if count > 1}


def _marks(stamp: Stamp) -> List[Evidence]:
    """Return what, found equal under another name of the same storage, proves that it is the same content."""
    if not stamp.size:
        return []  # every empty file looks like every other
    marks: List[Evidence] = []
    if stamp.file_id is not None and stamp.mtime_ns is not None:
        marks.append(("file", stamp.file_id, stamp.size, stamp.mtime_ns))
    if stamp.version is not None:
        marks.append(("version", stamp.version, stamp.size))
    if stamp.etag is not None and _CONTENT_ETAG.fullmatch(stamp.etag):
        marks.append(("etag", stamp.etag, stamp.size))
    return marks


def _paired(
    vanished: List[Change],
    appeared: List[Change],
    proofs: Callable[[Base], List[Evidence]],
    marks: Callable[[Entry], List[Evidence]],
    side: Side,
) -> List[Tuple[Change, Change]]:
    """Return the pairs whose evidence is unique on both ends and that do not contradict each other."""
    old: Dict[Evidence, List[Change]] = {}
    new: Dict[Evidence, List[Change]] = {}
    for change in vanished:
        assert change.base is not None
        for mark in proofs(change.base):
            old.setdefault(mark, []).append(change)
    for change in appeared:
        entry = change.entry(side)
        assert entry is not None
        for mark in marks(entry):
            new.setdefault(mark, []).append(change)
    found: Dict[str, Set[str]] = {}
    by_path = {change.path: change for change in (*vanished, *appeared)}
    for mark, candidates in old.items():
        matches = new.get(mark, [])
        if len(candidates) == 1 and len(matches) == 1:
            found.setdefault(candidates[0].path, set()).add(matches[0].path)
    targets = Counter(path for paths in found.values() for path in paths)
    return [
        (by_path[path], by_path[next(iter(paths))])
        for path, paths in found.items()
        if len(paths) == 1 and targets[next(iter(paths))] == 1
    ]


def _by_digest(
    vanished: List[Change], appeared: List[Change], side: Side, digest_of: DigestOf
) -> List[Tuple[Change, Change]]:
    """Pair by content where it is remembered; a new file is read only if its size is that of a vanished one."""
    sizes = {change.base.stamp(side).size for change in vanished if change.base is not None and change.base.digest}
    answered: List[Change] = []
    for change in appeared:
        entry = change.entry(side)
        assert entry is not None
        if entry.stamp.size in sizes:
            digest = entry.stamp.digest("sha256") or digest_of(Question(side, entry, "sha256"))
            if digest is not None:
                answered.append(_with_digest(change, side, digest))
    remembered = [change for change in vanished if change.base is not None and change.base.digest]
    return _paired(
        remembered,
        answered,
        lambda base: [("digest", base.digest)],
        lambda entry: [("digest", entry.stamp.digest("sha256"))],
        side,
    )


def _with_digest(change: Change, side: Side, digest: str) -> Change:
    entry = change.entry(side)
    assert entry is not None
    known = evolve(entry, stamp=entry.stamp.with_digest(digest))
    return evolve(change, source=known) if side is Side.SOURCE else evolve(change, destination=known)


def rename_of(old: Change, new: Change, side: Side) -> Rename:
    """Return the pair, as if the other side and the base had followed the rename already."""
    base, standing, arrived = old.base, old.entry(side.other), new.entry(side)
    assert base is not None
    assert standing is not None
    assert arrived is not None
    follower = evolve(standing, path=new.path, spelling=standing.own_path)
    followed = _change_on(old, side.other)
    equality = Equality.DIFFERENT if followed is SideChange.MODIFIED else Equality.EQUAL
    at_source, at_destination = (arrived, follower) if side is Side.SOURCE else (follower, arrived)
    changes = (SideChange.SAME, followed) if side is Side.SOURCE else (followed, SideChange.SAME)
    moved = evolve(base, path=new.path)
    comparison = Comparison(*changes, equality=equality, weak=base.weak)
    change = Change(new.path, moved, at_source, at_destination, comparison)
    return Rename(old.path, new.path, side, change, base, proved=_is_proved(base, arrived, side))


def _is_proved(base: Base, arrived: Entry, side: Side) -> bool:
    if base.digest is not None:
        found = arrived.stamp.digest(base.digest.partition(":")[0])
        if found is not None:
            return found == base.digest
    content = {mark for mark in _marks(arrived.stamp) if mark[0] != "file"}
    return not content.isdisjoint(_marks(base.stamp(side)))
