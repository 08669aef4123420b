"""Whole syncs with a side in Google Cloud Storage or Azure: from and to local disks, memory, S3 and each other."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any, Callable, Dict, Optional

import pytest
from attrs import frozen
from conftest import put_files

import syncengine
from syncengine.core.report import Report
from syncengine.storage.objects.azure import AzureService
from syncengine.storage.objects.gcs import GcsService
from syncengine.storage.objects.s3 import S3Service
from syncengine.storage.objects.service import Headers
from syncengine.storage.protocol import ANYTHING

Tree = Dict[str, bytes]
Changes = Dict[str, Optional[bytes]]

FIRST: Tree = {
    "top.txt": b"top",
    "empty": b"",
    "d/changes": b"before",
    "d/goes": b"going",
    "d/e/deep": os.urandom(600_000),
    "file becomes folder": b"a file",
    "folder becomes file/inside": b"inside",
}
CHANGES: Changes = {
    "d/changes": b"after, and longer",
    "d/goes": None,
    "new/one": b"new",
    "file becomes folder": None,
    "file becomes folder/inside": b"inside now",
    "folder becomes file/inside": None,
    "folder becomes file": b"a file now",
}
AFTERWARDS: Tree = {path: content for path, content in {**FIRST, **CHANGES}.items() if content is not None}


class Folder:
    """A folder on disk."""

    def __init__(self, folder: Path) -> None:
        self.options: Dict[str, Any] = {}
        folder.mkdir()
        self.folder = folder
        self.spec = str(folder)

    def tree(self) -> Tree:
        paths = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in paths}

    def edit(self, changes: Changes) -> None:
        for path in (path for path, content in changes.items() if content is None):
            (self.folder / path).unlink()
            if not any((self.folder / path).parent.iterdir()):
                (self.folder / path).parent.rmdir()
        put_files(self.folder, {path: content for path, content in changes.items() if content is not None})


@frozen
class Bucket:
    """A prefix of a bucket."""

    spec: str
    options: Dict[str, Any]
    service: Any

    def tree(self) -> Tree:
        found = [info for page in self.service.pages("root/") for info in page]
        return {info.key[len("root/") :]: self.service.read(info.key, 0, info.stamp.size or 0) for info in found}

    def edit(self, changes: Changes) -> None:
        for path, content in changes.items():
            if content is None:
                self.service.delete(f"root/{path}", expect=ANYTHING)
            else:
                self.service.put(f"root/{path}", content, expect=ANYTHING, headers=Headers())


KINDS: Dict[str, Any] = {
    "s3": ("moto", "s3", S3Service),
    "gcs": ("gcs", "gs", GcsService),
    "azure": ("azure", "abfs", AzureService),
}


@pytest.fixture
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Any]:
    def make(kind: str) -> Any:
        if kind == "local":
            return Folder(tmp_path / f"folder {len(list(tmp_path.iterdir()))}")
        fixture, protocol, service = KINDS[kind]
        server = request.getfixturevalue(fixture)
        bucket = server.bucket()
        return Bucket(f"{protocol}://{bucket}/root", server.options, service(server.filesystem(), bucket))

    return make


def visible(place: Any) -> Tree:
    return {path: content for path, content in place.tree().items() if ".syncengine" not in path}


def run(source: Any, destination: Any, mode: str, **more: Any) -> Report:
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


ROUTES = [
    ("local", "gcs"),
    ("gcs", "local"),
    ("local", "azure"),
    ("azure", "local"),
    ("s3", "gcs"),
    ("gcs", "s3"),
    ("s3", "azure"),
    ("gcs", "azure"),
    ("azure", "gcs"),
    ("gcs", "gcs"),
    ("azure", "azure"),
]


@pytest.mark.parametrize(("origin", "target"), ROUTES, ids=lambda kind: kind)
@pytest.mark.parametrize("mode", ["source-to-destination", "destination-to-source"])
def test_a_mirror_arrives_follows_and_rests(places: Callable[[str], Any], origin: str, target: str, mode: str) -> None:
    if "gcs" in (origin, target) and version("gcp-storage-emulator") < "2025":
        pytest.skip("this release of the emulator cannot put a file where a folder was, or the other way round")
    authority, replica = places(origin), places(target)
    source, destination = (authority, replica) if mode.startswith("source") else (replica, authority)
    authority.edit(FIRST)

    run(source, destination, mode)
    assert visible(replica) == FIRST
    authority.edit(CHANGES)
    run(source, destination, mode, retain="none", allow_mass_delete=True)
    again = run(source, destination, mode)

    assert visible(replica) == AFTERWARDS
    assert again.outcomes == ()


@pytest.mark.parametrize(("origin", "target"), ROUTES[:6:2], ids=lambda kind: kind)
def test_a_backup_deletes_nothing(places: Callable[[str], Any], origin: str, target: str) -> None:
    source, destination = places(origin), places(target)
    source.edit({"kept": b"1", "goes": b"2"})

    run(source, destination, "source-backup")
    source.edit({"goes": None, "kept": b"changed"})
    run(source, destination, "source-backup")

    assert visible(destination) == {"kept": b"changed", "goes": b"2"}


@pytest.mark.parametrize(("first", "second"), [("local", "gcs"), ("local", "azure"), ("s3", "gcs"), ("gcs", "azure")])
def test_two_ways_meet(places: Callable[[str], Any], first: str, second: str) -> None:
    source, destination = places(first), places(second)
    source.edit({"both": b"same", "mine": b"1", "edited": b"old"})
    destination.edit({"both": b"same", "yours": b"2"})
    run(source, destination, "two-way")

    source.edit({"mine": None, "edited": b"edited at the source"})
    destination.edit({"yours": b"2, edited", "new": b"new"})
    run(source, destination, "two-way")

    wanted = {"both": b"same", "edited": b"edited at the source", "yours": b"2, edited", "new": b"new"}
    assert (visible(source), visible(destination)) == (wanted, wanted)


@pytest.mark.parametrize("kind", ["gcs", "azure"])
def test_times_come_back_from_a_bucket(places: Callable[[str], Any], kind: str, tmp_path: Path) -> None:
    source, bucket, back = places("local"), places(kind), places("local")
    source.edit({"f.txt": b"content"})
    os.utime(source.folder / "f.txt", ns=(1_600_000_000_123_456_789,) * 2)

    run(source, bucket, "source-backup")
    run(bucket, back, "source-backup")

    assert (back.folder / "f.txt").stat().st_mtime_ns == 1_600_000_000_123_456_789
    assert bucket.service.head("root/f.txt").headers.content_type == "text/plain"


def test_metadata_goes_to_a_service_that_names_it_otherwise(places: Callable[[str], Any]) -> None:
    source, destination = places("s3"), places("azure")
    headers = Headers(content_type="text/x-special", metadata={"made-by": "hand", "7": "seven"})
    source.service.put("root/f", b"content", expect=ANYTHING, headers=headers)

    run(source, destination, "source-backup")

    found = destination.service.head("root/f").headers
    assert found.content_type == "text/x-special"
    assert {name: found.metadata[name] for name in ("made_by", "_7")} == {"made_by": "hand", "_7": "seven"}


RULES = {
    "*": {"cache_control": "no-cache"},
    "*.csv": {"content_type": "text/x-table", "metadata": {"team": "data"}},
}


@pytest.mark.parametrize("kind", ["s3", "gcs", "azure"])
def test_rules_say_what_objects_carry(places: Callable[[str], Any], kind: str, tmp_path: Path) -> None:
    source, destination = places("local"), places(kind)
    source.edit({"a.csv": b"1,2", "b.txt": b"text"})
    plan = syncengine.plan(source.spec, destination.spec, destination_options=destination.options, object_headers=RULES)
    plan.save(tmp_path / "saved.json")

    report = syncengine.apply(syncengine.Plan.load(tmp_path / "saved.json"), destination_options=destination.options)

    assert report.ok
    table, text = (destination.service.head(f"root/{name}").headers for name in ("a.csv", "b.txt"))
    assert (table.content_type, table.cache_control, table.metadata["team"]) == ("text/x-table", "no-cache", "data")
    assert (text.content_type, text.cache_control, "team" in text.metadata) == ("text/plain", "no-cache", False)
    assert {"mtime"} <= set(table.metadata)


def test_a_copy_within_a_storage_obeys_the_rules_too(places: Callable[[str], Any]) -> None:
    source, destination = places("gcs"), places("gcs")
    source.edit({"a.csv": b"1,2", "b.bin": b"\0"})

    report = run(source, destination, "source-backup", object_headers={"*.csv": {"cache_control": "max-age=60"}})

    assert destination.service.head("root/a.csv").headers.cache_control == "max-age=60"
    assert destination.service.head("root/b.bin").headers.cache_control == ""
    # The storage would copy the headers too, so the bytes of what gets others pass here, and the plan says so.
    foretold = [(each.operation.path, each.operation.size, each.bytes) for each in report.outcomes]
    assert foretold == [("a.csv", 3, 3), ("b.bin", 0, 0)]
