"""A one-to-one mapping of paths between the sides."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncengine.core.path_map import PathMap
from syncengine.errors import RecipeError

PAIRS = {"raw": "landing/raw", "raw/special": "elsewhere", "one.txt": "two.txt"}


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("raw", "landing/raw"),
        ("raw/a/b.csv", "landing/raw/a/b.csv"),
        ("raw/special", "elsewhere"),
        ("raw/special/a", "elsewhere/a"),
        ("raw/specially", "landing/raw/specially"),
        ("rawness/a", "rawness/a"),
        ("one.txt", "two.txt"),
        ("other", "other"),
    ],
)
def test_the_longest_prefix_counts_in_both_directions(here: str, there: str) -> None:
    path_map = PathMap.of(PAIRS)

    assert path_map.forward(here) == there
    assert path_map.backward(there) == here


def test_no_mapping_changes_nothing() -> None:
    nothing = PathMap.of(None)

    assert not nothing
    assert (nothing.forward("a/b"), nothing.backward("a/b")) == ("a/b", "a/b")


def test_a_mapping_is_taken_in_any_form() -> None:
    wanted = PathMap.of(PAIRS)

    assert PathMap.of(wanted) is wanted
    assert PathMap.of(list(PAIRS.items())) == wanted
    assert bool(wanted)


def test_a_function_maps_forward_only() -> None:
    path_map = PathMap.of(str.upper)

    assert path_map
    assert path_map.forward("a/b") == "A/B"
    assert path_map.backward("A/B") is None
    assert "upper" in path_map.pairs[0][1]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"a": "x", "b": "x"}, "not one-to-one"),
        ({"a": "../x"}, "has a '..' part"),
        ({"/a": "x"}, "is absolute"),
        ({"": "x"}, "is empty"),
        ({"a": "x/"}, "has an empty part"),
    ],
)
def test_what_is_no_mapping_of_keys_is_refused(mapping: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        PathMap.of(mapping)


@given(st.lists(st.sampled_from(["raw", "a", "special", "x.csv"]), min_size=1, max_size=4).map("/".join))
def test_a_mapped_path_finds_its_way_back(path: str) -> None:
    path_map = PathMap.of(PAIRS)

    assert path_map.backward(path_map.forward(path)) == path
