"""Keys: what may be one, how they are ordered, and how they are shown."""

from __future__ import annotations

from typing import List, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncengine.core.paths import (
    decoded,
    encoded,
    fold,
    is_reserved,
    is_within,
    parent,
    parents,
    precedes,
    refusal,
    shown,
)

names = st.text(st.sampled_from("ab.-!0/é\ue000\U0001f600\udc80"), max_size=6)


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "a/b.txt",
        "a..b",
        "..a",
        "a/..b",
        "...",
        ".hidden",
        "a/.hidden",
        "a b",
        "a\nb",
        "a\\b",
        "ab:c",
        "é/ü",
        "\U0001f600",
        "undecodable-\udcff",
        "~",
        "%2e%2e",
    ],
)
def test_an_ordinary_key_is_accepted(path: str) -> None:
    assert refusal(path) is None


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "is empty"),
        ("/", "is absolute"),
        ("/etc/passwd", "is absolute"),
        ("//server/share", "is absolute"),
        ("..", "has a '..' part"),
        ("../a", "has a '..' part"),
        ("a/../b", "has a '..' part"),
        ("a/..", "has a '..' part"),
        (".", "has a '.' part"),
        ("./a", "has a '.' part"),
        ("a/./b", "has a '.' part"),
        ("a//b", "has an empty part"),
        ("a/", "has an empty part"),
        ("é//b", "has an empty part"),
        ("a\0b", "holds a NUL character"),
        ("é\0", "holds a NUL character"),
        ("c:/windows", "starts with a drive letter"),
        ("C:relative", "starts with a drive letter"),
        ("lone-\ud800-surrogate", "cannot be encoded"),
    ],
)
def test_a_name_that_could_leave_the_root_is_refused(path: str, reason: str) -> None:
    assert refusal(path) == reason


@given(st.text(st.sampled_from("a./:\0é"), max_size=7))
def test_what_is_accepted_stays_below_the_root(path: str) -> None:
    if refusal(path) is None:
        parts = path.split("/")

        assert "\0" not in path
        assert not path.startswith("a:")
        assert not {"", ".", ".."} & set(parts)


@given(names, names)
def test_order_is_the_order_of_the_encoded_bytes(first: str, second: str) -> None:
    assert precedes(first, second) is (encoded(first) < encoded(second))


@given(names)
def test_a_key_survives_its_bytes(path: str) -> None:
    assert decoded(encoded(path)) == path


@given(st.binary(max_size=8))
def test_any_bytes_survive_as_a_key(path: bytes) -> None:
    assert encoded(decoded(path)) == path


def test_code_points_and_bytes_disagree_about_the_order_of_undecodable_names() -> None:
    undecodable, astral = "\udc80", "\U0001f600"

    assert precedes(undecodable, astral)
    assert precedes("\ue000", astral)
    assert precedes(undecodable, "é")  # as text it would come last


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".syncengine-tmp-1", True),
        (".syncengine-trash", True),
        (".syncengine-trash/run/a", True),
        ("a/.syncengine-tmp-1", True),
        (".syncengine-", True),
        (".syncengine", False),
        ("a.syncengine-tmp", False),
        (".syncignore", False),
    ],
)
def test_own_names_are_recognised_at_every_level(path: str, expected: bool) -> None:
    assert is_reserved(path) is expected


@pytest.mark.parametrize(("path", "above"), [("a", []), ("a/b", ["a"]), ("a/b/c", ["a", "a/b"]), ("", [])])
def test_parents_come_outermost_first(path: str, above: List[str]) -> None:
    assert list(parents(path)) == above
    assert parent(path) == (above[-1] if above else "")


@pytest.mark.parametrize(
    ("path", "prefix", "expected"),
    [
        ("a", "", True),
        ("a", "a", True),
        ("a/b", "a", True),
        ("ab", "a", False),
        ("a", "a/b", False),
        ("a.b/c", "a", False),
    ],
)
def test_a_prefix_holds_whole_parts_only(path: str, prefix: str, expected: bool) -> None:
    assert is_within(path, prefix) is expected


@pytest.mark.parametrize(
    ("form", "case", "expected"),
    [
        (None, False, "É"),
        ("NFD", False, "E\u0301"),
        ("NFC", False, "É"),
        (None, True, "é"),
        ("NFD", True, "e\u0301"),
    ],
)
def test_folding_gives_one_name_to_what_a_side_takes_for_one(form: Optional[str], case: bool, expected: str) -> None:
    assert fold("É", form, case=case) == expected


def test_folding_leaves_undecodable_bytes_alone() -> None:
    assert fold("A\udcff", "NFC", case=True) == "a\udcff"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("plain é.txt", "plain é.txt"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\udcff", "\\udcff"),
        ("right\u202eleft", "right\\u202eleft"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
    ],
)
def test_nothing_in_a_name_can_break_a_view(path: str, expected: str) -> None:
    assert shown(path) == expected


@given(st.text(max_size=20))
def test_what_is_shown_is_one_printable_line(path: str) -> None:
    assert shown(path).isprintable()
