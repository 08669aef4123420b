"""Scopes and links: a scope leads nowhere that a walk from the root would not come to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Tuple

import pytest

import syncengine
from syncengine import Guards

from .trees import files, tree, write


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
