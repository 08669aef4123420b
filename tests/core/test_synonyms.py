"""A suggestion leads to what was meant, never to what takes a protection away or does the opposite."""

from __future__ import annotations

from typing import Dict, Optional

import pytest
from attrs import fields

from syncengine import SyncEngine
from syncengine.core.guards import Guards
from syncengine.core.modes import ComparisonMode, OnlyIf, Retain, SymlinkPolicy, SyncMode, choice
from syncengine.core.synonyms import DARING, PLAN, WORDS, Meant, meant

ARGUMENTS = [attribute.alias for attribute in fields(SyncEngine) if attribute.init]

MEANT: Dict[str, Optional[str]] = {
    "exclude": "'ignore'",
    "exclud": "'ignore'",
    "--exclude-from": "'ignore'",
    "ingore": "'ignore'",
    "includ": "'include'",
    "delete": "mode='source-to-destination'",
    "dry_run": "syncengine.plan, which says what a sync would do",
    "max_delete": "guards={'max_delete': ...}",
    "max_delet": "guards={'max_delete': ...}",
    "allow_mass": None,
    "mass_delete": "guards={'max_delete': ...}",
    "allow_mass_deletes": "'allow_mass_delete'",
    "no_clobber": "only_if='missing'",
    "transfers": "'workers'",
    "zzz": None,
}


@pytest.mark.parametrize("name", MEANT)
def test_what_was_probably_meant(name: str) -> None:
    found = meant(name, ARGUMENTS)
    assert (None if found is None else found.as_argument) == MEANT[name]


CHOICES = {"mode": SyncMode, "compare": ComparisonMode, "only_if": OnlyIf, "symlinks": SymlinkPolicy, "retain": Retain}


@pytest.mark.parametrize("word", WORDS)
def test_every_word_of_another_tool_names_something_that_is_there(word: str) -> None:
    ours = WORDS[word]
    guard = ours.name.partition("guards.")[2]
    known = [attribute.name for attribute in fields(Guards)] if guard else [*ARGUMENTS, PLAN]
    assert (guard or ours.name) in known
    assert ours.value is None or choice(CHOICES[ours.name], ours.value, ours.name)
    assert ours.name not in DARING
    assert word not in ARGUMENTS


def test_a_command_is_named_and_not_asked_about() -> None:
    hints = [Meant(name).hint("it") for name in (PLAN, "ignore")]
    assert hints == ["use it", "did you mean it?"]


SPELLINGS = [
    (Meant("ignore"), "'ignore'", "--ignore", "'ignore'"),
    (Meant("guards.max_delete"), "guards={'max_delete': ...}", "--max-delete", "'guards.max_delete'"),
    (
        Meant("mode", "source-to-destination"),
        "mode='source-to-destination'",
        "--mode source-to-destination",
        'mode = "source-to-destination"',
    ),
]


@pytest.mark.parametrize(("ours", "argument", "option", "key"), SPELLINGS, ids=[each[0].name for each in SPELLINGS])
def test_a_suggestion_is_spelled_as_where_it_is_needed(ours: Meant, argument: str, option: str, key: str) -> None:
    assert (ours.as_argument, ours.as_option, ours.as_key) == (argument, option, key)
