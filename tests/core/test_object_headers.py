"""Rules for what objects carry besides content, as a decision."""

from __future__ import annotations

from typing import Any, Dict

import pytest

from syncengine.core.object_headers import ObjectHeaders
from syncengine.errors import RecipeError

GIVEN: Dict[str, Any] = {
    "*": {"cache_control": "no-cache", "metadata": {"team": "web"}},
    "assets/": {"cache_control": "max-age=31536000"},
    "*.csv": {"content_type": "text/csv; charset=utf-8", "storage_class": "STANDARD_IA"},
    "assets/*.csv": {"metadata.team": "data"},
}


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("index.html", {"cache_control": "no-cache", "metadata.team": "web"}),
        ("assets/a/main.css", {"cache_control": "max-age=31536000", "metadata.team": "web"}),
        (
            "assets/table.csv",
            {
                "cache_control": "max-age=31536000",
                "content_type": "text/csv; charset=utf-8",
                "storage_class": "STANDARD_IA",
                "metadata.team": "data",
            },
        ),
    ],
)
def test_the_last_rule_that_matches_wins_header_by_header(path: str, wanted: Dict[str, str]) -> None:
    assert ObjectHeaders.of(GIVEN)(path) == wanted
    assert ObjectHeaders.of(ObjectHeaders.of(GIVEN).rules)(path) == wanted


def test_without_rules_nothing_is_said() -> None:
    assert ObjectHeaders.of(None)("any") == {}
    assert not ObjectHeaders.of({})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"*": {"cache-control": "x"}}, "cannot set 'cache-control'"),
        ({"*": {"metadata": {"mtime": "0"}}}, "keeps the time of the content"),
        ({"*": {"metadata.MTIME": "0"}}, "keeps the time of the content"),
        ({"*": {"cache_control": "a\r\nx-injected: b"}}, "texts of one line"),
        ({"*": {"cache_control": 60}}, "texts of one line"),
        ({"*": "no-cache"}, "by their names for each pattern"),
        (5, "a mapping of patterns to headers"),
        ([("*", "cache_control")], "a mapping of patterns to headers"),
    ],
)
def test_what_is_no_rule_is_refused(given: Any, says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        ObjectHeaders.of(given)
