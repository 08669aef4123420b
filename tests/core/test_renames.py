"""When a disappearance and an appearance are one rename: every precondition, and what its absence means."""

from __future__ import annotations

from typing import List, Optional, Tuple

import pytest
from attrs import evolve

from syncengine.core.comparator import Change, Comparison, Equality, Question, SideChange
from syncengine.core.entry import Base, Entry, Kind, Side, Stamp
from syncengine.core.renames import Ground, Rename, ground_of, is_same_content, renames, unfinished

SHA = "sha256:"


def stamp(content: str) -> Stamp:
    return Stamp(size=len(content), digests=(SHA + content,))


def entry(path: str, content: str) -> Entry:
    return Entry(path, Kind.FILE, stamp(content))


def gone(path: str, content: str, *, live: bool = True, across: Optional[str] = None, there: bool = True) -> Change:
    """Return a file that the source lost; *across* is what the destination made of it, *there* that it has it."""
    plain = Stamp(size=len(content))
    base = Base(path, Kind.FILE, plain, plain, live=live, digest=SHA + content)
    standing = entry(path, content if across is None else across) if there else None
    since = SideChange.SAME if across is None else SideChange.MODIFIED
    return Change(path, base, None, standing, Comparison(SideChange.REMOVED, since if there else SideChange.REMOVED))


def new(path: str, content: str, *, across: Optional[str] = None) -> Change:
    """Return a file that the source made; *across* is what the destination made at that name."""
    there = None if across is None else entry(path, across)
    since = SideChange.ABSENT if across is None else SideChange.CREATED
    equality = Equality.UNKNOWN if across is None else Equality.DIFFERENT
    return Change(path, None, entry(path, content), there, Comparison(SideChange.CREATED, since, equality))


def at_destination(path: str, content: str) -> Change:
    comparison = Comparison(SideChange.ABSENT, SideChange.CREATED)
    return Change(path, None, None, entry(path, content), comparison)


CASES = [
    ("the same content under a new name", [gone("a", "one"), new("b", "one")], [("a", "b")]),
    ("other content", [gone("a", "one"), new("b", "two")], []),
    ("absence proves nothing of a dormant base", [gone("a", "one", live=False), new("b", "one")], []),
    ("every empty file looks like every other", [gone("a", ""), new("b", "")], []),
    ("two that vanished", [gone("a", "one"), gone("c", "one"), new("b", "one")], []),
    ("two that appeared", [gone("a", "one"), new("b", "one"), new("c", "one")], []),
    ("two pairs", [gone("a", "one"), gone("c", "two"), new("b", "one"), new("d", "two")], [("a", "b"), ("c", "d")]),
    ("the other side has lost it too", [gone("a", "one", there=False), new("b", "one")], []),
    ("the new name is taken there", [gone("a", "one"), new("b", "one", across="two")], []),
    ("a file there stands above the new name", [gone("a", "one"), at_destination("b", "two"), new("b/c", "one")], []),
    ("the other side edited it: the edit follows", [gone("a", "one", across="edit"), new("b", "one")], [("a", "b")]),
]


@pytest.mark.parametrize(("changes", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_pair_is_a_rename_only_where_nothing_else_could_be_meant(
    changes: List[Change], expected: List[Tuple[str, str]]
) -> None:
    found = renames(changes, Side.SOURCE, digest_of=lambda _: None, follow_edits=True)

    assert sorted((rename.old, rename.new) for rename in found) == expected


def timed(path: str, size: int, moment: int, *, there: bool = False) -> Change:
    """Return a file that came, or with *there* went, of which only size and time are known."""
    known = Stamp(size=size, mtime_ns=moment)
    if not there:
        return Change(
            path, None, Entry(path, Kind.FILE, known), None, Comparison(SideChange.CREATED, SideChange.ABSENT)
        )
    base, standing = Base(path, Kind.FILE, known, Stamp(size=size)), Entry(path, Kind.FILE, Stamp(size=size))
    return Change(path, base, None, standing, Comparison(SideChange.REMOVED, SideChange.SAME))


BY_TIME = [
    ("a size and a time", [timed("a", 3, 7, there=True), timed("b", 3, 7)], [("a", "b")]),
    ("another time", [timed("a", 3, 7, there=True), timed("b", 3, 8)], []),
    ("another size", [timed("a", 3, 7, there=True), timed("b", 4, 7)], []),
    ("nothing in them", [timed("a", 0, 7, there=True), timed("b", 0, 7)], []),
    ("several of one time", [timed(n, 3, 7, there=n in "ac") for n in "abcd"], []),
    ("one time, sizes of their own", [timed("a", 3, 7, there=True), timed("b", 3, 7), timed("c", 4, 7)], [("a", "b")]),
    (
        "another of that time came where the other side has one too",
        [timed("a", 3, 7, there=True), timed("b", 3, 7), evolve(timed("c", 3, 7), destination=entry("c", "one"))],
        [],
    ),
    (
        "another of that time went from both sides",
        [timed("a", 3, 7, there=True), timed("b", 3, 7), evolve(timed("c", 3, 7, there=True), destination=None)],
        [],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), [case[1:] for case in BY_TIME], ids=[case[0] for case in BY_TIME])
def test_size_and_time_make_a_pair_only_where_nothing_else_that_came_or_went_has_them(
    changes: List[Change], expected: List[Tuple[str, str]]
) -> None:
    def pairs(*, by_time: bool) -> List[Tuple[str, str]]:
        found = renames(changes, Side.SOURCE, digest_of=lambda _: None, follow_edits=True, by_time=by_time)
        return sorted((rename.old, rename.new) for rename in found)

    assert pairs(by_time=True) == expected
    assert pairs(by_time=False) == []


YOUNG = (Side.SOURCE,)
GROUNDS = [
    ("content that can be had proves it", (), tuple(Side), "aa", "aa", Ground.CONTENT),
    ("content that can be had refutes it", (), tuple(Side), "aa", "bb", None),
    ("what cannot be read is no proof", (), tuple(Side), "aa", None, None),
    ("a stamp has to do where content would travel", (), (), "aa", "bb", Ground.STAMP),
    ("one side alone is not read", (), (Side.DESTINATION,), "aa", "bb", Ground.STAMP),
    ("a time that is too young is not trusted: read and equal", YOUNG, (), "aa", "aa", Ground.CONTENT),
    ("a time that is too young is not trusted: read and different", YOUNG, (), "aa", "bb", None),
]


@pytest.mark.parametrize(
    ("racy", "reads", "there", "here", "ground"), [each[1:] for each in GROUNDS], ids=[e[0] for e in GROUNDS]
)
def test_a_rename_rests_on_content_or_on_a_stamp_that_can_be_trusted(
    racy: Tuple[Side, ...], reads: Tuple[Side, ...], there: str, here: Optional[str], ground: Optional[Ground]
) -> None:
    went = timed("a", 3, 7, there=True)
    assert went.base is not None
    changes = [evolve(went, base=evolve(went.base, racy=racy)), timed("b", 3, 7)]
    (rename,) = renames(changes, Side.SOURCE, digest_of=lambda _: None, follow_edits=True, by_time=True)

    def digest_of(question: Question) -> Optional[str]:
        told = here if question.side is Side.SOURCE else there
        return None if told is None else SHA + told

    assert ground_of(rename, digest_of, reads) is ground


def test_where_one_side_leads_no_rename_follows_an_edit_of_the_copy() -> None:
    changes = [gone("a", "one", across="edit"), new("b", "one")]

    assert list(renames(changes, Side.SOURCE, digest_of=lambda _: None, follow_edits=False)) == []


@pytest.mark.parametrize(("arrived", "expected"), [("edit", [("a", "b")]), ("tide", []), ("longer", [])])
def test_a_hint_of_a_killed_run_counts_only_where_the_content_proves_it(
    arrived: str, expected: List[Tuple[str, str]]
) -> None:
    def digest_of(question: Question) -> Optional[str]:
        return question.entry.stamp.digest("sha256")

    changes = [gone("a", "one", across="edit"), new("b", arrived)]
    found = unfinished(changes, [("a", "b", Side.SOURCE)], digest_of=digest_of)

    assert [(rename.old, rename.new) for rename in found] == expected


MD5 = "5d41402abc4b2a76b9719d911017c592"
TOLD = [
    ("the same digest", "md5:" + MD5, "md5:" + MD5, True),
    ("an ETag that is the MD5 of the content", "etag:" + MD5, "md5:" + MD5, True),
    ("another digest", "md5:" + MD5, "md5:00", False),
    ("32 bits are too few", "crc32c:77", "crc32c:77", False),
    ("nothing in common", "sha1:aa", "md5:" + MD5, False),
    ("nothing at all", None, None, False),
]


@pytest.mark.parametrize(("standing", "arrived", "expected"), [case[1:] for case in TOLD], ids=[c[0] for c in TOLD])
def test_an_unproved_pair_is_a_rename_only_where_both_sides_tell_the_same_content(
    standing: Optional[str], arrived: Optional[str], expected: bool
) -> None:
    plain = Stamp(size=5)
    old, new = (
        Entry("b", Kind.FILE, Stamp(size=5, digests=() if told is None else (told,))) for told in (standing, arrived)
    )
    base = Base("a", Kind.FILE, plain, plain)
    change = Change("b", base, new, old, Comparison(SideChange.SAME, SideChange.SAME, Equality.UNKNOWN))

    assert is_same_content(Rename("a", "b", Side.SOURCE, change, base), lambda _: None, Side) is expected
