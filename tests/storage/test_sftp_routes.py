"""Whole syncs with a side behind SFTP: from and to local disks, to memory, and between two servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import fsspec
import pytest
from attrs import frozen
from conftest import put_files
from sftp_servers import SERVERS, Server, needs_openssh

import syncengine
from syncengine.core.report import Report
from syncengine.storage.local_times import keeps_change_times

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
