"""A path map through whole syncs: what cannot be seen or is hidden, scopes, and names that two paths want."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple, Union

import pytest

import syncengine
from syncengine import Guards
from syncengine.core.entry import Extent, Listed, Problem, ProblemKind
from syncengine.errors import Unavailable
from syncengine.storage.local import LocalStorageClient
from syncengine.storage.protocol import Prune

from .storage.plain_client import PlainClient
from .trees import Content, aged, files, write

PathMap = Union[Mapping[str, str], Callable[[str], str]]
MAP = {"raw": "landing"}
NESTED = {"raw": "landing", "raw/sec/deep": "elsewhere"}


@pytest.fixture
def sides(tmp_path: Path) -> Tuple[Path, Path]:
    source, destination = tmp_path / "source", tmp_path / "destination"
    source.mkdir()
    destination.mkdir()
    return source, destination


def landed(path: str) -> str:
    """Map as MAP does, but as a function, which cannot be turned around."""
    return "landing" + path[3:] if path.startswith("raw/") else path


def options(path_map: PathMap, mode: str = "source-to-destination", **more: Any) -> Dict[str, Any]:
    return {"path_map": path_map, "mode": mode, "guards": Guards.off(), "retain": "none", **more}


def actions(plan: syncengine.Plan) -> List[Tuple[str, str, str]]:
    return sorted((each.action.value, each.target.value, each.path) for each in plan.operations)


def problems(plan: syncengine.Plan) -> List[Tuple[str, str]]:
    return [(each.kind.value, each.path) for each in plan.problems]


class HalfBlind(LocalStorageClient):
    """Cannot see one place: a directory that may not be listed, or all from where the listing breaks off."""

    blind = ""
    breaks_off = False

    def list(self, prefix: str = "", *, prune: Optional[Prune] = None) -> Iterator[Listed]:
        reported = False
        for item in super().list(prefix, prune=prune):
            if not (item.path + "/").startswith(self.blind + "/"):
                yield item
            elif self.breaks_off:
                raise Unavailable("the line is down", path=item.path)
            elif not reported:
                reported = True
                yield Problem(ProblemKind.DENIED, self.blind, "permission denied", extent=Extent.SUBTREE)


# ------------------------------------------------------------------ what cannot be seen


@pytest.mark.parametrize("mode", ["source-to-destination", "two-way"])
@pytest.mark.parametrize("breaks_off", [False, True], ids=["unreadable", "breaks off"])
@pytest.mark.parametrize("path_map", [MAP, NESTED, landed], ids=["a pair", "a pair inside", "a function"])
def test_what_the_source_could_not_show_is_deleted_under_none_of_its_names(
    path_map: PathMap, breaks_off: bool, mode: str, sides: Tuple[Path, Path]
) -> None:
    source, destination = sides
    write(source, {"raw/keep": "k", "raw/sec/f1": "1", "raw/sec/deep/f2": "2"})
    aged(source)
    assert syncengine.sync(source, destination, **options(path_map, mode)).ok
    before = files(destination)
    client = HalfBlind(str(source), identity=source.as_uri())
    client.blind, client.breaks_off = "raw/sec", breaks_off

    report = syncengine.sync(client, destination, **options(path_map, mode))

    assert (report.outcomes, files(destination)) == ((), before)
    assert report.exit_code != 0


def test_beside_what_could_not_be_seen_a_mapped_path_goes_on_being_synced(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"raw/keep": "k", "raw/gone": "g", "raw/sec/f1": "1"})
    client = HalfBlind(str(source), identity=source.as_uri())
    syncengine.sync(client, destination, **options(MAP)).raise_for_status()
    (source / "raw/gone").unlink()
    write(source, {"raw/keep": "changed"})
    client.blind = "raw/sec"

    syncengine.sync(client, destination, **options(MAP))

    assert files(destination) == {"landing/keep": "changed", "landing/sec/f1": "1"}


# ------------------------------------------------------------------ what is hidden


@pytest.mark.parametrize("mode", ["source-to-destination", "two-way"])
@pytest.mark.parametrize("path_map", [MAP, landed], ids=["pairs", "a function"])
@pytest.mark.parametrize(
    ("ignore", "ignore_file"), [(["raw/tmp/"], None), ([], "tmp/"), (["raw/tmp/x"], None)], ids=["dir", "file", "one"]
)
def test_what_a_filter_hides_at_the_source_is_hidden_under_its_mapped_name(
    ignore: List[str], ignore_file: Optional[str], path_map: PathMap, mode: str, sides: Tuple[Path, Path]
) -> None:
    source, destination = sides
    write(source, {"raw/tmp/x": "x", "raw/a": "a", "raw/gone": "g"})
    aged(source)
    assert syncengine.sync(source, destination, **options(path_map, mode)).ok
    if ignore_file is not None:
        write(source, {"raw/.syncignore": ignore_file})
    (source / "raw/gone").unlink()

    syncengine.sync(source, destination, ignore=ignore, **options(path_map, mode)).raise_for_status()

    kept = {key: text for key, text in files(destination).items() if not key.endswith(".syncignore")}
    assert kept == {"landing/tmp/x": "x", "landing/a": "a"}


@pytest.mark.parametrize("mode", ["source-to-destination", "two-way"])
def test_a_rule_hides_what_it_names_at_the_source_although_the_source_no_longer_has_it(
    mode: str, sides: Tuple[Path, Path]
) -> None:
    source, destination = sides
    write(source, {"raw/tmp/x": "x", "raw/a": "a"})
    aged(source)
    assert syncengine.sync(source, destination, **options(MAP, mode)).ok
    (source / "raw/tmp/x").unlink()
    (source / "raw/tmp").rmdir()

    plan = syncengine.plan(source, destination, ignore=["raw/tmp/"], **options(MAP, mode))

    assert actions(plan) == []
    assert [(each.kind.value, each.path) for each in plan.agreements] == [("dormant", "landing/tmp/x")]


def test_a_sides_ignore_file_says_nothing_about_the_others_names(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {".syncignore": "/landing/", "raw/a": "new"})
    write(destination, {".syncignore": "/raw/", "landing/a": "old one"})

    plan = syncengine.plan(source, destination, ignore_files=[".syncignore"], **options(MAP))

    assert ("update", "destination", "landing/a") in actions(plan)


# ------------------------------------------------------------------ scopes

SCOPED = {"raw": "landing/raw", "raw/special": "elsewhere", "one.txt": "landing/two.txt"}


@pytest.mark.parametrize(
    ("scope", "arriving"),
    [
        ("landing", ["landing/own", "landing/raw/a", "landing/two.txt"]),
        ("landing/raw", ["landing/raw/a"]),
        ("landing/raw/a", ["landing/raw/a"]),
        ("landing/two.txt", ["landing/two.txt"]),
        ("elsewhere", ["elsewhere/s"]),
        ("raw", []),
        ("other", ["other"]),
    ],
)
def test_a_scope_names_keys_and_takes_in_whatever_is_mapped_there(
    scope: str, arriving: List[str], sides: Tuple[Path, Path]
) -> None:
    source, destination = sides
    write(source, {"raw/a": "a", "raw/special/s": "s", "one.txt": "1", "landing/own": "o", "other": "x"})

    plan = syncengine.plan(source, destination, scope=scope, **options(SCOPED))

    assert actions(plan) == [("create", "destination", path) for path in arriving]


@pytest.mark.parametrize("mode", ["source-to-destination", "two-way"])
@pytest.mark.parametrize("path_map", [SCOPED, landed], ids=["pairs", "a function"])
def test_a_scoped_run_after_a_full_one_has_nothing_to_do(
    path_map: PathMap, mode: str, sides: Tuple[Path, Path]
) -> None:
    source, destination = sides
    write(source, {"raw/a": "a", "raw/special/s": "s", "one.txt": "1", "other": "x"})
    aged(source)
    assert syncengine.sync(source, destination, **options(path_map, mode)).ok

    plans = [
        syncengine.plan(source, destination, scope=scope, **options(path_map, mode))
        for scope in ("landing", "elsewhere", "other", ["landing/raw", "other"])
    ]

    assert [actions(plan) for plan in plans] == [[], [], [], []]


def test_the_ignore_files_above_a_scope_are_the_sources_own(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"raw/.syncignore": "hidden", "raw/in/hidden": "h", "raw/in/a": "a"})

    plan = syncengine.plan(source, destination, scope="landing/in", **options(MAP))

    assert actions(plan) == [("create", "destination", "landing/in/a")]


# ------------------------------------------------------------------ names that two paths want


def one_name(path: str) -> str:
    return "one" if path in ("x", "y") else path


def test_of_two_paths_that_get_one_name_neither_is_touched(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"x": "x", "y": "y", "z": "z"})
    write(destination, {"one": "before"})

    report = syncengine.sync(source, destination, **options(one_name))

    assert problems(report.plan) == [("collision", "one")]
    assert "x and y" in report.plan.problems[0].message
    assert files(destination) == {"one": "before", "z": "z"}


@pytest.mark.parametrize("mode", ["source-to-destination", "source-backup", "two-way", "destination-to-source"])
@pytest.mark.parametrize(
    ("at_source", "at_destination", "path_map", "collisions"),
    [
        pytest.param({"a/x": "1", "b/y": "2"}, {"b/z": "3"}, {"a": "b"}, ["b"], id="its target is the source's own"),
        pytest.param(
            {"a/x": "1"}, {"b/x": "1", "a/y": "2", "a/z": "3"}, {"a": "b"}, ["a"], id="its origin stands there"
        ),
        pytest.param({"b": "1"}, {}, {"a": "b"}, ["b"], id="a file of the target's name"),
        pytest.param({}, {"a": "1"}, {"a": "b"}, ["a"], id="a file of the origin's name"),
        pytest.param({}, {"a/y": "1", "a/q/x": "2"}, {"a": "b", "z": "a/q"}, ["a/y"], id="another pair lies inside"),
    ],
)
def test_where_a_map_is_not_one_to_one_nothing_is_touched(
    at_source: Mapping[str, Content],
    at_destination: Mapping[str, Content],
    path_map: PathMap,
    collisions: List[str],
    mode: str,
    sides: Tuple[Path, Path],
) -> None:
    source, destination = write(sides[0], at_source), write(sides[1], at_destination)

    plan = syncengine.plan(source, destination, **options(path_map, mode))

    assert problems(plan) == [("collision", path) for path in collisions]
    assert [each for each in plan.operations if each.compared_as.startswith(tuple(collisions))] == []


@pytest.mark.parametrize("scope", [None, "b", "b/x"])
def test_a_scope_hides_no_collision(scope: Optional[str], sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"a/x": "from a", "b/x": "from b"})
    write(destination, {"b/x": "before"})

    plan = syncengine.plan(source, destination, scope=scope, **options({"a": "b"}))

    assert (problems(plan), actions(plan)) == ([("collision", "b")], [])


def test_a_flat_listing_tells_a_stray_folder_once_too() -> None:
    source, destination = PlainClient({"a/x": b"1"}), PlainClient({"a/y": b"2", "a/z": b"3", "a!": b"4"})

    plan = syncengine.plan(source, destination, **options({"a": "b"}, state=None))

    assert problems(plan) == [("collision", "a")]
    assert actions(plan) == [("create", "destination", "b/x"), ("delete", "destination", "a!")]


def test_two_names_can_be_swapped(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"a/x": "from a", "b/x": "from b"})

    report = syncengine.sync(source, destination, **options({"a": "b", "b": "a"}, "two-way"))

    report.raise_for_status()
    assert files(destination) == {"a/x": "from b", "b/x": "from a"}


def test_a_stray_folder_that_is_ignored_is_no_collision(sides: Tuple[Path, Path]) -> None:
    source, destination = sides
    write(source, {"a/x": "1"})
    write(destination, {"a/y": "2", ".syncignore": "/a/"})

    plan = syncengine.plan(source, destination, **options({"a": "b"}, "two-way"))

    assert problems(plan) == []
    assert "b/x" not in {path for _, target, path in actions(plan) if target == "source"}
