"""Which versions are kept: tables of days, one letter of the result for each."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Sequence

import pytest

from syncengine.core.pruning import Candidate, Keep, prunable
from syncengine.errors import RecipeError

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)  # a Sunday


def versions(*days: float, of: str = "f") -> List[Candidate]:
    """Return versions of one path that were replaced so many days ago."""
    return [Candidate((of,), NOW - timedelta(days=day), f"{of}@{day:g}") for day in days]


def kept(candidates: Sequence[Candidate], **rules: int) -> List[str]:
    gone = {each.place for each in prunable(candidates, Keep(**rules), now=NOW)}
    return [each.place.partition("@")[2] for each in candidates if each.place not in gone]


CASES: Dict[str, Any] = {
    "the last two": ((0, 1, 2, 3), {"keep_last": 2}, "0 1"),
    "more than there are": ((0, 1), {"keep_last": 9}, "0 1"),
    "those of the last two days, to the moment": ((0, 1, 2, 2.01), {"keep_days": 2}, "0 1 2"),
    "an age alone may keep nothing": ((10, 20), {"keep_days": 2}, ""),
    "of each day the newest": ((0, 0.1, 0.2, 1, 1.1, 2, 2.1), {"keep_daily": 2}, "0 1"),
    "days without a version do not count": ((0, 5, 9, 12), {"keep_daily": 3}, "0 5 9"),
    "where there are fewer days, the oldest stays": ((0, 0.1, 1, 1.1, 1.2), {"keep_daily": 5}, "0 1 1.2"),
    "weeks begin on Monday": ((0, 6, 7, 13, 14), {"keep_weekly": 2}, "0 7"),
    "months are those of the calendar": ((0, 21, 22, 52, 53), {"keep_monthly": 2}, "0 22"),
    "each rule for itself, and one is enough": ((0, 1, 2, 8, 40), {"keep_last": 1, "keep_daily": 2}, "0 1"),
    "grandfather, father and son": (
        (0, 0.1, 1, 2, 8, 9, 15, 16, 40, 70, 100),
        {"keep_daily": 2, "keep_weekly": 3, "keep_monthly": 4},
        "0 1 8 15 40 70 100",
    ),
    "a year has its own weeks": ((325, 326, 327), {"keep_weekly": 1}, "325"),
}


@pytest.mark.parametrize(("days", "rules", "wanted"), CASES.values(), ids=CASES)
def test_versions_that_a_rule_marks_are_kept(days: Sequence[float], rules: Dict[str, int], wanted: str) -> None:
    assert " ".join(kept(versions(*days), **rules)) == wanted


def test_the_order_of_what_is_given_does_not_matter() -> None:
    found = versions(3, 0, 2, 1)
    assert {each.place for each in prunable(found, Keep(keep_last=2), now=NOW)} == {"f@3", "f@2"}


def test_each_path_is_judged_by_itself() -> None:
    found = [*versions(0, 1), *versions(5, 6, of="g")]
    assert {each.place for each in prunable(found, Keep(keep_last=1), now=NOW)} == {"f@1", "g@6"}


def test_of_two_versions_of_one_run_the_second_is_the_newer() -> None:
    first, second = (Candidate(("f",), NOW, f"copy {copy}", copy) for copy in (1, 2))
    assert prunable([second, first], Keep(keep_last=1), now=NOW) == [first]


def test_the_newest_version_of_an_open_conflict_stays_whatever_its_age() -> None:
    found = [*versions(10, 20), *versions(10, 20, of="g")]
    gone = prunable(found, Keep(keep_days=2), now=NOW, unresolved=[("f",)])
    assert [each.place for each in gone] == ["f@20", "g@10", "g@20"]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({}, "say what is to be kept"),
        ({"keep_last": 0}, "keep_last is a whole number of at least 1"),
        ({"keep_daily": True}, "keep_daily is a whole number"),
        ({"keep_yearly": 1}, "unknown rule 'keep_yearly'"),
    ],
)
def test_rules_that_say_nothing_or_nonsense_are_refused(rules: Dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        Keep.of(rules)
