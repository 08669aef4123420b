"""Names that begin like ours and are not: whoever chose one is told that nothing of it is synced."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, List, Mapping, Tuple

import pytest
from conftest import KINDS, Factories, put_files
from sftp_servers import Server

import syncengine
from syncengine.core.entry import Entry, Kind, Problem, ProblemKind
from syncengine.storage.location import locate
from tests.trees import files, write

HELD = {
    ".syncengine-notes": b"1",
    ".syncengine-mine/a": b"2",
    ".syncengine-mine/b/c": b"3",
    "d/.syncengine-notes": b"4",
    "d/.syncengine-tmp-1-00000000-00": b"5",
    ".syncengine-trash/20261122T135216Z-1a2b3c4d/old": b"6",
    "d/kept": b"7",
    "kept": b"8",
}
TOLD = [".syncengine-mine", ".syncengine-notes", "d/.syncengine-notes"]


def told(client: Any) -> Tuple[List[str], List[str]]:
    """Return the files that a listing shows, and the names that it calls bad."""
    items = list(client.list())
    shown = [item.path for item in items if isinstance(item, Entry) and item.kind is Kind.FILE]
    bad = [item.path for item in items if isinstance(item, Problem) and item.kind is ProblemKind.BAD_NAME]
    return shown, sorted(bad)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "plain client"])
def test_every_listing_tells_of_names_that_only_look_like_ours(kind: str, factories: Factories) -> None:
    assert told(factories.of(kind)(HELD).client) == (["d/kept", "kept"], TOLD)


@pytest.mark.parametrize("sftp_server", ["asyncssh"], indirect=True)
def test_a_listing_behind_sftp_tells_of_them_too(sftp_server: Server) -> None:
    name = uuid.uuid4().hex
    put_files(sftp_server.folder / name, HELD)
    client: Any = locate(sftp_server.url(name), options=sftp_server.options()).open()
    try:
        assert told(client) == (["d/kept", "kept"], TOLD)
    finally:
        client.close()


def problems(plan: syncengine.Plan) -> List[Tuple[str, str]]:
    return sorted((problem.kind.value, problem.path) for problem in plan.problems)


@pytest.fixture
def sides(tmp_path: Path) -> Tuple[Path, Path]:
    held: Mapping[str, Any] = {path: text.decode() for path, text in HELD.items() if "-t" not in path}
    return write(tmp_path / "s", held), write(tmp_path / "d", {})


def test_a_plan_tells_of_them_and_syncs_the_rest(sides: Tuple[Path, Path]) -> None:
    report = syncengine.sync(*sides)

    assert problems(report.plan) == [("bad_name", path) for path in TOLD]
    assert files(sides[1]) == {"d/kept": "7", "kept": "8"}


def test_a_user_who_knows_can_ignore_them(sides: Tuple[Path, Path]) -> None:
    plan = syncengine.plan(*sides, ignore=[".syncengine-*"])

    assert problems(plan) == []
    assert sorted(each.path for each in plan if each.kind is Kind.FILE) == ["d/kept", "kept"]


def test_a_directory_that_holds_one_is_not_removed(sides: Tuple[Path, Path]) -> None:
    write(sides[1], {"d/.syncengine-mine/a": "theirs", "d/kept": "7", "kept": "8"})
    (sides[0] / "d/kept").unlink()
    (sides[0] / "d/.syncengine-notes").unlink()
    (sides[0] / "d").rmdir()

    report = syncengine.sync(*sides, mode="source-to-destination")

    assert report.ok, report
    assert (sides[1] / "d/.syncengine-mine/a").read_text() == "theirs"


def test_what_the_sync_itself_puts_to_use_is_no_problem(tmp_path: Path) -> None:
    source = write(tmp_path / "s", {"a": "1"})
    inside = tmp_path / "s" / ".syncengine-here"

    report = syncengine.sync(
        source, inside / "copy", trash=source / ".syncengine-kept", state=source / ".syncengine-state" / "db"
    )
    again = syncengine.sync(
        source, inside / "copy", trash=source / ".syncengine-kept", state=source / ".syncengine-state" / "db"
    )

    assert problems(report.plan) == problems(again.plan) == []
    assert files(inside / "copy") == {"a": "1"}
