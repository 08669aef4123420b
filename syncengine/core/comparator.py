"""What happened to one path: each side against its own past, and the two sides against each other.

The two comparisons are never mixed up. *Same-side* is inequality of stamps, never an ordering: an older modification
time is a change like any other. *Cross-side* has three answers; what stamps cannot settle is a question (a digest of
one path on one side) that the caller may answer, and without an answer stays unknown, which is never equal.
"""

from __future__ import annotations

from enum import Enum
from typing import Iterable, List, Optional, Set, Tuple

from attrs import evolve, field, frozen

from .entry import Base, Entry, Kind, Side, Stamp
from .modes import ComparisonMode


class SideChange(str, Enum):
    """What happened to a path on one side since the last agreement."""

    ABSENT = "absent"
    CREATED = "created"
    SAME = "same"
    TOUCHED = "touched"
    MODIFIED = "modified"
    REMOVED = "removed"


class Equality(str, Enum):
    """Whether both sides hold the same content now."""

    EQUAL = "equal"
    DIFFERENT = "different"
    UNKNOWN = "unknown"


@frozen
class SideFacts:
    """What a comparison must know of a side.

    ``true_mtime`` says that modification times are those of the content; ``cheap_reads`` that a digest can be
    computed without a network; ``stored_digests`` that the storage can be asked, by a request for one file, for
    digests that its listings do not tell.
    """

    true_mtime: bool = False
    mtime_granularity_ns: int = 1
    cheap_reads: bool = False
    stored_digests: bool = False


@frozen
class Question:
    """A digest that would settle a comparison; STORED asks for whatever digests the storage itself keeps."""

    side: Side
    entry: Entry
    algorithm: str


@frozen
class Comparison:
    """The answer for one path; ``weak`` marks equality that was found without looking at content."""

    source: SideChange
    destination: SideChange
    equality: Equality = Equality.UNKNOWN
    weak: bool = False
    questions: Tuple[Question, ...] = ()


@frozen
class Change:
    """What is known of one path that is not simply unchanged: three views and what became of them.

    The kinds of the two sides differ where one holds a file and the other a directory of the same name.
    """

    path: str
    base: Optional[Base]
    source: Optional[Entry]
    destination: Optional[Entry]
    comparison: Comparison

    @property
    def kind(self) -> Kind:
        """What stands, or stood, at the path."""
        for view in (self.source, self.destination, self.base):
            if view is not None:
                return view.kind
        raise AssertionError("a change has at least one view")

    @property
    def clash(self) -> bool:
        """Whether one side holds a directory where the other holds a file."""
        kinds = {view.kind for view in (self.source, self.destination) if view is not None}
        return len(kinds) == 2 and Kind.DIRECTORY in kinds

    def entry(self, side: Side) -> Optional[Entry]:
        """Return what *side* holds."""
        return self.source if side is Side.SOURCE else self.destination

    def without(self, side: Side) -> Change:
        """Return this change as if *side* had nothing at the path."""
        gone = SideChange.ABSENT if self.base is None else SideChange.REMOVED
        if side is Side.SOURCE:
            return evolve(self, source=None, comparison=evolve(self.comparison, source=gone))
        return evolve(self, destination=None, comparison=evolve(self.comparison, destination=gone))


_STRONG = ("sha256", "sha512", "blake2b", "sha1", "md5", "crc64nvme", "etag")
_WITH_SIZE = ("crc32c", "crc32")
DEFAULT_ALGORITHM = "sha256"
STORED = "stored"
PARTS = "etag-"
"""Begins the algorithm of an ETag of parts of a known size, ``etag-8388608``: whoever has the content computes it."""


def common_digest(first: Stamp, second: Stamp) -> Optional[bool]:
    """Say whether the digests of two stamps prove equal or different content; None where none is common.

    A checksum of 32 bits counts only together with an equal size. ETags with unequal values prove nothing: parts may
    differ in size, and a key service changes the ETag of equal content. The equal ETag or MD5 of another proves it.

    >>> common_digest(Stamp(digests=("md5:0a",)), Stamp(digests=("md5:0a", "crc32c:77")))
    True
    """
    for algorithm in _STRONG:
        mine, theirs = first.digest(algorithm), second.digest(algorithm)
        if mine is not None and theirs is not None and (mine == theirs or algorithm != "etag"):
            return mine == theirs
    for algorithm in _WITH_SIZE:
        mine, theirs = first.digest(algorithm), second.digest(algorithm)
        if mine is None or theirs is None:
            continue
        if mine != theirs:
            return False
        if first.size is not None and first.size == second.size:
            return True
    if _digests_in_etags(first) & _digests_in_etags(second):
        return True
    return True if any(_is_of_parts(digest) and digest in second.digests for digest in first.digests) else None


def _digests_in_etags(stamp: Stamp) -> Set[str]:
    """Return what may be the MD5 of the content, and is if anything of the content is equal to it."""
    found = {digest.partition(":")[2] for digest in (stamp.digest("md5"), stamp.digest("etag")) if digest is not None}
    return {value for value in found if "-" not in value}


def _is_of_parts(text: str) -> bool:
    return text.startswith(PARTS)


RACE_WINDOW_NS = 20_000_000
"""Two ticks of a coarse kernel clock: edits closer than this may carry one modification time (git's index problem)."""

COARSE_WINDOW_NS = 2_000_000_000
"""What FAT keeps of a time; HFS+, ext3 and many file servers keep whole seconds, and no disk says which it is."""

_SECOND_NS = 1_000_000_000


def is_racy(stamp: Stamp, observed_ns: int, granularity_ns: int) -> bool:
    """Say whether *stamp*, observed at *observed_ns*, is too young to prove that a later equal stamp is no edit.

    A time of whole seconds is taken for that of a disk which keeps no more; elsewhere hardly any young file has one.
    """
    if stamp.mtime_ns is None or stamp.etag is not None or stamp.version is not None:
        return False
    least = RACE_WINDOW_NS if stamp.mtime_ns % _SECOND_NS else COARSE_WINDOW_NS
    return stamp.mtime_ns > observed_ns - max(granularity_ns, least)


def racy_since(observed_ns: int, granularity_ns: int) -> int:
    """Return the time before which no stamp that was observed then is racy, whatever kind of clock it comes from."""
    return observed_ns - max(granularity_ns, RACE_WINDOW_NS, COARSE_WINDOW_NS)


@frozen
class FileComparator:
    """Compares two or three views of a path in one of the five comparison modes.

    >>> old, new = Entry("a", Kind.FILE, Stamp(size=1)), Entry("a", Kind.FILE, Stamp(size=2))
    >>> FileComparator()(None, new, old).equality.value
    'different'
    """

    mode: ComparisonMode = ComparisonMode.HASH_THEN_MTIME
    source: SideFacts = field(factory=SideFacts)
    destination: SideFacts = field(factory=SideFacts)
    hash_by_download: bool = False

    def __call__(
        self, base: Optional[Base], source: Optional[Entry], destination: Optional[Entry], *, settled: bool = False
    ) -> Comparison:
        """Say what changed; with *settled* no more questions are asked and what is open stays unknown."""
        questions: List[Question] = []
        at_source = self._since(base, source, Side.SOURCE, questions, settled=settled)
        at_destination = self._since(base, destination, Side.DESTINATION, questions, settled=settled)
        if source is None or destination is None:
            return Comparison(at_source, at_destination, questions=tuple(questions))
        if at_source in _AS_AGREED and at_destination in _AS_AGREED:
            weak = base is not None and base.weak
            return Comparison(at_source, at_destination, Equality.EQUAL, weak, tuple(questions))
        if questions:
            # The same answers may settle both comparisons; the cross-side one is asked for when they are in.
            return Comparison(at_source, at_destination, questions=tuple(questions))
        equality, weak = self.equality(source, destination)
        if equality is Equality.UNKNOWN and not settled:
            questions.extend(self._cross_questions(source, destination))
        return Comparison(at_source, at_destination, equality, weak, tuple(questions))

    # ------------------------------------------------------- a side's own past

    def _facts(self, side: Side) -> SideFacts:
        return self.source if side is Side.SOURCE else self.destination

    def _reads(self, side: Side) -> bool:
        return self.hash_by_download or self._facts(side).cheap_reads

    def _since(
        self, base: Optional[Base], entry: Optional[Entry], side: Side, questions: List[Question], *, settled: bool
    ) -> SideChange:
        if entry is None:
            return SideChange.ABSENT if base is None else SideChange.REMOVED
        if base is None:
            return SideChange.CREATED
        if base.kind is not entry.kind:
            return SideChange.MODIFIED
        if entry.kind is Kind.DIRECTORY:
            return SideChange.SAME
        recorded = base.stamp(side)
        same = entry.stamp.same_version(recorded)
        if same and side not in base.racy:
            return SideChange.SAME
        if _differ(entry.stamp.size, recorded.size):
            return SideChange.MODIFIED
        return self._candidate(base, entry, side, questions, settled=settled, unproved=bool(same))

    def _candidate(
        self,
        base: Base,
        entry: Entry,
        side: Side,
        questions: List[Question],
        *,
        settled: bool,
        unproved: bool,
    ) -> SideChange:
        """Judge a file whose stamp is new, or too young to be trusted, by its content where that can be had."""
        if base.digest is not None:
            algorithm = base.digest.partition(":")[0]
            mine = entry.stamp.digest(algorithm)
            if mine is None and _digests_in_etags(entry.stamp) & _digests_in_etags(Stamp(digests=(base.digest,))):
                return SideChange.TOUCHED
            if mine is not None:
                return SideChange.TOUCHED if mine == base.digest else SideChange.MODIFIED
            if not settled and self._facts(side).cheap_reads:
                questions.append(Question(side, entry, algorithm))
        # A racy stamp that cannot be checked without a download is trusted: on storages whose times are the times
        # of the upload every file would otherwise look edited for ever. Worst case: an edit within one tick of the
        # clock, of the same size, is found at the next edit.
        return SideChange.SAME if unproved else SideChange.MODIFIED

    # --------------------------------------------------------- across the sides

    def equality(self, source: Entry, destination: Entry) -> Tuple[Equality, bool]:
        """Say whether two entries hold the same content, and whether that was found without looking at content."""
        if source.kind is not destination.kind:
            return Equality.DIFFERENT, False
        if source.kind is Kind.DIRECTORY:
            return Equality.EQUAL, False
        if source.kind is Kind.SYMLINK:
            return (Equality.EQUAL if source.link == destination.link else Equality.DIFFERENT), False
        if self.mode is ComparisonMode.SIZE_ONLY:
            return _verdict(_agree(source.stamp.size, destination.stamp.size)), True
        if self.mode is ComparisonMode.MTIME_ONLY:
            return _verdict(self._times_agree(source.stamp, destination.stamp)), True
        if _differ(source.stamp.size, destination.stamp.size):
            return Equality.DIFFERENT, False
        if self.mode is ComparisonMode.SIZE_AND_MTIME:
            both = (
                _agree(source.stamp.size, destination.stamp.size),
                self._times_agree(source.stamp, destination.stamp),
            )
            return _verdict(None if None in both else all(both)), True
        return self._by_content(source.stamp, destination.stamp)

    def _by_content(self, source: Stamp, destination: Stamp) -> Tuple[Equality, bool]:
        proved = common_digest(source, destination)
        if proved is not None:
            return _verdict(proved), False
        sizes_agree = source.size is not None and source.size == destination.size
        if self.mode is ComparisonMode.HASH_THEN_MTIME and sizes_agree and self._times_agree(source, destination):
            return Equality.EQUAL, True
        return Equality.UNKNOWN, False

    def _times_agree(self, source: Stamp, destination: Stamp) -> Optional[bool]:
        if not (self.source.true_mtime and self.destination.true_mtime):
            return None
        if source.mtime_ns is None or destination.mtime_ns is None:
            return None
        coarser = max(self.source.mtime_granularity_ns, self.destination.mtime_granularity_ns, 1)
        return abs(source.mtime_ns - destination.mtime_ns) < coarser

    def _cross_questions(self, source: Entry, destination: Entry) -> Iterable[Question]:
        if self.mode not in (ComparisonMode.HASH_THEN_MTIME, ComparisonMode.HASH_ONLY) or source.kind is not Kind.FILE:
            return ()
        reads_source, reads_destination = self._reads(Side.SOURCE), self._reads(Side.DESTINATION)
        if reads_source and reads_destination:
            # Both can be read, so a checksum that merely lies at hand is no reason to settle for less.
            algorithm = computable(source.stamp, _STRONG) or computable(destination.stamp, _STRONG) or DEFAULT_ALGORITHM
            both = (Question(Side.SOURCE, source, algorithm), Question(Side.DESTINATION, destination, algorithm))
            return tuple(question for question in both if question.entry.stamp.digest(algorithm) is None)
        stored = (Question(Side.SOURCE, source, STORED), Question(Side.DESTINATION, destination, STORED))
        if reads_source:
            return self._one_sided(*stored)
        if reads_destination:
            return self._one_sided(*reversed(stored))
        return tuple(question for question in stored if self._facts(question.side).stored_digests)

    def _one_sided(self, readable: Question, other: Question) -> Iterable[Question]:
        """Return what to ask where one side can be read: a digest that the other has, or what else it may have."""
        algorithm = computable(other.entry.stamp)
        if algorithm is not None and readable.entry.stamp.digest(algorithm) is None:
            return (evolve(readable, algorithm=algorithm),)
        # What is known may be no digest but an ETag, and what it left open only the storage itself can settle.
        is_open = algorithm is None or other.entry.stamp.digest(algorithm) is None
        return (other,) if is_open and self._facts(other.side).stored_digests else ()


_AS_AGREED = (SideChange.SAME, SideChange.TOUCHED)
_COMPUTABLE = ("sha256", "sha512", "sha1", "md5", "crc32c", "crc32")


def computable(stamp: Stamp, among: Iterable[str] = _COMPUTABLE) -> Optional[str]:
    """Return the algorithm of a digest that *stamp* tells and that whoever has the content can compute, or None."""
    possible = (algorithm for algorithm in among if algorithm in _COMPUTABLE)
    found = next((algorithm for algorithm in possible if stamp.digest(algorithm) is not None), None)
    found = found or next((digest.partition(":")[0] for digest in stamp.digests if _is_of_parts(digest)), None)
    return found or ("md5" if _digests_in_etags(stamp) else None)


def _differ(first: Optional[int], second: Optional[int]) -> bool:
    return first is not None and second is not None and first != second


def _agree(first: Optional[int], second: Optional[int]) -> Optional[bool]:
    return None if first is None or second is None else first == second


def _verdict(proved: Optional[bool]) -> Equality:  # noqa: FBT001 - a three-valued answer, not a switch
    if proved is None:
        return Equality.UNKNOWN
    return Equality.EQUAL if proved else Equality.DIFFERENT
