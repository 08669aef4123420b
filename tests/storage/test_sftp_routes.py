"""Whole syncs with a side behind SFTP: from and to local disks, to memory, and between two servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import fsspec
import pytest
from attrs import frozen
from conftest import put_files
from sftp_servers import SERVERS, Server, needs_openssh

import syncengine
from syncengine import Action
from syncengine.core.report import Report
from syncengine.storage.local_times import keeps_change_times
from syncengine.storage.sftp import SftpStorageClient

Tree = Dict[str, bytes]

FIRST: Tree = {
    "top.txt": b"top",
    "empty": b"",
    "d/changes": b"before",
    "d/goes": b"going",
    "d/e/deep": os.urandom(600_000),
    "file becomes folder": b"a file",
    "folder becomes file/inside": b"inside",
}
CHANGES: Dict[str, Optional[bytes]] = {
    "d/changes": b"after, and longer",
    "d/goes": None,
    "new/one": b"new",
    "file becomes folder": None,
    "file becomes folder/inside": b"inside now",
    "folder becomes file/inside": None,
    "folder becomes file": b"a file now",
}
AFTERWARDS: Tree = {path: content for path, content in {**FIRST, **CHANGES}.items() if content is not None}


@frozen
class Place:
    """One side: how it is named, with which options, what it holds, and how that is changed."""

    spec: str
    options: Dict[str, Any]
    folder: Optional[Path]

    def tree(self) -> Tree:
        if self.folder is None:
            root = self.spec.partition("://")[2]
            memory = fsspec.filesystem("memory")
            return {path[len(root) + 2 :]: memory.cat_file(path) for path in memory.find(f"/{root}")}
        paths = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}

    def visible(self) -> Tree:
        return {path: content for path, content in self.tree().items() if not path.startswith(".syncengine")}

    def edit(self, changes: Dict[str, Optional[bytes]]) -> None:
        assert self.folder is not None
        for path, content in changes.items():
            if content is None:
                (self.folder / path).unlink()
                if not any((self.folder / path).parent.iterdir()):
                    (self.folder / path).parent.rmdir()
        written = {path: content for path, content in changes.items() if content is not None}
        put_files(self.folder, written)
        for path in written:
            # A time of this very second tells no versions apart, so it would be looked into once more.
            os.utime(self.folder / path, (time.time() - 3600,) * 2)


@pytest.fixture
def places(sftp_server: Server, tmp_path: Path) -> Callable[[str], Place]:
    def make(kind: str) -> Place:
        name = uuid.uuid4().hex
        if kind == "sftp":
            return Place(sftp_server.url(name), sftp_server.options(), sftp_server.folder / name)
        if kind == "memory":
            return Place(f"memory://{name}", {}, None)
        return Place(str(tmp_path / name), {}, tmp_path / name)

    return make


def run(source: Place, destination: Place, mode: str = "source-to-destination", **more: Any) -> Report:
    report = syncengine.sync(
        source.spec,
        destination.spec,
        mode=mode,
        source_options=source.options,
        destination_options=destination.options,
        **more,
    )
    assert {outcome.operation.path: outcome.problem for outcome in report.outcomes if outcome.problem} == {}
    return report


@pytest.mark.parametrize(
    ("source_kind", "destination_kind"), [("local", "sftp"), ("sftp", "local"), ("sftp", "memory"), ("sftp", "sftp")]
)
@pytest.mark.parametrize("sftp_server", SERVERS, indirect=True)
def test_a_mirror_follows_every_change_and_then_rests(
    source_kind: str, destination_kind: str, places: Callable[[str], Place]
) -> None:
    source, destination = places(source_kind), places(destination_kind)
    source.edit(dict(FIRST))
    run(source, destination)
    assert destination.visible() == FIRST

    source.edit(CHANGES)
    run(source, destination, retain="all")
    assert destination.visible() == AFTERWARDS == source.visible()
    kept = {path.split("/", 2)[2]: content for path, content in destination.tree().items() if path.startswith(".")}
    assert kept == {path: content for path, content in FIRST.items() if AFTERWARDS.get(path) != content}

    again = run(source, destination)
    assert (again.outcomes, again.plan.agreements) == ((), ())


@pytest.mark.parametrize("sftp_server", SERVERS, indirect=True)
def test_two_sides_meet(places: Callable[[str], Place]) -> None:
    here, there = places("local"), places("sftp")
    here.edit(dict(FIRST))
    there.edit({"its own": b"own"})
    run(here, there, "two-way")

    here.edit({"d/changes": b"changed here", "new here": b"1"})
    there.edit({"top.txt": b"changed there", "d/goes": None, "new there/file": b"2"})
    run(here, there, "two-way")

    expected = {
        **FIRST,
        "its own": b"own",
        "d/changes": b"changed here",
        "top.txt": b"changed there",
        "new here": b"1",
        "new there/file": b"2",
    }
    del expected["d/goes"]
    assert here.visible() == there.visible() == expected
    assert run(here, there, "two-way").outcomes == ()


@needs_openssh
@pytest.mark.parametrize("sftp_server", ["openssh"], indirect=True)
def test_times_permissions_and_links_arrive(places: Callable[[str], Place]) -> None:
    here, there = places("local"), places("sftp")
    here.edit({"file": b"1", "script": b"2"})
    assert here.folder is not None
    assert there.folder is not None
    (here.folder / "script").chmod(0o750)
    (here.folder / "link").symlink_to("../elsewhere")
    os.utime(here.folder / "file", (1_600_000_000, 1_600_000_000))

    run(here, there, symlinks="preserve", metadata="mode")
    assert (there.folder / "file").stat().st_mtime == 1_600_000_000
    assert (there.folder / "script").stat().st_mode & 0o777 == 0o750
    assert os.readlink(there.folder / "link") == "../elsewhere"

    (here.folder / "script").chmod(0o700)
    report = run(here, there, symlinks="preserve", metadata="mode")
    assert [outcome.operation.path for outcome in report.outcomes] == ["script"]
    assert (there.folder / "script").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("sftp_server", SERVERS, indirect=True)
def test_a_directory_that_was_renamed_here_is_renamed_there_by_one_call(places: Callable[[str], Place]) -> None:
    here, there = places("local"), places("sftp")
    here.edit({"d/file": b"1", "d/deep/file": os.urandom(100_000), "other": b"2"})
    assert here.folder is not None
    assert there.folder is not None
    there.folder.mkdir()
    if not keeps_change_times(str(here.folder)):
        pytest.skip("the file system of the temporary folder is not known to keep change times")
    for path in ("d/file", "d/deep/file", "other"):
        os.utime(here.folder / path, (1_600_000_000, 1_600_000_000))
    run(here, there, "two-way")

    (here.folder / "d").rename(here.folder / "e")
    report = run(here, there, "two-way")

    (outcome,) = report.outcomes
    assert (outcome.operation.moved_from, outcome.operation.path, outcome.bytes) == ("d", "e", 0)
    assert there.visible() == here.visible()
    assert run(here, there, "two-way").outcomes == ()


# ------------------------------------------------------------------ renames that no content proves

RENAMED: Tree = {"d/one": b"1" * 100, "d/e/two": b"2" * 200, "three": b"3" * 300, "stays": b"4" * 400}
MODES = ["source-to-destination", "source-backup", "two-way"]


def aged(place: Place, seconds: float = 3600) -> None:
    """Give each file another time, all of them of long ago."""
    assert place.folder is not None
    for number, path in enumerate(sorted(place.folder.rglob("*"))):
        if path.is_file():
            os.utime(path, (time.time() - seconds - number,) * 2)


@pytest.fixture
def agreed(places: Callable[[str], Place]) -> Callable[[str, str], Tuple[Place, Place]]:
    """Return two places that have agreed on RENAMED; the first is of the kind that is asked for."""

    def make(kind: str, mode: str, seconds: float = 3600) -> Tuple[Place, Place]:
        first, second = places(kind), places("local" if kind == "sftp" else "sftp")
        first.edit(dict(RENAMED))
        aged(first, seconds)
        assert second.folder is not None
        second.folder.mkdir()
        run(first, second, mode)
        return first, second

    return make


def rename(place: Place, old: str, new: str) -> None:
    assert place.folder is not None
    (place.folder / old).rename(place.folder / new)


def replace_unnoticed(place: Place, old: str, new: str, content: bytes) -> None:
    """Delete a file and make another of its size and time under a new name."""
    assert place.folder is not None
    before = (place.folder / old).stat()
    assert len(content) == before.st_size
    (place.folder / old).unlink()
    (place.folder / new).write_bytes(content)
    os.utime(place.folder / new, ns=(before.st_mtime_ns, before.st_mtime_ns))


def decided(report: Report) -> List[Tuple[str, str, str]]:
    return [(each.action.value, each.path, each.chosen_by) for each in report.plan]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("renamed_at", ["sftp", "local"])
@pytest.mark.parametrize(
    "sftp_server", ["asyncssh", pytest.param("openssh", marks=[pytest.mark.thorough, needs_openssh])], indirect=True
)
def test_renames_on_either_side_move_no_byte_and_delete_nothing(
    renamed_at: str,
    mode: str,
    agreed: Callable[[str, str], Tuple[Place, Place]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = agreed(renamed_at, mode)
    rename(first, "three", "four")
    rename(first, "d", "of another name")

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("content travelled")

    with monkeypatch.context() as patched:
        for method in ("read", "write"):
            patched.setattr(SftpStorageClient, method, never)
        report = run(first, second, mode)

    assert {each.action for each in report.plan} == {Action.COPY if mode == "source-backup" else Action.MOVE}
    assert [outcome.bytes for outcome in report.outcomes] == [0] * len(report.outcomes)
    kept = {path: RENAMED[path] for path in ("d/one", "d/e/two", "three")} if mode == "source-backup" else {}
    assert second.visible() == {**first.visible(), **kept}
    assert run(first, second, mode).outcomes == ()


@pytest.mark.parametrize("sftp_server", ["asyncssh"], indirect=True)
def test_the_plan_says_that_a_rename_rests_on_a_stamp(agreed: Callable[[str, str], Tuple[Place, Place]]) -> None:
    there, here = agreed("sftp", "two-way")
    rename(there, "three", "four")
    rename(there, "d", "e")

    plan = syncengine.plan(there.spec, here.spec, mode="two-way", source_options=there.options)

    assert [(each.path, each.chosen_by) for each in plan] == [("e", "rule:R8 by stamp"), ("four", "rule:R1 by stamp")]
    assert "its size and time say so" in plan.explain("four")
    assert all("told by its size and time" in line for line in plan.itemize())


@pytest.mark.parametrize("sftp_server", ["asyncssh"], indirect=True)
def test_with_downloads_allowed_a_rename_is_proved_by_content(
    agreed: Callable[[str, str], Tuple[Place, Place]],
) -> None:
    there, here = agreed("sftp", "two-way")
    rename(there, "d/one", "one")
    replace_unnoticed(there, "three", "four", b"x" * 300)

    report = run(there, here, "two-way", hash_by_download=True)

    assert decided(report) == [
        ("create", "four", "rule:T2"),
        ("move", "one", "rule:R1"),
        ("delete", "three", "rule:T11"),
    ]


@pytest.mark.parametrize("sftp_server", ["asyncssh"], indirect=True)
def test_what_a_rename_by_stamp_was_wrong_about_is_never_lost(
    agreed: Callable[[str, str], Tuple[Place, Place]],
) -> None:
    there, here = agreed("sftp", "two-way")
    replace_unnoticed(there, "three", "four", b"x" * 300)
    replace_unnoticed(there, "d/one", "d/e/one", b"y" * 100)
    rename(there, "d", "f")
    run(there, here, "two-way")

    here.edit(dict.fromkeys(here.visible(), b"edited"))
    run(there, here, "two-way")

    versions = {*there.tree().values(), *here.tree().values()}
    assert {b"x" * 300, b"y" * 100, b"edited"} <= versions


@pytest.mark.parametrize("sftp_server", ["asyncssh"], indirect=True)
def test_files_of_a_directory_that_moved_by_stamps_are_kept_before_they_are_replaced(
    agreed: Callable[[str, str], Tuple[Place, Place]],
) -> None:
    there, here = agreed("sftp", "two-way")
    replace_unnoticed(there, "d/one", "d/two", b"y" * 100)
    rename(there, "d/two", "d/one")
    rename(there, "d", "f")
    assert decided(run(there, here, "two-way")) == [("move", "f", "rule:R8 by stamp")]

    here.edit({"f/one": b"edited"})
    run(there, here, "two-way")

    assert b"y" * 100 in there.tree().values()


@pytest.mark.parametrize("sftp_server", ["asyncssh"], indirect=True)
def test_a_stamp_that_others_have_as_well_makes_no_rename(agreed: Callable[[str, str], Tuple[Place, Place]]) -> None:
    there, here = agreed("sftp", "two-way")
    replace_unnoticed(there, "three", "four", b"x" * 300)
    assert there.folder is not None
    (there.folder / "five").write_bytes(b"z" * 300)
    os.utime(there.folder / "five", ns=((there.folder / "four").stat().st_mtime_ns,) * 2)

    run(there, here, "two-way")

    assert here.visible() == there.visible()


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("sftp_server", ["asyncssh"], indirect=True)
def test_what_is_too_young_to_be_told_by_its_time_is_read_once(
    same: bool, agreed: Callable[..., Tuple[Place, Place]]
) -> None:
    there, here = agreed("sftp", "two-way", -3600)  # of the future: too young whenever it is looked at
    if same:
        rename(there, "three", "four")
    else:
        replace_unnoticed(there, "three", "four", b"x" * 300)

    report = run(there, here, "two-way")

    expected = (
        [("move", "four", "rule:R1")] if same else [("create", "four", "rule:T2"), ("delete", "three", "rule:T11")]
    )
    assert decided(report) == expected
    assert here.visible() == there.visible()


@pytest.mark.parametrize("sftp_server", ["asyncssh"], indirect=True)
def test_an_edit_follows_a_rename_that_only_a_stamp_shows(agreed: Callable[[str, str], Tuple[Place, Place]]) -> None:
    there, here = agreed("sftp", "two-way")
    replace_unnoticed(there, "three", "four", b"x" * 300)
    here.edit({"three": b"edited here"})

    report = run(there, here, "two-way")

    assert {chosen for _, path, chosen in decided(report) if path == "four"} == {"rule:R4 by stamp", "rule:T8"}
    assert there.visible() == here.visible()
    assert there.visible()["four"] == b"edited here"
    assert b"x" * 300 in there.tree().values()


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux tells the peak of a process alone")
@pytest.mark.thorough
def test_a_large_file_needs_little_memory_both_ways(sftp_asyncssh: Server, tmp_path: Path) -> None:
    size = 96 << 20
    script = (
        "import json, re, sys, syncengine\n"
        "source, destination, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])\n"
        "given = {f'{side}_options': options for side, url in (('source', source), ('destination', destination))"
        " if url.startswith('sftp:')}\n"
        "syncengine.sync(source, destination, state=None, progress=False, **given).raise_for_status()\n"
        "print(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1])\n"
    )
    here, there = tmp_path / "here", sftp_asyncssh.folder / uuid.uuid4().hex
    for folder in (here, there):
        folder.mkdir()
        with (folder / f"of {folder.name}").open("wb") as stream:
            stream.truncate(size)
    url, options = sftp_asyncssh.url(there.name), json.dumps(sftp_asyncssh.options())

    for source, destination in ((str(here), url), (url, str(here))):
        command = [sys.executable, "-c", script, source, destination, options]
        peak_kib = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
        assert peak_kib << 10 < size

    assert {path.stat().st_size for folder in (here, there) for path in folder.glob("of *")} == {size}
    assert len(list(here.glob("of *"))) == len(list(there.glob("of *"))) == 2
