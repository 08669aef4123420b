"""The rules that ``mutation.py`` breaks on purpose are still where it looks for them."""

from __future__ import annotations

import pytest

from .mutation import MUTANTS, PROJECT, Mutant, mutated


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_rule_that_is_broken_on_purpose_stands_where_it_is_looked_for(mutant: Mutant) -> None:
    sound = (PROJECT / mutant.file).read_text(encoding="utf-8")

    assert mutated(mutant, sound) != sound


def test_mutants_have_names_of_their_own() -> None:
    names = [mutant.name for mutant in MUTANTS]

    assert sorted(set(names)) == sorted(names)
