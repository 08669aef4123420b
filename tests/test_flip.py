"""An operation of a two-way plan can be turned round; what the inverse destroys is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import pytest

import syncengine
from syncengine import Action, Plan, RecipeError, Side
from tests.trees import files, write


@pytest.fixture
def world(tmp_path: Path) -> Dict[str, Any]:
    """Two sides in step, then at the source one file edited, one added, one deleted."""
    write(tmp_path / "source", {"edited": "old", "deleted": "here", "same": "same"})
    arguments = {"mode": "two-way", "progress": False, "guards": syncengine.Guards.off()}
    syncengine.sync(tmp_path / "source", tmp_path / "destination", **{**arguments, "mode": "std"})
    write(tmp_path / "source", {"edited": "newer", "added": "fresh"})
    (tmp_path / "source" / "deleted").unlink()
    return {"source": tmp_path / "source", "destination": tmp_path / "destination", "arguments": arguments}


def plan_of(world: Dict[str, Any]) -> Plan:
    return syncengine.plan(world["source"], world["destination"], **world["arguments"])


def test_a_flipped_plan_restores_what_the_other_side_has(world: Dict[str, Any]) -> None:
    plan = plan_of(world)
    flipped = plan.flip("*")

    assert {(each.path, each.action, each.target) for each in flipped} == {
        ("edited", Action.UPDATE, Side.SOURCE),
        ("added", Action.DELETE, Side.SOURCE),
        ("deleted", Action.CREATE, Side.SOURCE),
    }
    assert {each.path for each in flipped if each.retain} == {"edited", "added"}
    assert flipped.parent_digest == plan.digest

    report = syncengine.apply(Plan.from_json(flipped.to_json()))

    assert report.ok
    agreed = {"edited": "old", "deleted": "here", "same": "same"}
    assert files(world["source"]) == files(world["destination"]) == agreed
    kept = [(world["source"] / each.retained_at).read_text() for each in report.outcomes if each.retained_at]
    assert sorted(kept) == ["fresh", "newer"]
    assert plan_of(world).empty


def test_flipping_twice_gives_the_same_operations(world: Dict[str, Any]) -> None:
    plan = plan_of(world)
    twice = plan.flip("edited").flip("edited")

    assert [(each.path, each.action, each.target) for each in twice] == [
        (each.path, each.action, each.target) for each in plan
    ]


def test_a_one_way_plan_cannot_be_flipped(world: Dict[str, Any]) -> None:
    plan = syncengine.plan(world["source"], world["destination"], mode="std", progress=False)

    with pytest.raises(RecipeError, match="two-way"):
        plan.flip("*")


def test_a_move_has_no_inverse(world: Dict[str, Any]) -> None:
    (world["source"] / "same").rename(world["source"] / "renamed")

    with pytest.raises(RecipeError, match="renamed cannot be flipped: a move has no inverse"):
        plan_of(world).flip("renamed")
