"""Stamps, entries, problems and snapshots."""

from __future__ import annotations

from typing import Optional

import pytest
from attrs import evolve
from attrs.exceptions import FrozenInstanceError

from syncengine.core.entry import (
    Base,
    Entry,
    Excluded,
    Extent,
    Kind,
    Problem,
    ProblemKind,
    Side,
    Snapshot,
    Stamp,
)

FULL = Stamp(3, 10**18, "e1", "v1", ("md5:aa", "sha256:bb"), "inode-7")
TIMED = Stamp(3, 10**18, file_id="inode-7")


@pytest.mark.parametrize(
    ("says", "first", "second", "expected"),
    [
        ("everything is equal", FULL, FULL, True),
        ("one component is common and equal", Stamp(size=3, etag="x"), Stamp(size=3, mtime_ns=7), True),
        ("nothing is common", Stamp(size=3), Stamp(etag="x"), None),
        ("both know nothing", Stamp(), Stamp(), None),
        ("sizes differ", FULL, evolve(FULL, size=4), False),
        ("ETags differ", FULL, evolve(FULL, etag="e2"), False),
        ("versions differ", FULL, evolve(FULL, version="v2"), False),
        ("file ids differ", FULL, evolve(FULL, file_id="inode-8"), False),
        ("a time is older", TIMED, evolve(TIMED, mtime_ns=10**18 - 1), False),
        ("a time is newer", TIMED, evolve(TIMED, mtime_ns=10**18 + 1), False),
        ("an ETag says more than a time", evolve(TIMED, etag="e"), Stamp(3, 7, "e"), True),
        ("a version says more than a time", evolve(TIMED, version="v"), Stamp(3, 7, version="v"), True),
        ("an ETag of one side alone says nothing", evolve(TIMED, etag="e"), Stamp(3, 7), False),
        ("one of the common digests differs", FULL, evolve(FULL, digests=("md5:aa", "sha256:cc")), False),
        ("digests of other algorithms are not compared", FULL, evolve(FULL, digests=("crc32c:1",)), True),
        ("only digests, equal", Stamp(digests=("md5:aa",)), Stamp(digests=("crc32c:1", "md5:aa")), True),
        ("only digests, none common", Stamp(digests=("md5:aa",)), Stamp(digests=("sha1:aa",)), None),
        ("a size of zero is a size", Stamp(size=0), Stamp(size=0), True),
        ("a time of zero is a time", Stamp(mtime_ns=0), Stamp(mtime_ns=0), True),
    ],
)
def test_two_stamps_name_one_version(says: str, first: Stamp, second: Stamp, expected: Optional[bool]) -> None:
    assert first.same_version(second) is expected
    assert second.same_version(first) is expected


@pytest.mark.parametrize(("apart", "same"), [(0, True), (999, True), (1_000, False), (-999, True), (-1_000, False)])
def test_times_closer_than_the_granularity_are_one_time(apart: int, same: bool) -> None:
    assert Stamp(mtime_ns=5_000).same_version(Stamp(mtime_ns=5_000 + apart), granularity_ns=1_000) is same


def test_a_granularity_of_zero_still_compares() -> None:
    assert Stamp(mtime_ns=5).same_version(Stamp(mtime_ns=5), granularity_ns=0) is True


def test_a_digest_is_found_by_its_algorithm() -> None:
    assert FULL.digest("md5") == "md5:aa"
    assert FULL.digest("sha256") == "sha256:bb"
    assert FULL.digest("sha") is None


def test_a_stamp_takes_another_digest_in_order_and_only_once() -> None:
    more = FULL.with_digest("crc32c:0").with_digest("crc32c:0")

    assert more.digests == ("crc32c:0", "md5:aa", "sha256:bb")
    assert FULL.digests == ("md5:aa", "sha256:bb")


@pytest.mark.parametrize(
    ("item", "position"),
    [
        (Entry("a", Kind.FILE, Stamp()), "a"),
        (Entry("a", Kind.SYMLINK, Stamp()), "a"),
        (Entry("a", Kind.DIRECTORY, Stamp()), "a/"),
        (Excluded("a", Kind.FILE, "rule"), "a"),
        (Excluded("a", Kind.DIRECTORY, "rule"), "a/"),
        (Base("a", Kind.FILE, Stamp(), Stamp()), "a"),
        (Base("a", Kind.DIRECTORY, Stamp(), Stamp()), "a/"),
        (Problem(ProblemKind.DENIED, "a", "no"), "a"),
        (Problem(ProblemKind.DENIED, "a", "no", extent=Extent.SUBTREE), "a/"),
        (Problem(ProblemKind.DENIED, "a", "no", extent=Extent.REST), "a"),
    ],
)
def test_directories_stand_where_their_contents_stand(item: Entry, position: str) -> None:
    assert item.position == position


def test_an_entry_knows_how_its_side_spells_it() -> None:
    assert Entry("key", Kind.FILE, Stamp()).own_path == "key"
    assert Entry("key", Kind.FILE, Stamp(), spelling="Key").own_path == "Key"


@pytest.mark.parametrize("kind", list(ProblemKind))
def test_only_what_was_seen_but_not_wanted_hides_nothing(kind: ProblemKind) -> None:
    seen = kind in (ProblemKind.LEFTOVER, ProblemKind.UNSUPPORTED)

    assert Problem(kind, "a", "why").hides is not seen


def test_a_row_keeps_the_stamps_of_both_sides_apart() -> None:
    row = Base("a", Kind.FILE, Stamp(size=1), Stamp(size=2))

    assert (row.stamp(Side.SOURCE), row.stamp(Side.DESTINATION)) == (Stamp(size=1), Stamp(size=2))
    assert [side.other for side in Side] == [Side.DESTINATION, Side.SOURCE]


FILE = Entry("a", Kind.FILE, Stamp(size=1))
DENIED = Problem(ProblemKind.DENIED, "b", "no", extent=Extent.SUBTREE)
DEVICE = Problem(ProblemKind.UNSUPPORTED, "c", "a device")


def test_a_snapshot_collects_its_problems_while_it_is_read() -> None:
    snapshot = Snapshot("here", iter([FILE, DENIED, DEVICE]))

    assert list(snapshot) == [FILE, DENIED, DEVICE]
    assert snapshot.problems == [DENIED, DEVICE]
    assert not snapshot.complete


def test_a_snapshot_without_hidden_places_is_complete() -> None:
    snapshot = Snapshot("here", [FILE, DEVICE])

    assert list(snapshot.entries) == [FILE]
    assert snapshot.complete


def test_a_kept_snapshot_can_be_read_again_and_counts_its_problems_once() -> None:
    kept = Snapshot("here", iter([FILE, DENIED])).materialize()

    assert not kept.complete
    assert list(kept) == list(kept) == [FILE, DENIED]
    assert not kept.complete
    assert kept.problems == [DENIED]


@pytest.mark.parametrize("value", [FULL, FILE, DENIED, Base("a", Kind.FILE, Stamp(), Stamp())])
def test_values_are_frozen_and_slotted(value: Stamp) -> None:
    with pytest.raises(FrozenInstanceError):
        value.size = 4  # type: ignore[misc]
    assert not hasattr(value, "__dict__")
