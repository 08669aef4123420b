"""Scopes and links: a scope leads nowhere that a walk from the root would not come to."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest

import syncengine
from syncengine import Guards
from syncengine.core.paths import is_within

from .trees import files, remembered, tree, write


@pytest.fixture
def sides(tmp_path: Path) -> Tuple[Path, Path]:
    source, destination = tmp_path / "source", tmp_path / "destination"
    source.mkdir()
    destination.mkdir()
    return source, destination


def link(folder: Path, name: str, outside: Path) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    os.symlink(outside, folder / name)


@pytest.mark.parametrize("mode", ["source-to-destination", "two-way"])
@pytest.mark.parametrize("symlinks", ["skip", "preserve"])
@pytest.mark.parametrize(
    ("place", "scope"), [("a", "a/b"), ("a", "a/b/secret"), ("a", "a/nothing"), ("x/a", "x/a/b"), ("a", "a/b/c/d")]
)
def test_a_scope_below_a_link_at_the_source_reads_nothing_outside_the_root(
    place: str, scope: str, symlinks: str, mode: str, sides: Tuple[Path, Path], tmp_path: Path
) -> None:
    source, destination = sides
    link(source, place, write(tmp_path / "outside", {"b/secret": "s"}))

    report = syncengine.sync(source, destination, scope=scope, symlinks=symlinks, mode=mode)

    assert [(each.kind.value, each.path) for each in report.plan.problems] == [("unsupported", scope)]
    assert (report.outcomes, tree(destination)) == ((), {})


@pytest.mark.parametrize("mode", ["source-to-destination", "two-way"])
def test_a_scope_below_a_link_at_the_destination_changes_nothing_outside_the_root(
    mode: str, sides: Tuple[Path, Path], tmp_path: Path
) -> None:
    source, destination = sides
    outside = write(tmp_path / "outside", {"b/old": "o"})
    link(destination, "a", outside)
    write(source, {"a/b/new": "n"})

    report = syncengine.sync(source, destination, scope="a/b", mode=mode, guards=Guards.off())

    assert (report.outcomes, files(outside)) == ((), {"b/old": "o"})
    assert [(each.kind.value, each.path) for each in report.plan.problems] == [("unsupported", "a/b")]


def test_a_scope_below_a_link_is_read_where_links_are_followed(sides: Tuple[Path, Path], tmp_path: Path) -> None:
    source, destination = sides
    link(source, "a", write(tmp_path / "outside", {"b/f": "1", "other": "2"}))

    syncengine.sync(source, destination, scope="a/b", symlinks="follow").raise_for_status()

    assert files(destination) == {"a/b/f": "1"}


def test_a_mapped_scope_below_a_link_reads_nothing_outside_the_root(sides: Tuple[Path, Path], tmp_path: Path) -> None:
    source, destination = sides
    link(source, "raw", write(tmp_path / "outside", {"b/secret": "s"}))

    report = syncengine.sync(source, destination, scope="landing/b", path_map={"raw": "landing"})

    assert [(each.kind.value, each.path) for each in report.plan.problems] == [("unsupported", "landing/b")]
    assert tree(destination) == {}


def test_a_scope_that_is_itself_a_link_is_skipped_as_the_walk_skips_it(
    sides: Tuple[Path, Path], tmp_path: Path
) -> None:
    source, destination = sides
    link(source, "a", write(tmp_path / "outside", {"secret": "s"}))

    report = syncengine.sync(source, destination, scope="a")

    assert (report.outcomes, tree(destination)) == ((), {})
    assert [each.kind.value for each in report.plan.problems] == ["unsupported"]


# ------------------------------------------------------------- partial syncs compose

TWO_WAY: Dict[str, Any] = {"mode": "two-way", "renames": False, "guards": Guards.off(), "progress": False}
START = {f"{folder}/{name}": name for folder in ("a", "b", "c") for name in ("kept", "edited", "gone", "both")}
EDITS = (
    {**{f"{folder}/edited": "at the source" for folder in "abc"}, "a/new": "n", "b/sub/new": "n", "top": "t"},
    {**{f"{folder}/both": "at the destination" for folder in "abc"}, "c/other": "o"},
)


def edited(base: Path) -> Tuple[Path, Path]:
    """Return two sides in agreement on a tree, with edits and deletions on both since."""
    source, destination = write(base / "source", START), write(base / "destination", {})
    for number, path in enumerate(sorted(START)):
        os.utime(source / path, (1_700_000_000 + number,) * 2)
    syncengine.sync(source, destination, **TWO_WAY)
    for side, changes, gone in zip((source, destination), EDITS, ("a/gone", "c/gone")):
        write(side, changes)
        (side / gone).unlink()
    return source, destination


def rows(sides: Tuple[Path, Path]) -> Dict[str, bytes]:
    """Return the stored bytes of every row of the state, by position."""
    assert remembered(*sides)[1]
    (database,) = Path(os.environ["SYNCENGINE_STATE"]).rglob("state.sqlite")
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        found = connection.execute("select position, seal, payload from rows").fetchall()
    return {os.fsdecode(position): b"%d " % seal + payload for position, seal, payload in found}


def agreed(sides: Tuple[Path, Path]) -> Dict[str, Tuple[str, bool]]:
    return {row.position: (row.kind.value, row.live) for row in remembered(*sides)[1]}


@pytest.mark.parametrize(
    "scopes",
    [
        [["a"], []],
        [["b/sub"], []],
        [["a", "c"], []],
        [["a"], ["b"], ["c"], ["top"]],
        [["c"], ["top"], ["b"], ["a"]],
        [["top"], ["a/gone"], []],
    ],
)
def test_partial_syncs_one_after_the_other_are_one_full_sync(scopes: List[List[str]], tmp_path: Path) -> None:
    parts, whole = edited(tmp_path / "parts"), edited(tmp_path / "whole")
    for scope in scopes:
        syncengine.sync(*parts, scope=scope, **TWO_WAY).raise_for_status()
    syncengine.sync(*whole, **TWO_WAY).raise_for_status()

    assert tree(parts[0]) == tree(parts[1]) == tree(whole[0]) == tree(whole[1])
    assert agreed(parts) == agreed(whole)
    assert syncengine.plan(*parts, **TWO_WAY).empty


@pytest.mark.parametrize("scope", ["a", "b/sub", "c", "top", "a/gone"])
def test_what_lies_outside_a_scope_keeps_its_rows_byte_for_byte(scope: str, tmp_path: Path) -> None:
    sides = edited(tmp_path)
    before = rows(sides)
    syncengine.sync(*sides, scope=scope, **TWO_WAY).raise_for_status()
    after = rows(sides)

    def outside(found: Dict[str, bytes]) -> Dict[str, bytes]:
        return {position: row for position, row in found.items() if not is_within(position.rstrip("/"), scope)}

    assert outside(after) == outside(before)
    assert after != before
