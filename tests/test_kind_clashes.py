"""A file on one side and a directory of the same name on the other, played through on real disks."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Tuple

import pytest

import syncengine
from syncengine import ConflictPolicy, Plan, RecipeError
from tests.trees import LocalWithHook, aged, files, trash, tree, write

TWO_WAY: Dict[str, Any] = {"mode": "two-way", "progress": False}
Sides = Tuple[Path, Path]


@pytest.fixture
def clash(tmp_path: Path) -> Sides:
    """Return two sides that have never met: a file ``p`` here, a directory ``p`` there."""
    source = write(tmp_path / "source", {"p": "i am a file", "k": "1"})
    destination = write(tmp_path / "destination", {"p/x": "X", "p/sub/y": "Y", "p/empty": None})
    aged(source, destination)
    return source, destination


def renamed(sides: Sides) -> str:
    """Return the name of the one conflict copy, once it is known to be the same on both sides."""
    (copy,) = {path for side in sides for path in files(side) if ".conflict-" in path}
    return copy


def settled(source: Path, destination: Path) -> bool:
    return syncengine.plan(source, destination, **TWO_WAY).empty


@pytest.mark.parametrize("policy", ["newest", "source", "destination", "keep-both"])
@pytest.mark.parametrize("swapped", [False, True])
def test_the_directory_keeps_the_name_and_the_file_becomes_a_copy(clash: Sides, policy: str, swapped: bool) -> None:
    pair = (clash[1], clash[0]) if swapped else clash
    report = syncengine.sync(*pair, conflict=policy, **TWO_WAY)

    expected = {renamed(clash): "i am a file", "k": "1", "p/x": "X", "p/sub/y": "Y"}
    assert report.ok
    assert files(clash[0]) == files(clash[1]) == expected
    assert tree(clash[0]) == tree(clash[1])
    assert [(each.path, each.decided_by) for each in report.plan.conflicts] == [("p", f"rule:{policy}")]
    assert settled(*pair)


def test_an_unanswered_clash_touches_nothing_and_is_said_every_time(clash: Sides) -> None:
    before = [tree(side) for side in clash]
    for _ in range(2):
        report = syncengine.sync(*clash, conflict="manual", **TWO_WAY)

        assert [conflict.path for conflict in report.plan.unresolved] == ["p"]
        assert report.exit_code == 4
    assert tree(clash[0]) == before[0]
    assert tree(clash[1]) == {**before[1], "k": "1"}


RESOLUTIONS: Mapping[str, Tuple[Dict[str, str], Tuple[Dict[str, str], Dict[str, str]]]] = {
    "source": ({"p": "i am a file"}, ({}, {"p/x": "X", "p/sub/y": "Y"})),
    "destination": ({"p/x": "X", "p/sub/y": "Y"}, ({"p": "i am a file"}, {})),
    "keep-both": ({"copy": "i am a file", "p/x": "X", "p/sub/y": "Y"}, ({}, {})),
}


@pytest.mark.parametrize("to", list(RESOLUTIONS))
@pytest.mark.parametrize("saved", [False, True])
def test_a_reviewer_decides_a_clash(clash: Sides, to: str, saved: bool) -> None:
    plan = syncengine.plan(*clash, conflict="manual", **TWO_WAY).resolve("p", to=to)
    report = syncengine.apply(Plan.from_json(plan.to_json()) if saved else plan)

    expected, kept = RESOLUTIONS[to]
    names = {"copy": renamed(clash)} if to == "keep-both" else {}
    assert report.ok, report
    assert (
        files(clash[0])
        == files(clash[1])
        == {**{names.get(path, path): text for path, text in expected.items()}, "k": "1"}
    )
    assert (trash(clash[0]), trash(clash[1])) == kept
    assert settled(*clash)


def test_a_decided_clash_does_not_touch_what_changed_since(clash: Sides) -> None:
    plan = syncengine.plan(*clash, conflict="manual", **TWO_WAY).resolve("p", to="source")
    write(clash[1], {"p/x": "edited since"})
    report = syncengine.apply(plan, on_stale="skip")

    assert not report.ok
    assert files(clash[1])["p/x"] == "edited since"
    assert files(clash[0])["p"] == "i am a file"


@pytest.mark.parametrize("number", range(1, 9))
def test_a_run_that_is_killed_at_any_step_ends_where_it_would_have_ended(clash: Sides, number: int) -> None:
    source, destination = clash
    calls = 0

    class Killed(BaseException):
        pass

    def before(_: str, __: str) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            raise Killed

    with suppress(Killed):
        syncengine.sync(LocalWithHook(source, before), LocalWithHook(destination, before), **TWO_WAY)
    for _ in range(2):
        syncengine.sync(source, destination, **TWO_WAY)

    expected = {renamed(clash): "i am a file", "k": "1", "p/x": "X", "p/sub/y": "Y"}
    assert files(source) == files(destination) == expected
    assert tree(source) == tree(destination)
    assert settled(source, destination)


MIRRORS: Mapping[str, Callable[[Path, Path], Sides]] = {
    "source-to-destination": lambda leading, following: (leading, following),
    "destination-to-source": lambda leading, following: (following, leading),
}


@pytest.mark.parametrize("mode", list(MIRRORS))
@pytest.mark.parametrize("leading", [0, 1])
def test_in_a_mirror_the_authority_wins_and_every_file_is_kept(clash: Sides, mode: str, leading: int) -> None:
    leader, follower = clash[leading], clash[1 - leading]
    before = files(follower)
    wanted = tree(leader)
    report = syncengine.sync(*MIRRORS[mode](leader, follower), mode=mode, progress=False)

    assert report.ok
    assert tree(follower) == tree(leader) == wanted
    assert trash(follower) == before


@pytest.mark.parametrize("mode", ["source-backup", "destination-backup"])
def test_a_backup_never_replaces_one_kind_by_another(clash: Sides, mode: str) -> None:
    before = [{path: text for path, text in tree(side).items() if path != "k"} for side in clash]
    plan = syncengine.plan(*clash, mode=mode)
    report = syncengine.apply(plan)

    assert [conflict.path for conflict in report.plan.unresolved] == ["p"]
    assert [{path: text for path, text in tree(side).items() if path != "k"} for side in clash] == before
    with pytest.raises(RecipeError, match="cannot be resolved by editing a plan"):
        plan.resolve("p", to="source")


@pytest.mark.parametrize(
    ("agreed", "now"),
    [({"p/x": "X", "p/sub/y": "Y"}, {"p": "a file now"}), ({"p": "a file"}, {"p/x": "a folder now"})],
    ids=["a folder became a file", "a file became a folder"],
)
def test_two_way_keeps_what_a_backup_kept_of_another_kind(
    tmp_path: Path, agreed: Dict[str, Any], now: Dict[str, Any]
) -> None:
    source, destination = write(tmp_path / "source", {**agreed, "k": "1"}), tmp_path / "destination"
    aged(source)
    syncengine.sync(source, destination, mode="source-backup", progress=False)
    shutil.rmtree(source)
    write(source, {**now, "k": "1"})
    syncengine.sync(source, destination, mode="source-backup", progress=False)
    assert files(destination) == {**agreed, "k": "1"}

    syncengine.sync(source, destination, **TWO_WAY)

    assert files(source) == files(destination)
    assert sorted(files(destination).values()) == sorted([*agreed.values(), *now.values(), "1"])
    assert settled(source, destination)


def test_what_was_agreed_and_removed_goes_while_what_is_new_keeps_the_directory(tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"p/x": "X", "p/sub/y": "Y", "k": "1"})
    destination = write(tmp_path / "destination", {})
    aged(source)
    syncengine.sync(source, destination, **TWO_WAY)
    for name in ("p/x", "p/sub/y"):
        (source / name).unlink()
    (source / "p/sub").rmdir()
    (source / "p").rmdir()
    write(source, {"p": "a file now"})
    write(destination, {"p/new": "n"})
    syncengine.sync(source, destination, conflict=ConflictPolicy.SOURCE, **TWO_WAY)

    assert files(source) == files(destination) == {renamed((source, destination)): "a file now", "k": "1", "p/new": "n"}
    assert tree(source) == tree(destination)
    assert settled(source, destination)
