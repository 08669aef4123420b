"""Are two sides equal? Equal, different and unverified are three answers."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import pytest

from syncengine.core.check import CheckResult, Finding, checked
from syncengine.core.comparator import Change, Comparison, Equality, SideChange
from syncengine.core.entry import Entry, Kind, Problem, ProblemKind, Stamp
from syncengine.core.merge import Region, Views

EQUAL, DIFFERENT, UNKNOWN = Equality.EQUAL, Equality.DIFFERENT, Equality.UNKNOWN
DENIED = Problem(ProblemKind.DENIED, "u", "u cannot be listed")
DEVICE = Problem(ProblemKind.UNSUPPORTED, "dev", "dev is a device")


def change(
    path: str,
    source: Optional[Kind] = Kind.FILE,
    destination: Optional[Kind] = Kind.FILE,
    equality: Equality = UNKNOWN,
) -> Change:
    entries = [None if kind is None else Entry(path, kind, Stamp(size=1)) for kind in (source, destination)]
    return Change(path, None, *entries, Comparison(SideChange.CREATED, SideChange.CREATED, equality))


@pytest.mark.parametrize(
    ("found", "equal", "finding"),
    [
        (change("f", equality=EQUAL), 1, None),
        (change("f", equality=DIFFERENT), 0, Finding.DIFFERENT),
        (change("f", equality=UNKNOWN), 0, Finding.UNVERIFIED),
        (change("f", Kind.FILE, None), 0, Finding.ONLY_AT_SOURCE),
        (change("f", None, Kind.FILE), 0, Finding.ONLY_AT_DESTINATION),
        (change("f", Kind.SYMLINK, Kind.SYMLINK, EQUAL), 1, None),
        (change("f", Kind.FILE, Kind.SYMLINK, DIFFERENT), 0, Finding.DIFFERENT),
        (change("f", Kind.FILE, Kind.DIRECTORY, EQUAL), 0, Finding.DIFFERENT),
        (change("f", Kind.DIRECTORY, Kind.FILE, EQUAL), 0, Finding.DIFFERENT),
        (change("f", Kind.DIRECTORY, Kind.DIRECTORY, EQUAL), 0, None),
        (change("f", Kind.DIRECTORY, None), 0, None),
        (Views("f", None, None, None, Region("f", excluded=True)), 0, None),
    ],
)
def test_each_path_has_one_answer(found: object, equal: int, finding: Optional[Finding]) -> None:
    result = checked([found], [])

    assert (result.equal, result.findings) == (equal, () if finding is None else (("f", finding),))


@pytest.mark.parametrize(
    ("findings", "problems", "code"),
    [
        ([], [], 0),
        ([Finding.DIFFERENT], [], 10),
        ([Finding.ONLY_AT_SOURCE], [], 10),
        ([Finding.ONLY_AT_DESTINATION], [], 10),
        ([Finding.UNVERIFIED], [], 11),
        ([Finding.UNVERIFIED, Finding.DIFFERENT], [], 10),
        ([], [DENIED], 7),
        ([], [DEVICE], 0),
        ([Finding.UNVERIFIED], [DENIED], 11),
        ([Finding.DIFFERENT], [DENIED], 10),
    ],
)
def test_only_what_was_seen_and_proven_equal_is_equal(
    findings: List[Finding], problems: Sequence[Problem], code: int
) -> None:
    result = CheckResult(3, tuple((str(number), each) for number, each in enumerate(findings)), tuple(problems))

    assert result.exit_code == code
    assert result.ok is bool(result) is (code == 0)


def test_the_text_names_every_path_and_every_number() -> None:
    paths: Tuple[Tuple[str, Finding], ...] = (
        ("a\n", Finding.ONLY_AT_SOURCE),
        ("b", Finding.ONLY_AT_DESTINATION),
        ("c", Finding.DIFFERENT),
        ("d", Finding.UNVERIFIED),
    )
    result = CheckResult(1_000, paths, (DENIED, DEVICE))

    assert str(result).splitlines() == [
        "+ a\\n  only at source",
        "- b  only at destination",
        "* c  different",
        "? d  unverified",
        "? u cannot be listed",
        "? dev is a device",
        "1,000 equal, 1 only at source, 1 only at destination, 1 different, 1 unverified, 2 not compared",
    ]


def test_a_file_with_a_directory_of_its_name_is_a_problem_and_never_equal() -> None:
    result = checked([change("f", equality=EQUAL), Views("clash", None, None, None, collision=True)], [])

    assert (result.equal, result.ok, result.exit_code) == (1, False, 7)
    assert [(problem.kind, problem.path) for problem in result.problems] == [(ProblemKind.COLLISION, "clash")]


def test_what_was_not_compared_is_named_where_its_message_does_not() -> None:
    skipped = Problem(ProblemKind.UNSUPPORTED, "l", "a link was skipped")
    assert str(CheckResult(1, (), (skipped,))).splitlines() == ["? l: a link was skipped", "1 equal, 1 not compared"]


def test_equal_sides_need_one_line() -> None:
    assert str(CheckResult(2, ())) == "2 equal"
