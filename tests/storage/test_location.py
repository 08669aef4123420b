"""What a root may be, what it is called, and which two are the same place."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, ClassVar, Mapping, Optional

import fsspec
import pytest
from conftest import put_files
from filesystems import BareFileSystem
from plain_client import PlainClient
from upath import UPath

from syncengine.errors import RecipeError, StorageError
from syncengine.storage.local import LocalStorageClient
from syncengine.storage.location import locate, overlap
from syncengine.storage.protocol import SupportsMove

SECRET = "planted-secret-value"

SHOWN = [
    ("memory://a/b/", "memory://a/b", "memory", "/a/b"),
    ("memory://", "memory://", "memory", ""),
    ("dir::memory://q", "memory://q", "memory", "/q"),
    ("dir://sub::memory://q", "memory://q/sub", "memory", "/q/sub"),
    (f"ftp://someone:{SECRET}@Host:21/d/", "ftp://Host:21/d", "ftp", "/d"),
    (f"http://u:{SECRET}@Host/d/", "http://Host/d", "http", "http://host/d"),
    (f"zip://in::http://u:{SECRET}@h/a.zip", "zip://in::http://h/a.zip", "zip", "in"),
    ("memory://what?is#this", "memory://what?is#this", "memory", "/what?is#this"),
]


@pytest.mark.parametrize(
    ("spec", "url", "protocol", "root"), SHOWN, ids=[case[0].replace(SECRET, "…") for case in SHOWN]
)
def test_a_url_is_shown_without_what_is_secret(spec: str, url: str, protocol: str, root: str) -> None:
    located = locate(spec)

    assert (located.url, located.protocol, str(located)) == (url, protocol, url)
    assert located.root == root
    assert SECRET not in repr(located)


@pytest.mark.parametrize(
    "spelling",
    ["{folder}", "{folder}/", "file://{folder}", "local://{folder}", "{folder}/x/..", "~/{name}", "dir::{folder}"],
)
def test_a_local_folder_is_one_place_however_it_is_written(
    spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path.parent))

    located = locate(spelling.format(folder=tmp_path, name=tmp_path.name))

    assert located.identity == locate(tmp_path).identity
    assert located.root == os.path.realpath(tmp_path)
    assert isinstance(located.open(), LocalStorageClient)


def test_a_link_to_a_folder_is_the_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    assert locate(tmp_path / "link").identity == locate(tmp_path / "real").identity


@pytest.mark.parametrize("name", ["a::b", "::", "x::file", "http:", "s3::", "a b::c"])
def test_two_colons_in_a_plain_path_belong_to_the_name(name: str, tmp_path: Path) -> None:
    assert locate(f"{tmp_path}/{name}").root == f"{os.path.realpath(tmp_path)}/{name}"
    assert locate(tmp_path / name).root == f"{os.path.realpath(tmp_path)}/{name}"


def test_a_local_path_imports_neither_fsspec_nor_what_it_would_need(tmp_path: Path) -> None:
    script = (
        "import sys; from syncengine.storage.location import locate, overlap\n"
        f"client = locate({str(tmp_path)!r}).open(); list(client.list()); overlap(locate('/x'), locate('/y'))\n"
        "heavy = {'fsspec', 'asyncio', 'aiohttp', 'sqlite3', 'rich', 'tempfile', 'pathspec', 'cattrs'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == "[]"


REFUSED: Mapping[str, str] = {
    "memry://x": "did you mean memory://",
    "no-such-thing-at-all://x": "no filesystem is known",
    "simplecache::memory://x": "go stale",
    "filecache::http://h/x": "go stale",
    f"https://h/x?X-Amz-Signature={SECRET}": "signed URL",
    f"https://h/x?v=1&sig={SECRET}": "signed URL",
    f"https://h/x?api_key={SECRET}": "signed URL",
    f"memory://a?token={SECRET}": "signed URL",
    f"zip://::https://h/a.zip?token={SECRET}": "signed URL",
    "": "empty",
}


@pytest.mark.parametrize("spec", REFUSED, ids=lambda spec: spec.replace(SECRET, "…"))
def test_what_cannot_be_a_root_is_refused_with_a_reason(spec: str) -> None:
    with pytest.raises(RecipeError, match=REFUSED[spec]) as caught:
        locate(spec)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("query", ["author=me", "design=3", "monkey=1", "id=7", ""])
def test_a_query_without_a_secret_is_no_reason_to_refuse(query: str) -> None:
    assert locate(f"https://h/x?{query}").url == "https://h/x"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.registry import known_implementations

    monkeypatch.setitem(known_implementations, "s3x", {"class": "no_such_module.X", "err": "Install no-such-package"})

    with pytest.raises(RecipeError, match="Install no-such-package"):
        locate("s3x://bucket")


def test_options_on_a_local_path_are_an_error_and_not_ignored(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="takes no options: key"):
        locate(tmp_path, options={"key": SECRET})


def test_only_a_place_can_be_located() -> None:
    for thing in (3, None, object()):
        with pytest.raises(RecipeError, match="is not a place"):
            locate(thing)


SAME = [
    ("ftp://h/d", {}, "ftp://h:21/d/", {}, True),
    ("ftp://h/d", {}, "ftp://someone@h/d", {}, False),
    ("ftp://a@h/d", {}, "ftp://h/d", {"username": "a"}, True),
    ("ftp://a:one@h/d", {}, "ftp://a:two@h/d", {}, True),
    ("ftp://h/d", {}, "ftp://h/e", {}, False),
    ("ftp://h/d", {}, "ftp://g/d", {}, False),
    (
        "webdav://d",
        {"base_url": "https://h/x"},
        "webdav://d/",
        {"base_url": "https://u:p@h/x/", "auth": ("a", "b")},
        True,
    ),
    ("webdav://d", {"base_url": "https://h/x"}, "webdav://d", {"base_url": "https://h/y"}, False),
    ("http://h/d", {}, "http://H/d/", {}, True),
    ("http://h/d", {}, "https://h/d", {}, False),
    ("zip://::/x/a.zip", {}, "zip://::/x/b.zip", {}, False),
    ("zip://::/x/a.zip", {}, "zip::file:///x/a.zip", {}, True),
    ("memory://a", {}, "memory://a/", {}, True),
]


@pytest.mark.parametrize(("first", "options", "second", "other_options", "same"), SAME)
def test_identity_is_the_storage_and_the_root_and_no_secret(
    first: str, options: Mapping[str, Any], second: str, other_options: Mapping[str, Any], same: bool
) -> None:
    assert (locate(first, options=options).identity == locate(second, options=other_options).identity) is same


def test_identity_of_memory_is_another_in_another_process() -> None:
    script = "from syncengine.storage.location import locate; print(locate('memory://a').identity)"

    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()

    assert len(other) == 64
    assert other != locate("memory://a").identity


OVERLAPS = [
    ("/data", "/data/", "are the same place"),
    ("/data", "/data/in", "lies inside"),
    ("/data/in", "/data", "lies inside"),
    ("/", "/data", "lies inside"),
    ("/data", "/database", None),
    ("/data", "/data/.syncengine-trash/x", None),
    ("memory://a", "memory://a/b", "lies inside"),
    ("memory://a", "dir::memory://a/b", "lies inside"),
    ("memory://a", "/a", None),
    ("zip::/data/a.zip", "/data", "the archive of"),
    ("zip::/data/a.zip", "/other", None),
    ("zip://x::/data/a.zip", "zip://x/y::/data/a.zip", "lies inside"),
]


@pytest.mark.parametrize(("first", "second", "why"), OVERLAPS)
def test_overlapping_roots_are_found(first: str, second: str, why: Optional[str]) -> None:
    said = overlap(locate(first), locate(second))

    assert (said is None) if why is None else (said is not None and why in said)


FILES = [
    ("/data/file.txt", "file:///data", "file.txt"),
    ("memory://a/file", "memory://a", "file"),
    ("memory://file", "memory://", "file"),
    ("http://h/d/a.csv", "http://h/d", "a.csv"),
    ("zip://d/in.txt::/x/a.zip", "zip://d::file:///x/a.zip", "in.txt"),
    ("ftp://h/d/f", "ftp://h/d", "f"),
]


@pytest.mark.parametrize(("spec", "above", "name"), FILES)
def test_a_single_file_is_a_name_in_its_parent(spec: str, above: str, name: str) -> None:
    parent, found = locate(spec).parent_and_name()

    assert (parent.url, found) == (above, name)
    assert parent.identity == locate(above).identity


def test_a_single_file_is_read_through_its_parent(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe_file("/single/file", b"content")

    parent, name = locate("memory://single/file").parent_and_name()

    with parent.open().read(name) as source:
        assert source.read() == b"content"


def test_a_link_given_as_a_file_keeps_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "2026.csv").write_bytes(b"1")
    (tmp_path / "latest.csv").symlink_to("2026.csv")

    assert locate(tmp_path / "latest.csv").parent_and_name()[1] == "latest.csv"


@pytest.mark.parametrize("spec", ["/", "memory://", "http://h"])
def test_the_root_of_a_storage_is_no_file(spec: str) -> None:
    with pytest.raises(RecipeError, match="is not a file"):
        locate(spec).parent_and_name()


def test_a_upath_is_the_place_it_shows_and_not_a_local_folder(tmp_path: Path) -> None:
    assert locate(UPath("memory://a/b")).identity == locate("memory://a/b").identity
    assert locate(UPath(str(tmp_path))).identity == locate(tmp_path).identity
    assert locate(UPath(f"file://{tmp_path}")).identity == locate(tmp_path).identity


def test_a_filesystem_and_a_root_are_the_place_of_the_url(tmp_path: Path) -> None:
    from fsspec.implementations.dirfs import DirFileSystem

    memory = fsspec.filesystem("memory")

    assert locate((memory, "a")).identity == locate("memory://a").identity
    assert locate((DirFileSystem("/a", memory), "b")).identity == locate("memory://a/b").identity
    assert locate((fsspec.filesystem("file"), str(tmp_path))).identity == locate(tmp_path).identity


def test_two_memories_of_their_own_are_two_places() -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    class OwnMemory(MemoryFileSystem):
        store: ClassVar[Any] = {}
        pseudo_dirs: ClassVar[Any] = [""]

    assert overlap(locate((OwnMemory(), "a")), locate("memory://a")) is None


def test_an_instance_that_holds_state_is_used_itself_and_left_as_it_is() -> None:
    first = BareFileSystem(skip_instance_cache=True)
    second = BareFileSystem(skip_instance_cache=True)

    located = locate((first, "held"))

    assert overlap(located, locate((second, "held"))) is None
    assert located.open()._driver.filesystem is first
    assert first.dircache.use_listings_cache


def test_a_client_of_ones_own_is_taken_as_it_is() -> None:
    client = PlainClient({})

    located = locate(client)

    assert located.open() is client
    assert not isinstance(located.open(), SupportsMove)
    assert overlap(located, locate(PlainClient({}))) is None


def test_a_profile_is_found_and_options_win_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.config import conf

    monkeypatch.setitem(conf, "landing", {"username": "profiled", "password": SECRET})
    monkeypatch.setitem(conf, "my", {"landing": {"username": "profiled"}})

    located = locate("ftp://h/d", profile="landing")

    assert (located.profile, located.option_names) == ("landing", ())
    assert located.identity == locate("ftp://profiled@h/d").identity
    assert located.identity == locate("ftp://h/d", profile="my-landing").identity
    assert SECRET not in repr(located)
    assert locate("ftp://h/d", profile="landing", options={"username": "me"}).option_names == ("username",)
    with pytest.raises(RecipeError, match="did you mean landing"):
        locate("ftp://h/d", profile="landin")


def test_options_are_never_shown_compared_or_pickled() -> None:
    located = locate("ftp://h/d", options={"password": SECRET})

    assert located.option_names == ("password",)
    for text in (repr(located), str(located), pickle.dumps(located).decode("latin-1")):
        assert SECRET not in text
    with pytest.raises(RecipeError, match="by a profile"):
        pickle.loads(pickle.dumps(located)).open()


def test_a_place_without_secrets_survives_pickling(tmp_path: Path) -> None:
    put_files(tmp_path, {"file": b"1"})
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("inside", b"2")

    for spec in (str(tmp_path), f"zip::{tmp_path}/a.zip"):
        copied = pickle.loads(pickle.dumps(locate(spec)))
        assert copied == locate(spec)
        client = copied.open()
        assert list(client.list())
        client.close()


def test_a_server_that_does_not_answer_is_a_storage_error_without_secrets() -> None:
    located = locate("webdav://x", options={"base_url": "http://127.0.0.1:9/", "auth": ("u", SECRET)})
    client = located.open()

    with pytest.raises(StorageError) as caught:
        client.stat("x")

    assert caught.value.retryable
    assert SECRET not in str(caught.value)
    client.close()
