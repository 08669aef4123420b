"""What happened to one path: each side against its own past, and the two sides against each other."""

from __future__ import annotations

from typing import Iterable, List, Optional, Set, Tuple

import pytest
from attrs import evolve

from syncengine.core.comparator import (
    Change,
    Equality,
    FileComparator,
    SideChange,
    SideFacts,
    common_digest,
    is_racy,
)
from syncengine.core.entry import Base, Entry, Kind, Side, Stamp
from syncengine.core.modes import ComparisonMode

EQUAL, DIFFERENT, UNKNOWN = Equality.EQUAL, Equality.DIFFERENT, Equality.UNKNOWN
ABSENT, CREATED, SAME, TOUCHED, MODIFIED, REMOVED = (
    SideChange.ABSENT,
    SideChange.CREATED,
    SideChange.SAME,
    SideChange.TOUCHED,
    SideChange.MODIFIED,
    SideChange.REMOVED,
)
MODES = ("hash-then-mtime", "size-only", "hash-only", "mtime-only", "size-and-mtime")
SECOND = 1_000_000_000
TRUE_TIMES = SideFacts(true_mtime=True)


def entry(stamp: Optional[Stamp], kind: Kind = Kind.FILE, link: Optional[str] = None) -> Optional[Entry]:
    return None if stamp is None else Entry("f", kind, stamp, link=link)


def comparator(mode: str, source: SideFacts = TRUE_TIMES, destination: SideFacts = TRUE_TIMES) -> FileComparator:
    return FileComparator(ComparisonMode(mode), source, destination)


def stamp(size: Optional[int] = 3, mtime: Optional[int] = 0, *digests: str) -> Stamp:
    return Stamp(size, None if mtime is None else mtime * SECOND, digests=tuple(sorted(digests)))


def across(found: FileComparator, source: Stamp, destination: Stamp) -> Tuple[str, bool]:
    """Return equality and weakness of two files that nobody remembers, without asking anything."""
    comparison = found(None, entry(source), entry(destination), settled=True)
    assert comparison.questions == ()
    return comparison.equality.value, comparison.weak


# Columns: hash-then-mtime, size-only, hash-only, mtime-only, size-and-mtime. "equal~" is weak: found equal without
# looking at content.
CONTENT = [
    ("size and time agree", stamp(), stamp(), "equal~ equal~ unknown equal~ equal~"),
    ("times differ", stamp(), stamp(3, 5), "unknown equal~ unknown different different"),
    ("sizes differ", stamp(), stamp(4), "different different different equal~ different"),
    ("no size on one side", stamp(), stamp(None), "unknown unknown unknown equal~ unknown"),
    ("no size, and times differ", stamp(), stamp(None, 5), "unknown unknown unknown different unknown"),
    ("no time on one side", stamp(), stamp(3, None), "unknown equal~ unknown unknown unknown"),
    ("neither time nor size", stamp(None, None), stamp(None, None), "unknown unknown unknown unknown unknown"),
    (
        "a common digest agrees, times do not",
        stamp(3, 0, "md5:a"),
        stamp(3, 5, "md5:a"),
        "equal equal~ equal different different",
    ),
    (
        "a common digest differs, all else agrees",
        stamp(3, 0, "md5:a"),
        stamp(3, 0, "md5:b"),
        "different equal~ different equal~ equal~",
    ),
    (
        "digests that are not common decide nothing",
        stamp(3, 5, "md5:a"),
        stamp(3, 0, "sha256:a"),
        "unknown equal~ unknown different different",
    ),
    ("empty files", stamp(0), stamp(0, 5), "unknown equal~ unknown different different"),
]
CONTENT_CELLS = [
    (says, mode, source, destination, expected)
    for says, source, destination, columns in CONTENT
    for mode, expected in zip(MODES, columns.split())
]


@pytest.mark.parametrize(("says", "mode", "source", "destination", "expected"), CONTENT_CELLS)
def test_each_mode_gives_one_of_three_answers(
    says: str, mode: str, source: Stamp, destination: Stamp, expected: str
) -> None:
    for first, second in ((source, destination), (destination, source)):
        equality, weak = across(comparator(mode), first, second)

        assert equality == expected.rstrip("~")
        if equality == "equal":
            assert weak is expected.endswith("~")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("source", "destination"), [(SideFacts(), TRUE_TIMES), (TRUE_TIMES, SideFacts()), (SideFacts(), SideFacts())]
)
def test_times_that_are_not_those_of_the_content_prove_nothing(
    mode: str, source: SideFacts, destination: SideFacts
) -> None:
    equality, _ = across(comparator(mode, source, destination), stamp(), stamp())

    assert equality == ("equal" if mode == "size-only" else "unknown")


@pytest.mark.parametrize("mode", ["hash-then-mtime", "mtime-only", "size-and-mtime"])
@pytest.mark.parametrize(
    ("fine", "coarse", "apart", "agree"),
    [
        (1, 1, 0, True),
        (1, 1, 1, False),
        (1, SECOND, SECOND - 1, True),
        (1, SECOND, SECOND, False),
        (SECOND, 2 * SECOND, 2 * SECOND - 1, True),
        (0, 0, 1, False),
    ],
)
def test_times_agree_within_the_coarser_granularity(mode: str, fine: int, coarse: int, apart: int, agree: bool) -> None:
    sides = [SideFacts(true_mtime=True, mtime_granularity_ns=granularity) for granularity in (fine, coarse)]
    for source, destination in (sides, reversed(sides)):
        equality, _ = across(
            comparator(mode, source, destination), Stamp(3, 10 * SECOND), Stamp(3, 10 * SECOND + apart)
        )

        assert (equality == "equal") is agree


@pytest.mark.parametrize("mode", MODES)
def test_different_kinds_are_different(mode: str) -> None:
    comparison = comparator(mode)(None, entry(stamp()), entry(stamp(), Kind.DIRECTORY))

    assert (comparison.equality, comparison.questions) == (DIFFERENT, ())


@pytest.mark.parametrize("mode", MODES)
def test_directories_are_equal(mode: str) -> None:
    comparison = comparator(mode)(None, entry(Stamp(), Kind.DIRECTORY), entry(Stamp(), Kind.DIRECTORY))

    assert (comparison.equality, comparison.weak) == (EQUAL, False)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("first", "second", "expected"), [("x", "x", EQUAL), ("x", "y", DIFFERENT)])
def test_links_are_compared_by_where_they_point(mode: str, first: str, second: str, expected: Equality) -> None:
    found = comparator(mode)(None, entry(stamp(), Kind.SYMLINK, first), entry(stamp(4, 9), Kind.SYMLINK, second))

    assert (found.equality, found.weak) == (expected, False)


# ------------------------------------------------------------------------------------------------- common digests


@pytest.mark.parametrize(
    ("says", "source", "destination", "expected"),
    [
        ("none at all", Stamp(), Stamp(), None),
        ("none common", stamp(3, 0, "md5:a"), stamp(3, 0, "sha1:a"), None),
        ("a strong one agrees", stamp(3, 0, "md5:a"), stamp(3, 0, "md5:a"), True),
        ("a strong one differs", stamp(3, 0, "md5:a"), stamp(3, 0, "md5:b"), False),
        ("a CRC of 64 bits is strong", stamp(None, 0, "crc64nvme:a"), stamp(None, 0, "crc64nvme:a"), True),
        ("a CRC of 32 bits counts with an equal size", stamp(3, 0, "crc32c:a"), stamp(3, 0, "crc32c:a"), True),
        ("but not without sizes", stamp(None, 0, "crc32c:a"), stamp(3, 0, "crc32c:a"), None),
        ("a CRC of 32 bits that differs is proof", stamp(None, 0, "crc32c:a"), stamp(3, 0, "crc32c:b"), False),
        ("the strong one counts first", stamp(3, 0, "crc32c:a", "md5:a"), stamp(3, 0, "crc32c:a", "md5:b"), False),
        ("equal composite ETags are proof", stamp(3, 0, "etag:a-2"), stamp(3, 0, "etag:a-2"), True),
        ("an ETag that is the MD5 of the other is proof", stamp(3, 0, "etag:a"), stamp(3, 0, "md5:a"), True),
        ("one that is not may be a key service's", stamp(3, 0, "etag:a"), stamp(3, 0, "md5:b"), None),
        ("and so may be one of two", stamp(3, 0, "etag:a"), stamp(3, 0, "etag:b"), None),
        ("unequal ones may have other parts", stamp(3, 0, "etag:a-2"), stamp(3, 0, "etag:b-3"), None),
        (
            "so that a checksum still decides",
            stamp(3, 0, "crc32c:a", "etag:a-2"),
            stamp(3, 0, "crc32c:a", "etag:b-3"),
            True,
        ),
    ],
)
def test_digests_prove_what_they_can(says: str, source: Stamp, destination: Stamp, expected: Optional[bool]) -> None:
    assert common_digest(source, destination) is expected
    assert common_digest(destination, source) is expected


# ----------------------------------------------------------------------------------------------- a side's own past

OLD, NEW = Stamp(3, 10 * SECOND), Stamp(3, 20 * SECOND)


def row(
    source: Stamp = OLD, *, digest: Optional[str] = None, racy: Iterable[Side] = (), kind: Kind = Kind.FILE
) -> Base:
    return Base("f", kind, source, Stamp(3, 99), racy=tuple(racy), digest=digest)


LOCAL, REMOTE = SideFacts(true_mtime=True, cheap_reads=True), SideFacts(true_mtime=True)

PAST = [
    ("never seen, still absent", None, None, ABSENT),
    ("never seen, there now", None, NEW, CREATED),
    ("seen, gone now", row(), None, REMOVED),
    ("the very same stamp", row(), OLD, SAME),
    ("a newer time", row(), NEW, MODIFIED),
    ("an older time is a change like any other", row(NEW), OLD, MODIFIED),
    ("another size", row(), Stamp(4, 10 * SECOND), MODIFIED),
    ("another ETag", row(Stamp(3, etag="a")), Stamp(3, etag="b"), MODIFIED),
    ("nothing to compare", row(Stamp(etag="a")), Stamp(3), MODIFIED),
    ("a new time over equal content", row(digest="md5:a"), evolve(NEW, digests=("md5:a",)), TOUCHED),
    ("a new time over other content", row(digest="md5:a"), evolve(NEW, digests=("md5:b",)), MODIFIED),
    ("a new time, an ETag of equal content", row(digest="md5:a"), evolve(NEW, digests=("etag:a",)), TOUCHED),
    ("a new time, an ETag of who knows what", row(digest="md5:a"), evolve(NEW, digests=("etag:b",)), MODIFIED),
    ("a new time, content not known", row(digest="md5:a"), NEW, MODIFIED),
    ("another size is no touch", row(digest="md5:a"), Stamp(4, 0, digests=("md5:a",)), MODIFIED),
    ("a racy stamp, content equal", row(digest="md5:a", racy=[Side.SOURCE]), evolve(OLD, digests=("md5:a",)), TOUCHED),
    ("a racy stamp, content other", row(digest="md5:a", racy=[Side.SOURCE]), evolve(OLD, digests=("md5:b",)), MODIFIED),
    ("a racy stamp that cannot be checked is trusted", row(racy=[Side.SOURCE]), OLD, SAME),
    ("only the other side's stamp is racy", row(digest="md5:a", racy=[Side.DESTINATION]), OLD, SAME),
    ("a directory has no version", row(kind=Kind.DIRECTORY), None, REMOVED),
]


@pytest.mark.parametrize(("says", "base", "now", "expected"), PAST)
def test_a_side_is_compared_with_its_own_past(
    says: str, base: Optional[Base], now: Optional[Stamp], expected: SideChange
) -> None:
    found = comparator("hash-then-mtime")(base, entry(now), None, settled=True)

    assert found.source is expected


@pytest.mark.parametrize(("says", "base", "now", "expected"), PAST)
def test_both_sides_are_judged_alike(
    says: str, base: Optional[Base], now: Optional[Stamp], expected: SideChange
) -> None:
    mirrored = (
        None
        if base is None
        else evolve(base, source=base.destination, destination=base.source, racy=tuple(s.other for s in base.racy))
    )
    found = comparator("hash-then-mtime")(mirrored, None, entry(now), settled=True)

    assert found.destination is expected


@pytest.mark.parametrize(("before", "now"), [(Kind.FILE, Kind.DIRECTORY), (Kind.DIRECTORY, Kind.FILE)])
def test_another_kind_is_a_change(before: Kind, now: Kind) -> None:
    found = comparator("hash-then-mtime")(row(kind=before), entry(OLD, now), None)

    assert found.source is MODIFIED


def test_a_directory_that_stays_is_unchanged_whatever_its_stamp_says() -> None:
    found = comparator("hash-then-mtime")(row(kind=Kind.DIRECTORY), entry(NEW, Kind.DIRECTORY), None)

    assert found.source is SAME


@pytest.mark.parametrize("mode", MODES)
def test_what_both_sides_still_have_as_agreed_is_equal_without_a_look(mode: str) -> None:
    base = Base("f", Kind.FILE, OLD, NEW, weak=True)
    found = comparator(mode, SideFacts(), SideFacts())(base, entry(OLD), entry(NEW))

    assert (found.equality, found.weak, found.questions) == (EQUAL, True, ())


# -------------------------------------------------------------------------------------------------------- questions


def asked(found: FileComparator, base: Optional[Base], source: Stamp, destination: Stamp) -> Set[Tuple[str, str]]:
    questions = found(base, entry(source), entry(destination)).questions
    return {(question.side.value, question.algorithm) for question in questions}


WITH_MD5 = stamp(3, 5, "md5:a")
PLAIN = stamp(3, 0)


@pytest.mark.parametrize("mode", ["hash-then-mtime", "hash-only"])
@pytest.mark.parametrize(
    ("says", "source", "destination", "downloads", "stamps", "expected"),
    [
        ("both are read where both are local", LOCAL, LOCAL, False, (PLAIN, stamp(3, 5)), {"source", "destination"}),
        ("only the one that lacks a digest", LOCAL, LOCAL, False, (PLAIN, WITH_MD5), {"source"}),
        ("the local one, for the digest of the remote one", LOCAL, REMOTE, False, (PLAIN, WITH_MD5), {"source"}),
        ("and the other way round", REMOTE, LOCAL, False, (WITH_MD5, PLAIN), {"destination"}),
        ("a remote one is not read for a local digest", LOCAL, REMOTE, False, (WITH_MD5, PLAIN), set()),
        ("no digest at all on the remote side", LOCAL, REMOTE, False, (PLAIN, stamp(3, 5)), set()),
        ("nothing is read of two remote sides", REMOTE, REMOTE, False, (PLAIN, stamp(3, 5)), set()),
        ("a remote digest alone helps nobody", REMOTE, REMOTE, False, (PLAIN, WITH_MD5), set()),
        ("unless downloads are allowed", REMOTE, REMOTE, True, (PLAIN, WITH_MD5), {"source"}),
        ("for both sides, too", REMOTE, REMOTE, True, (PLAIN, stamp(3, 5)), {"source", "destination"}),
        ("a composite ETag cannot be computed", LOCAL, REMOTE, False, (PLAIN, stamp(3, 5, "etag:a-2")), set()),
    ],
)
def test_a_digest_is_asked_for_exactly_where_it_can_be_had_and_would_settle(
    mode: str,
    says: str,
    source: SideFacts,
    destination: SideFacts,
    downloads: bool,
    stamps: Tuple[Stamp, Stamp],
    expected: Set[str],
) -> None:
    found = FileComparator(ComparisonMode(mode), source, destination, hash_by_download=downloads)
    algorithm = "md5" if any(each.digests for each in stamps) else "sha256"

    assert asked(found, None, *stamps) == {(side, algorithm) for side in expected}


@pytest.mark.parametrize("mode", ["size-only", "mtime-only", "size-and-mtime"])
def test_modes_that_do_not_look_at_content_never_ask(mode: str) -> None:
    unknown = Stamp()

    assert asked(comparator(mode, LOCAL, LOCAL), None, unknown, unknown) == set()


def test_a_local_digest_settles_a_comparison_of_times_that_agree_only_in_hash_only() -> None:
    assert asked(comparator("hash-then-mtime", LOCAL, LOCAL), None, PLAIN, PLAIN) == set()
    assert asked(comparator("hash-only", LOCAL, LOCAL), None, PLAIN, PLAIN) == {
        ("source", "sha256"),
        ("destination", "sha256"),
    }


@pytest.mark.parametrize(("facts", "expected"), [(LOCAL, {("source", "md5")}), (REMOTE, set())])
@pytest.mark.parametrize("now", [NEW, OLD])
def test_a_suspicious_stamp_asks_for_the_digest_that_is_remembered(
    facts: SideFacts, expected: Set[Tuple[str, str]], now: Stamp
) -> None:
    base = row(digest="md5:a", racy=[Side.SOURCE])

    assert asked(comparator("hash-then-mtime", facts, REMOTE), base, now, Stamp(3, 99)) == expected


def test_a_changed_size_needs_no_digest() -> None:
    base = row(digest="md5:a")

    assert asked(comparator("hash-then-mtime", LOCAL, LOCAL), base, Stamp(4, 1), Stamp(3, 99)) == set()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("base", [None, row(digest="md5:a", racy=list(Side))])
def test_a_settled_comparison_asks_nothing_and_an_open_answer_is_never_equal(mode: str, base: Optional[Base]) -> None:
    found = comparator(mode, SideFacts(cheap_reads=True), SideFacts(cheap_reads=True))
    settled = found(base, entry(NEW), entry(Stamp(3, 98)), settled=True)

    assert settled.questions == ()
    assert settled.equality is (EQUAL if mode == "size-only" else UNKNOWN)


def test_the_answer_to_the_first_question_may_leave_a_second_one_open() -> None:
    found = comparator("hash-then-mtime", LOCAL, LOCAL)
    base = row(digest="md5:a")
    first = found(base, entry(NEW), entry(Stamp(3, 99)))
    edited = evolve(NEW, digests=("md5:b",))
    second = found(base, entry(edited), entry(Stamp(3, 99)))

    assert [(each.side, each.algorithm) for each in first.questions] == [(Side.SOURCE, "md5")]
    assert (second.source, second.destination) == (MODIFIED, SAME)
    assert [(each.side, each.algorithm) for each in second.questions] == [(Side.DESTINATION, "md5")]


# ------------------------------------------------------------------------------------------------------ racy stamps


@pytest.mark.parametrize(
    ("says", "found", "granularity", "expected"),
    [
        ("an hour old", Stamp(3, 0), 1, False),
        ("as old as the look", Stamp(3, 3600 * SECOND), 1, True),
        ("from the future", Stamp(3, 3601 * SECOND), 1, True),
        ("within two ticks of the kernel's clock", Stamp(3, 3600 * SECOND - 19_999_999), 1, True),
        ("just outside of them", Stamp(3, 3600 * SECOND - 20_000_000), 1, False),
        ("within a coarse clock's tick", Stamp(3, 3598 * SECOND + 1), 2 * SECOND, True),
        ("of whole seconds, as a disk of unknown grain may keep them", Stamp(3, 3599 * SECOND), 1, True),
        ("of whole seconds, and older than any grain", Stamp(3, 3598 * SECOND), 1, False),
        ("an ETag tells versions apart", Stamp(3, 3600 * SECOND, etag="x"), 1, False),
        ("a version does, too", Stamp(3, 3600 * SECOND, version="x"), 1, False),
        ("no time, no race", Stamp(3), 1, False),
    ],
)
def test_a_stamp_too_young_to_prove_anything_is_racy(says: str, found: Stamp, granularity: int, expected: bool) -> None:
    assert is_racy(found, 3600 * SECOND, granularity) is expected


# ------------------------------------------------------------------------------------------------------- the change


def test_a_change_tells_files_that_face_directories() -> None:
    compare = FileComparator()
    file, directory = entry(OLD), entry(Stamp(), Kind.DIRECTORY)
    link = entry(OLD, Kind.SYMLINK, "x")

    def clashes(source: Optional[Entry], destination: Optional[Entry]) -> bool:
        return Change("f", None, source, destination, compare(None, source, destination)).clash

    assert clashes(file, directory)
    assert clashes(directory, link)
    assert not clashes(file, link)
    assert not clashes(directory, directory)
    assert not clashes(directory, None)


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize(("base", "expected"), [(None, ABSENT), (row(), REMOVED)])
def test_a_change_can_be_seen_as_if_one_side_had_nothing(
    side: Side, base: Optional[Base], expected: SideChange
) -> None:
    source, destination = entry(OLD), entry(NEW)
    whole = Change("f", base, source, destination, FileComparator()(base, source, destination))
    alone = whole.without(side)

    assert alone.entry(side) is None
    assert alone.entry(side.other) is whole.entry(side.other)
    assert expected is (alone.comparison.source if side is Side.SOURCE else alone.comparison.destination)
    assert alone.kind is Kind.FILE


# ------------------------------------------------------------------------------------- digests that a storage keeps

KEEPS = SideFacts(stored_digests=True)
WHOLE, PARTED = Stamp(3, digests=("md5:a",)), Stamp(3, etag="b-2", digests=("etag:b-2",))
SINGLE = Stamp(3, etag="b", digests=("etag:b",))
TOLD = Stamp(3, etag="b-2", digests=("etag-2:b-2", "etag:b-2"))

ASKED = [
    ("a digest at hand is computed on the side that can be read", LOCAL, OLD, KEEPS, WHOLE, ["source md5"]),
    ("the storage is asked where it tells none", LOCAL, OLD, KEEPS, PARTED, ["destination stored"]),
    ("the ETag of parts of a known size is computed", LOCAL, OLD, KEEPS, TOLD, ["source etag-2"]),
    ("an ETag may be the digest of the content", LOCAL, OLD, KEEPS, SINGLE, ["source md5"]),
    ("but if it is not, the storage is asked", LOCAL, WHOLE, KEEPS, SINGLE, ["destination stored"]),
    ("nothing is asked of a storage that keeps none", LOCAL, OLD, SideFacts(), PARTED, []),
    ("two storages are both asked", KEEPS, WHOLE, KEEPS, PARTED, ["source stored", "destination stored"]),
    ("only the one that keeps some is asked", SideFacts(), Stamp(3), KEEPS, PARTED, ["destination stored"]),
]


@pytest.mark.parametrize(("says", "first", "source", "second", "destination", "expected"), ASKED)
def test_what_a_storage_keeps_is_asked_for_before_content_is_read(
    says: str, first: SideFacts, source: Stamp, second: SideFacts, destination: Stamp, expected: List[str]
) -> None:
    compare = comparator("hash-only", first, second)

    found = compare(None, entry(source), entry(destination))

    assert [f"{question.side.value} {question.algorithm}" for question in found.questions] == expected
    assert found.equality is Equality.UNKNOWN


@pytest.mark.parametrize(
    ("says", "first", "second", "expected"),
    [
        ("the same ETag of the same parts", "etag-2:b-2", "etag-2:b-2", True),
        ("another ETag of the same parts: a key service may have changed it", "etag-2:b-2", "etag-2:c-2", None),
        ("ETags of parts of two sizes", "etag-2:b-2", "etag-3:b-2", None),
    ],
)
def test_etags_of_parts_prove_only_equality(says: str, first: str, second: str, expected: Optional[bool]) -> None:
    assert common_digest(Stamp(3, digests=(first,)), Stamp(3, digests=(second,))) is expected
