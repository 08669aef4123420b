"""Each prefix of a scope is guarded on its own: what is emptied below one does not hide behind another."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Tuple

import pytest

import syncengine
from syncengine import GuardError
from syncengine.core.guards import BlockerKind
from tests.trees import files, write

MIRROR = "source-to-destination"
TREE = {"a/1": "1", "a/2": "2", "a/3": "3", "b/4": "4", "b/5": "5"}


@pytest.fixture(params=[MIRROR, "two-way"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sides(tmp_path: Path, mode: str) -> Tuple[Path, Path]:
    """A pair that has been synced once."""
    source, destination = write(tmp_path / "source", TREE), write(tmp_path / "destination", {})
    syncengine.sync(source, destination, mode=mode)
    return source, destination


def test_an_emptied_prefix_is_refused_while_another_still_holds_files(sides: Tuple[Path, Path], mode: str) -> None:
    source, destination = sides
    shutil.rmtree(source / "a")

    with pytest.raises(GuardError, match="the source below a is empty but held 3 files") as caught:
        syncengine.sync(source, destination, mode=mode, scope=["a", "b"])

    assert [blocker.kind for blocker in caught.value.blockers] == [BlockerKind.SIDE_EMPTIED]
    assert files(destination) == TREE


def test_an_emptied_prefix_that_was_accepted_is_followed(sides: Tuple[Path, Path], mode: str) -> None:
    source, destination = sides
    shutil.rmtree(source / "a")

    syncengine.sync(source, destination, mode=mode, scope=["a", "b"], allow_emptied=True)

    assert files(destination) == {"b/4": "4", "b/5": "5"}


def test_a_prefix_that_moved_into_another_was_not_emptied(sides: Tuple[Path, Path], mode: str) -> None:
    source, destination = sides
    (source / "a").rename(source / "b" / "a")

    syncengine.sync(source, destination, mode=mode, scope=["a", "b"])

    assert files(destination) == files(source)


def test_a_prefix_of_which_something_is_left_was_not_emptied(sides: Tuple[Path, Path], mode: str) -> None:
    source, destination = sides
    (source / "a" / "1").unlink()

    syncengine.sync(source, destination, mode=mode, scope=["a", "b"])

    assert files(destination) == files(source)


def test_an_emptied_prefix_is_refused_without_a_state_too(tmp_path: Path) -> None:
    source, destination = write(tmp_path / "source", {"b/4": "4"}), write(tmp_path / "destination", TREE)

    plan = syncengine.plan(source, destination, mode=MIRROR, state=None, scope=["a", "b"])

    assert BlockerKind.AUTHORITY_EMPTY in [blocker.kind for blocker in plan.blockers]


def test_files_that_are_the_scope_themselves_may_go(sides: Tuple[Path, Path], mode: str) -> None:
    source, destination = sides
    (source / "a" / "1").unlink()

    syncengine.sync(source, destination, mode=mode, scope=["a/1", "b/4"])

    assert "a/1" not in files(destination)


def test_a_prefix_that_is_nowhere_is_told(sides: Tuple[Path, Path], mode: str) -> None:
    told = [problem.message for problem in syncengine.plan(*sides, mode=mode, scope=["b", "typo"]).problems]

    assert told == ["scope: nothing there: typo is on neither side, and was not at the last sync"]


def test_a_prefix_that_is_gone_since_the_last_sync_is_not_told(sides: Tuple[Path, Path], mode: str) -> None:
    for side in sides:
        shutil.rmtree(side / "a")

    assert syncengine.plan(*sides, mode=mode, scope="a").problems == ()
