"""Local disks: what is listed, what is written and when it appears, and what is refused."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Collection, Iterator, List, Optional, Set, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncengine import errors
from syncengine.core.entry import Entry, Extent, Kind, Listed, Problem, ProblemKind, Stamp
from syncengine.core.modes import SymlinkPolicy
from syncengine.core.paths import RESERVED_PREFIX, encoded
from syncengine.storage import local, local_times, local_writing, protocol
from syncengine.storage.conformance import Bytes
from syncengine.storage.local import LocalStorageClient
from syncengine.storage.local_facts import folds_case, translated
from syncengine.storage.protocol import ABSENT, ANYTHING, exactly
from syncengine.storage.temporary import host_mark, release, temporary_name

SECOND = 1_000_000_000


class Text:
    """Content of a user's own making."""

    def __init__(self, data: bytes, size: Optional[int] = None) -> None:
        self.size: Optional[int] = len(data) if size is None else size
        self.local_path: Optional[str] = None
        self._data = data

    def read(self, size: int = -1) -> bytes:
        end = len(self._data) if size < 0 else size
        data, self._data = self._data[:end], self._data[end:]
        return data

    def verify(self) -> Stamp:
        return Stamp(size=self.size)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "root"
    directory.mkdir()
    return directory


@pytest.fixture
def client(root: Path) -> LocalStorageClient:
    return LocalStorageClient(str(root))


def fill(root: Path, *paths: str) -> None:
    for path in paths:
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            place.mkdir(exist_ok=True)
        else:
            place.write_text(path)


def paths(listed: Iterator[Listed]) -> List[str]:
    return [item.position for item in listed]


def stamp_of(client: LocalStorageClient, path: str) -> Stamp:
    entry = client.stat(path)
    assert entry is not None
    return entry.stamp


def leftovers(root: Path) -> List[str]:
    return [name for _, _, names in os.walk(root) for name in names if name.startswith(RESERVED_PREFIX)]


# Listing


def test_the_client_offers_every_optional_protocol(client):
    for offered in (
        "Copy",
        "Move",
        "Preserve",
        "Directories",
        "Digest",
        "Metadata",
        "Links",
        "Flush",
        "Sweep",
        "Close",
    ):
        assert isinstance(client, getattr(protocol, f"Supports{offered}")), offered


def test_a_listing_is_in_key_order_with_directories_before_their_contents(root, client):
    fill(root, "a/b", "a-b", "a.b", "a0", "ab/", "é", "z", "𝄞", "\ufffd")

    assert paths(client.list()) == ["a-b", "a.b", "a/", "a/b", "a0", "ab/", "z", "é", "\ufffd", "𝄞"]


NAMES = st.text(st.sampled_from("ab-./é𝄞\ufffd~0 "), min_size=1, max_size=4).map(lambda text: text.replace("/", "_"))
KEYS = st.lists(NAMES.filter(lambda name: name not in (".", "..")), min_size=1, max_size=3).map("/".join)


@settings(max_examples=60, deadline=None)
@given(st.sets(KEYS, max_size=12))
def test_any_tree_is_listed_whole_and_sorted_by_the_bytes_of_its_positions(keys):
    with tempfile.TemporaryDirectory() as directory:
        made: Set[str] = set()
        for key in keys:
            try:
                fill(Path(directory), key)
            except OSError:
                continue  # a file stands where this key needs a directory, or the other way round
        for above, directories, names in os.walk(directory):
            inside = os.path.relpath(above, directory) + "/" if above != directory else ""
            made.update(inside + name + "/" for name in directories)
            made.update(inside + name for name in names)

        assert paths(LocalStorageClient(directory).list()) == sorted(made, key=encoded)


def test_entries_carry_what_a_look_finds(root, client):
    fill(root, "d/f")
    os.chmod(root / "d/f", 0o640)
    os.utime(root / "d/f", ns=(7, 1_600_000_000_123_456_789))
    found = os.lstat(root / "d/f")

    assert list(client.list()) == [
        Entry("d", Kind.DIRECTORY, Stamp()),
        Entry("d/f", Kind.FILE, Stamp(3, 1_600_000_000_123_456_789, file_id=str(found.st_ino)), 0o640),
    ]
    assert [client.stat("d"), client.stat("d/f")] == list(client.list())


def test_a_prefix_lists_only_what_lies_below_it(root, client):
    fill(root, "a/b/c", "a/d", "ab")

    assert paths(client.list("a")) == ["a/b/", "a/b/c", "a/d"]


def test_what_cannot_be_listed_at_the_prefix_raises(root, client):
    fill(root, "file")
    (root / "link").symlink_to("/")

    for prefix in ("missing", "file", "link"):
        with pytest.raises(errors.NotFound):
            list(client.list(prefix))


def test_a_missing_root_is_an_error_and_never_an_empty_side(tmp_path):
    missing = LocalStorageClient(str(tmp_path / "missing"))

    assert missing.stat("") is None
    with pytest.raises(errors.NotFound):
        list(missing.list())


def test_a_root_that_disappears_while_it_is_listed_is_an_error(root, client):
    fill(root, "a/1", "b/1", "c")
    listing = client.list()
    next(listing)
    root.rename(root.parent / "elsewhere")

    with pytest.raises(errors.NotFound, match="disappeared"):
        list(listing)


def test_what_is_deleted_while_it_is_listed_is_absent(root, client):
    fill(root, "a", "b", "c", "d/e", "f")
    listing = client.list()
    first = next(listing)
    (root / "b").unlink()
    (root / "d/e").unlink()
    (root / "d").rmdir()

    assert [first.path, *paths(listing)] == ["a", "c", "f"]


@contextmanager
def as_an_ordinary_user() -> Iterator[None]:
    user = os.geteuid()
    try:
        # Permissions stop everybody but the administrator.
        os.seteuid(user or 65534)
        yield
    finally:
        os.seteuid(user)


def test_a_directory_that_cannot_be_listed_is_a_problem_and_the_rest_goes_on():
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        fill(Path(directory), "a", "closed/secret", "closed-by", "z")
        os.chmod(Path(directory) / "closed", 0)
        with as_an_ordinary_user():
            listed = list(LocalStorageClient(directory).list())
        os.chmod(Path(directory) / "closed", 0o700)

    assert paths(iter(listed)) == ["a", "closed-by", "closed/", "z"]
    problem = listed[2]
    assert isinstance(problem, Problem)
    assert (problem.kind, problem.extent) == (ProblemKind.DENIED, Extent.SUBTREE)
    assert "closed: permission denied" in problem.message


def test_a_tree_deeper_than_the_system_can_name_is_reported(root, client):
    here = os.getcwd()
    try:
        os.chdir(root)
        for _ in range(20):
            os.mkdir("d" * 250)
            os.chdir("d" * 250)
    finally:
        os.chdir(here)

    last = list(client.list())[-1]

    assert isinstance(last, Problem)
    assert (last.kind, last.extent) == (ProblemKind.UNSUPPORTED, Extent.SUBTREE)


class Pruned:
    def __init__(self, *directories: str) -> None:
        self.entered: List[Tuple[str, Set[str]]] = []
        self._directories = directories

    def enter(self, directory: str, names: Collection[str]) -> None:
        self.entered.append((directory, set(names)))

    def __call__(self, directory: str) -> bool:
        return directory in self._directories


def test_pruned_directories_are_delivered_but_not_entered(root, client):
    fill(root, "a/b/c", "a/d", "e/f", "g")
    prune = Pruned("a/b", "e")

    assert paths(client.list(prune=prune)) == ["a/", "a/b/", "a/d", "e/", "g"]
    assert prune.entered == [("", {"a", "e", "g"}), ("a", {"b", "d"})]


def test_the_trash_is_jumped_over_and_everything_else_of_a_reserved_name_reported(root, client):
    name = temporary_name()
    fill(root, ".syncengine-trash/run/x", "d/.syncengine-root", f"d/{name}", "d/.syncengine-tmp-folder/x", "d/.z")

    listed = list(client.list())

    assert [item.path for item in listed if isinstance(item, Entry)] == ["d", "d/.z"]
    assert {(item.path, item.kind, item.extent) for item in listed if isinstance(item, Problem)} == {
        (f"d/{name}", ProblemKind.LEFTOVER, Extent.NOTHING),
        ("d/.syncengine-root", ProblemKind.BAD_NAME, Extent.PATH),
        ("d/.syncengine-tmp-folder", ProblemKind.BAD_NAME, Extent.SUBTREE),
    }
    assert paths(client.list(".syncengine-trash")) == [".syncengine-trash/run/", ".syncengine-trash/run/x"]
    release(name)


def test_names_that_no_key_can_have_are_reported(root, client):
    fill(root, "C:x", "D:d/inner", "ok:x", "sub/C:x")

    listed = list(client.list())

    assert [item.path for item in listed] == ["C:x", "D:d", "ok:x", "sub", "sub/C:x"]
    assert [item.kind for item in listed if isinstance(item, Problem)] == [ProblemKind.BAD_NAME] * 2


def test_pipes_sockets_and_devices_are_reported_and_block_their_name(root, client):
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(root / "socket"))
    listed = list(client.list())

    assert [(item.path, item.kind) for item in listed] == [
        ("pipe", ProblemKind.UNSUPPORTED),
        ("socket", ProblemKind.UNSUPPORTED),
    ]
    for path in ("pipe", "socket"):
        with pytest.raises(errors.Unsupported):
            client.stat(path)
        with pytest.raises(errors.StorageError), client.read(path):
            pass
        with pytest.raises(errors.StorageError):
            client.write(path, Text(b"x"), expect=ABSENT)


# Symbolic links


@pytest.fixture
def linked(root: Path) -> Path:
    fill(root, "d/f", "target")
    (root.parent / "outside").mkdir()
    (root.parent / "outside/o").write_text("outside")
    (root / "broken").symlink_to("nowhere")
    (root / "circle").symlink_to("circle")
    (root / "d/up").symlink_to("..")
    (root / "file").symlink_to("target")
    (root / "inner").symlink_to("d")
    (root / "out").symlink_to("../outside")
    return root


def seen(client: LocalStorageClient) -> List[Tuple[str, object]]:
    return [(item.position, item.kind) for item in client.list()]


UNSEEN = ProblemKind.UNSUPPORTED
LISTED_LINKS = {
    SymlinkPolicy.SKIP: [
        ("broken", UNSEEN),
        ("circle", UNSEEN),
        ("d/", Kind.DIRECTORY),
        ("d/f", Kind.FILE),
        ("d/up", UNSEEN),
        ("file", UNSEEN),
        ("inner", UNSEEN),
        ("out", UNSEEN),
        ("target", Kind.FILE),
    ],
    SymlinkPolicy.PRESERVE: [
        ("broken", Kind.SYMLINK),
        ("circle", Kind.SYMLINK),
        ("d/", Kind.DIRECTORY),
        ("d/f", Kind.FILE),
        ("d/up", Kind.SYMLINK),
        ("file", Kind.SYMLINK),
        ("inner", Kind.SYMLINK),
        ("out", Kind.SYMLINK),
        ("target", Kind.FILE),
    ],
    SymlinkPolicy.FOLLOW: [
        ("broken", UNSEEN),
        ("circle", UNSEEN),
        ("d/", Kind.DIRECTORY),
        ("d/f", Kind.FILE),
        ("d/up/", UNSEEN),
        ("file", Kind.FILE),
        ("inner/", Kind.DIRECTORY),
        ("inner/f", Kind.FILE),
        ("inner/up/", UNSEEN),
        ("out/", Kind.DIRECTORY),
        ("out/o", Kind.FILE),
        ("target", Kind.FILE),
    ],
}


@pytest.mark.parametrize("policy", list(SymlinkPolicy), ids=lambda policy: policy.value)
def test_links_are_listed_as_the_policy_says(linked, policy):
    client = LocalStorageClient(str(linked), symlinks=policy)

    assert seen(client) == LISTED_LINKS[policy]


@pytest.mark.parametrize("policy", [SymlinkPolicy.SKIP, SymlinkPolicy.PRESERVE], ids=lambda policy: policy.value)
def test_a_look_at_a_link_sees_the_link_so_that_its_name_is_not_free(linked, policy):
    client = LocalStorageClient(str(linked), symlinks=policy)
    found = client.stat("file")

    assert found is not None
    assert (found.kind, found.link) == (Kind.SYMLINK, "target")
    with pytest.raises(errors.PreconditionFailed):
        client.write("file", Text(b"x"), expect=ABSENT)
    with pytest.raises(errors.StorageError), client.read("file"):
        pass


def test_a_followed_link_is_read_and_replaced_but_never_written_through(linked):
    client = LocalStorageClient(str(linked), symlinks=SymlinkPolicy.FOLLOW)
    with client.read("file") as content:
        assert content.read() == b"target"

    client.write("file", Text(b"new"), expect=exactly(stamp_of(client, "target")))

    assert (linked / "target").read_text() == "target"
    assert (linked / "file").read_text() == "new"
    assert not (linked / "file").is_symlink()


def test_a_followed_link_that_moves_becomes_a_file(linked):
    client = LocalStorageClient(str(linked), symlinks=SymlinkPolicy.FOLLOW)

    client.move("file", "d/moved", expect=ABSENT)

    assert (linked / "d/moved").read_text() == "target"
    assert not os.path.lexists(linked / "file")


def test_a_preserved_link_is_copied_moved_and_deleted_as_a_link(linked):
    client = LocalStorageClient(str(linked), symlinks=SymlinkPolicy.PRESERVE)
    before = stamp_of(client, "file")

    client.copy("file", "copied", expect=ABSENT, expect_origin=before)
    client.move("file", "d/moved", expect=ABSENT, expect_origin=before)
    client.preserve("copied", "preserved", expect=exactly(stamp_of(client, "copied")))
    client.delete("copied", expect=ANYTHING)

    assert [os.readlink(linked / name) for name in ("preserved", "d/moved")] == ["target", "target"]
    assert not os.path.lexists(linked / "copied")
    assert not os.path.lexists(linked / "file")


def test_a_link_is_put_at_a_free_name_or_in_place_of_the_expected_version(root, client):
    fill(root, "old")

    new = client.write_link("a/new", "../anything", expect=ABSENT)
    client.write_link("old", "there", expect=exactly(stamp_of(client, "old")))

    assert os.readlink(root / "a/new") == "../anything"
    assert os.readlink(root / "old") == "there"
    assert stamp_of(client, "a/new") == new
    for expect in (ABSENT, exactly(Stamp(size=77))):
        with pytest.raises(errors.PreconditionFailed):
            client.write_link("old", "elsewhere", expect=expect)
    assert os.readlink(root / "old") == "there"
    assert leftovers(root) == []


WRITING: List[Tuple[str, Callable[[LocalStorageClient, str], object]]] = [
    ("write", lambda client, inside: client.write(f"{inside}/new", Text(b"x"), expect=ABSENT)),
    ("replace", lambda client, inside: client.write(f"{inside}/o", Text(b"x"), expect=ANYTHING)),
    ("copy", lambda client, inside: client.copy("target", f"{inside}/new", expect=ABSENT)),
    ("move in", lambda client, inside: client.move("target", f"{inside}/new", expect=ABSENT)),
    ("move out", lambda client, inside: client.move(f"{inside}/o", "new", expect=ABSENT)),
    ("preserve", lambda client, inside: client.preserve("target", f"{inside}/new", expect=ANYTHING)),
    ("delete", lambda client, inside: client.delete(f"{inside}/o", expect=ANYTHING)),
    ("make directory", lambda client, inside: client.make_directory(f"{inside}/new")),
    ("remove directory", lambda client, inside: client.remove_directory(f"{inside}/empty")),
    ("set mode", lambda client, inside: client.set_mode(f"{inside}/o", 0o600, expect=ANYTHING)),
    ("write link", lambda client, inside: client.write_link(f"{inside}/new", "x", expect=ABSENT)),
]


@pytest.mark.parametrize("policy", list(SymlinkPolicy), ids=lambda policy: policy.value)
@pytest.mark.parametrize("act", [act for _, act in WRITING], ids=[says for says, _ in WRITING])
def test_nothing_is_changed_through_a_link_that_leaves_the_root(linked, act, policy):
    outside = linked.parent / "outside"
    (outside / "empty").mkdir()
    before = sorted((name, os.lstat(outside / name).st_ctime_ns) for name in os.listdir(outside))

    with pytest.raises(errors.PreconditionFailed):
        act(LocalStorageClient(str(linked), symlinks=policy), "out")

    assert sorted((name, os.lstat(outside / name).st_ctime_ns) for name in os.listdir(outside)) == before


def test_a_directory_that_became_a_link_since_the_last_write_is_not_followed(root, client):
    client.write("d/first", Text(b"x"), expect=ABSENT)
    (root / "d").rename(root / "moved")
    (root / "d").symlink_to("..")

    with pytest.raises(errors.PreconditionFailed):
        client.write("d/second", Text(b"x"), expect=ABSENT)


def test_followed_links_that_stay_inside_the_root_are_written_through(linked):
    client = LocalStorageClient(str(linked), symlinks=SymlinkPolicy.FOLLOW)

    client.write("inner/deeper/new", Text(b"x"), expect=ABSENT)

    assert (linked / "d/deeper/new").read_bytes() == b"x"


# Keys and names


@pytest.mark.parametrize("path", ["../x", "/x", "a/../x", "a//x", "a/", "a\0b", "./a", "C:/x", "\ud800"])
def test_paths_that_could_leave_the_root_are_refused_by_every_method(root, client, path):
    fill(root, "a")
    for act in (
        lambda: list(client.list(path)),
        lambda: client.stat(path),
        lambda: client.read(path),
        lambda: client.write(path, Text(b""), expect=ABSENT),
        lambda: client.copy("a", path, expect=ABSENT),
        lambda: client.move("a", path, expect=ABSENT),
        lambda: client.move(path, "b", expect=ABSENT),
        lambda: client.preserve("a", path, expect=ANYTHING),
        lambda: client.delete(path, expect=ANYTHING),
        lambda: client.make_directory(path),
        lambda: client.remove_directory(path),
        lambda: client.digest(path, "md5"),
        lambda: client.set_mode(path, 0o600, expect=ANYTHING),
        lambda: client.write_link(path, "a", expect=ABSENT),
        lambda: client.sweep(path),
    ):
        with pytest.raises(errors.Unsupported, match="cannot be a path"):
            act()
    assert os.listdir(root) == ["a"]


CORPUS = [
    "a[1].txt",
    "star*.txt",
    "what?",
    "new\nline",
    "tab\tand \x1b[31mcolour",
    " leading and trailing ",
    "back\\slash",
    "::chain",
    "#hash%20",
    "é",
    "e\u0301",
    "emoji 🎉",
    "undecodable-" + os.fsdecode(b"\xff\xfe"),
    "n" * 255,
    "-rf",
    "~",
    "'\"$HOME",
]


def test_names_are_literal_everywhere(root, client):
    decoys = ["a1.txt", "starX.txt", "whatX"]
    fill(root, *decoys)
    for name in CORPUS:
        data = encoded(name)
        stamp = client.write(f"d/{name}", Text(data), expect=ABSENT, mtime_ns=SECOND)
        assert stamp_of(client, f"d/{name}") == stamp
        with client.read(f"d/{name}", expect=stamp) as content:
            assert content.read() == data
        client.copy(f"d/{name}", f"e/{name}", expect=ABSENT, expect_origin=stamp)
        client.move(f"e/{name}", f"f/{name}", expect=ABSENT)

    names = sorted(CORPUS, key=encoded)
    assert [item.path for item in client.list("d")] == [f"d/{name}" for name in names]
    assert [item.path for item in client.list("f")] == [f"f/{name}" for name in names]
    assert [os.fsdecode(name) for name in sorted(os.listdir(os.fsencode(root / "d")))] == names
    for name in CORPUS:
        client.delete(f"f/{name}", expect=ANYTHING)
    assert list(client.list("f")) == []
    assert all((root / decoy).exists() for decoy in decoys)


def test_a_name_that_is_too_long_is_said_to_be_unsupported(client):
    with pytest.raises(errors.Unsupported, match="too long"):
        client.write("n" * 256, Text(b"x"), expect=ABSENT)


# Writing


@pytest.fixture(params=["as it is", "no nameless files", "no exclusive rename", "no hard links"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """File systems that lack one thing after the other."""
    lacking = ["as it is", "no nameless files", "no exclusive rename", "no hard links"].index(request.param)

    def no_link(*arguments: object, **options: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    if lacking >= 1:
        monkeypatch.setattr(local_writing, "CAN_BE_NAMELESS", False)
    if lacking >= 2:
        monkeypatch.setattr(local_writing, "_renamed_by_kernel", lambda old, new: False)
    if lacking >= 3:
        monkeypatch.setattr(os, "link", no_link)
    return str(request.param)


def test_writing_moving_and_preserving_keep_their_conditions_on_every_file_system(root, client, system):
    first = client.write("d/a", Text(b"one"), expect=ABSENT, mtime_ns=5 * SECOND)
    second = client.write("d/a", Text(b"two!"), expect=exactly(first))
    with pytest.raises(errors.PreconditionFailed):
        client.write("d/a", Text(b"x"), expect=ABSENT)
    with pytest.raises(errors.PreconditionFailed):
        client.write("d/a", Text(b"x"), expect=exactly(first))
    client.preserve("d/a", "kept/a", expect=exactly(second))
    client.move("d/a", "e/a", expect=ABSENT, expect_origin=second)
    client.write("d/a", Text(b"three"), expect=ABSENT)
    for refused in ("d/a", "kept/a"):
        with pytest.raises(errors.PreconditionFailed):
            client.move("e/a", refused, expect=ABSENT)
        with pytest.raises(errors.PreconditionFailed):
            client.preserve("e/a", refused, expect=ANYTHING)

    assert first.mtime_ns == 5 * SECOND
    assert {path: (root / path).read_bytes() for path in ("d/a", "e/a", "kept/a")} == {
        "d/a": b"three",
        "e/a": b"two!",
        "kept/a": b"two!",
    }
    assert leftovers(root) == []


@pytest.mark.parametrize("system_call", ["_copied_by_kernel", "_sent_by_kernel", "_copied_by_hand"])
def test_every_way_of_copying_moves_every_byte(root, client, monkeypatch, system_call):
    monkeypatch.setattr(local_writing, "_COPIERS", (getattr(local_writing, system_call),))
    monkeypatch.setattr(local_writing, "_KERNEL_SLICE_BYTES", 300_000)
    data = os.urandom(1_000_001)
    (root / "a").write_bytes(data)

    client.copy("a", "b", expect=ABSENT)

    assert (root / "b").read_bytes() == data


def test_a_copy_goes_on_by_hand_where_the_kernel_cannot(root, client, monkeypatch):
    def foreign(origin: int, target: int, count: int) -> int:
        raise OSError(errno.EXDEV, "not on one file system")

    monkeypatch.setattr(local_writing, "_COPIERS", (foreign, local_writing._copied_by_hand))
    (root / "a").write_bytes(b"content")

    client.copy("a", "b", expect=ABSENT)

    assert (root / "b").read_bytes() == b"content"


def test_a_new_file_has_the_permissions_of_the_umask_and_a_replaced_one_keeps_its_own(root, client):
    before = os.umask(0o027)
    try:
        client.write("new", Text(b"x"), expect=ABSENT)
        client.make_directory("made/deeply")
    finally:
        os.umask(before)
    fill(root, "script")
    os.chmod(root / "script", 0o751)
    client.write("script", Text(b"x"), expect=exactly(stamp_of(client, "script")))
    client.write("given", Text(b"x"), expect=ABSENT, mode=0o600)

    modes = {path: os.stat(root / path).st_mode & 0o7777 for path in ("new", "made/deeply", "script", "given")}
    assert modes == {"new": 0o640, "made/deeply": 0o750, "script": 0o751, "given": 0o600}


def test_the_stamp_returned_is_that_of_the_file_in_its_place(root, client):
    fill(root, "origin")
    os.utime(root / "origin", ns=(1, 1_234_567_890_987_654_321))
    os.chmod(root / "origin", 0o604)

    written = client.write("a", Text(b"abc"), expect=ABSENT)
    copied = client.copy("origin", "b", expect=ABSENT)
    moved = client.move("a", "c/d", expect=ABSENT)

    assert copied.mtime_ns == 1_234_567_890_987_654_321
    assert moved == written == stamp_of(client, "c/d")
    assert stamp_of(client, "b") == copied
    assert os.stat(root / "b").st_mode & 0o7777 == 0o604


class Breaking(Text):
    def read(self, size: int = -1) -> bytes:
        if self._data:
            return super().read(1)
        raise RuntimeError("the cable is out")


@pytest.mark.parametrize("expect", [ABSENT, ANYTHING], ids=["new", "existing"])
@pytest.mark.parametrize(
    ("content", "raised"),
    [
        (lambda: Breaking(b"half"), RuntimeError),
        (lambda: Text(b"short", size=9), errors.PreconditionFailed),
        (lambda: Text(b"too long", size=3), errors.PreconditionFailed),
    ],
    ids=["it breaks", "it is short", "it is long"],
)
def test_content_that_does_not_come_whole_changes_nothing(root, client, content, raised, expect):
    if expect is ANYTHING:
        fill(root, "f")

    with pytest.raises(raised):
        client.write("f", content(), expect=expect)

    assert sorted(os.listdir(root)) == (["f"] if expect is ANYTHING else [])
    assert expect is ABSENT or (root / "f").read_text() == "f"


def grown(place: Path) -> None:
    with place.open("ab") as file:
        file.write(b"more")


def replaced(place: Path) -> None:
    place.with_name("other").write_bytes(place.read_bytes())
    place.with_name("other").rename(place)


def touched(place: Path) -> None:
    os.utime(place, ns=(0, 0))


@pytest.mark.parametrize("change", [grown, replaced, touched, Path.unlink], ids=lambda change: change.__name__)
def test_a_file_that_changes_while_it_is_read_is_never_committed(root, client, change):
    fill(root, "f")
    with client.read("f") as content:
        change(root / "f")
        with pytest.raises(errors.PreconditionFailed):
            client.write("copy", content, expect=ABSENT)

    assert not (root / "copy").exists()
    assert leftovers(root) == []


def test_reading_is_pinned_to_the_expected_version(root, client):
    fill(root, "f", "g", "d/")

    with client.read("f", expect=stamp_of(client, "f")) as content:
        assert (content.size, content.local_path) == (1, str(root / "f"))
        assert [content.read(1), content.read(1), content.read()] == [b"f", b"", b""]
        assert content.verify() == stamp_of(client, "f")
    for path, error in (
        ("f", errors.PreconditionFailed),
        ("d", errors.PreconditionFailed),
        ("missing", errors.NotFound),
    ):
        with pytest.raises(error), client.read(path, expect=stamp_of(client, "g")):
            pass


def test_of_two_writers_of_a_new_file_exactly_one_wins(root, client):
    outcomes: List[object] = []

    def create(path: str, data: bytes, together: threading.Barrier) -> None:
        together.wait()
        try:
            outcomes.append(client.write(path, Text(data), expect=ABSENT))
        except errors.PreconditionFailed as error:
            outcomes.append(error)

    for turn in range(50):
        outcomes.clear()
        together = threading.Barrier(2)
        writers = [threading.Thread(target=create, args=(f"f{turn}", data, together)) for data in (b"one", b"three")]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

        (won,) = [outcome for outcome in outcomes if isinstance(outcome, Stamp)]
        assert len(outcomes) == 2
        assert stamp_of(client, f"f{turn}") == won


def test_parents_that_are_files_or_vanish_are_handled(root, client):
    fill(root, "file")
    with pytest.raises(errors.PreconditionFailed):
        client.write("file/below", Text(b"x"), expect=ABSENT)
    with pytest.raises(errors.PreconditionFailed):
        client.make_directory("file")
    client.write("d/e/one", Text(b"x"), expect=ABSENT)
    (root / "d/e/one").unlink()
    (root / "d/e").rmdir()

    client.write("d/e/two", Text(b"x"), expect=ABSENT)

    assert (root / "d/e/two").exists()
    assert client.stat("file/below") is None


def test_a_missing_root_is_made_once_but_not_when_it_was_there_before(tmp_path):
    client = LocalStorageClient(str(tmp_path / "new/root"))
    client.write("a", Text(b"x"), expect=ABSENT)
    (tmp_path / "new/root").rename(tmp_path / "unmounted")

    with pytest.raises(errors.NotFound, match="mounted"):
        client.write("b", Text(b"x"), expect=ABSENT)
    (tmp_path / "new/root").mkdir()
    with pytest.raises(errors.NotFound, match="another directory"):
        client.write("b", Text(b"x"), expect=ABSENT)
    assert list(client.list()) == []
    client.write("b", Text(b"x"), expect=ABSENT)


KILLED = """
import os, signal, sys
from syncengine.core.entry import Stamp
from syncengine.storage.local import LocalStorageClient
from syncengine.storage.protocol import ANYTHING

class Dying:
    size = None
    local_path = None
    sent = False

    def read(self, size=-1):
        if self.sent:
            os.kill(os.getpid(), signal.SIGKILL)
        self.sent = True
        return b"half"

LocalStorageClient(sys.argv[1]).write("d/f", Dying(), expect=ANYTHING)
"""


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(local.__file__).parents[2])}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_writer_killed_in_the_middle_leaves_the_old_content_and_a_file_that_is_swept(root, client):
    fill(root, "d/f")

    assert run(KILLED, str(root)).returncode == -signal.SIGKILL

    problems = [item for item in client.list() if isinstance(item, Problem)]
    assert (root / "d/f").read_text() == "d/f"
    assert [problem.kind for problem in problems] == [ProblemKind.LEFTOVER]
    assert client.sweep(problems[0].path)
    assert os.listdir(root / "d") == ["f"]


FULL = """
import resource, sys
from syncengine.errors import NoSpace
from syncengine.storage.local import LocalStorageClient
from syncengine.storage.protocol import ABSENT, ANYTHING

resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
client = LocalStorageClient(sys.argv[1])
for path, expect in (("new", ABSENT), ("old", ANYTHING)):
    try:
        client.copy("big", path, expect=expect)
    except NoSpace as error:
        print(path, error.path, type(error.__cause__).__name__)
"""


def test_a_full_storage_is_no_space_and_leaves_nothing_behind(root):
    fill(root, "old")
    (root / "big").write_bytes(bytes(3_000_000))

    finished = run(FULL, str(root))

    assert finished.stdout.splitlines() == ["new new OSError", "old old OSError"], finished.stderr
    assert sorted(os.listdir(root)) == ["big", "old"]
    assert (root / "old").read_text() == "old"


# The rest of the interface


def test_only_abandoned_temporary_files_are_swept(root, client):
    living = temporary_name()
    dead = f"{RESERVED_PREFIX}tmp-4194305-{host_mark()}-00ff"
    fill(root, living, dead, "mine")

    assert [client.sweep(name) for name in (living, dead, "mine", f"{RESERVED_PREFIX}tmp-gone")] == [
        False,
        True,
        False,
        False,
    ]
    assert sorted(os.listdir(root)) == sorted([living, "mine"])
    release(living)


def test_a_deletion_removes_exactly_the_expected_version(root, client):
    fill(root, "a", "b")
    before = stamp_of(client, "a")
    (root / "a").write_text("edited")

    with pytest.raises(errors.PreconditionFailed):
        client.delete("a", expect=exactly(before))
    with pytest.raises(errors.PreconditionFailed):
        client.delete("gone", expect=exactly(before))
    client.delete("gone", expect=ANYTHING)
    client.delete("b", expect=exactly(stamp_of(client, "b")))

    assert os.listdir(root) == ["a"]


def test_a_directory_is_never_deleted_as_a_file_nor_replaced_by_one(root, client):
    fill(root, "d/")

    for act in (
        lambda: client.delete("d", expect=ANYTHING),
        lambda: client.write("d", Text(b"x"), expect=ANYTHING),
        lambda: client.write("d", Text(b"x"), expect=ABSENT),
    ):
        with pytest.raises(errors.PreconditionFailed):
            act()
    assert (root / "d").is_dir()


def test_a_directory_is_removed_only_if_it_is_empty(root, client):
    fill(root, "full/f", "empty/", "file")
    client.make_directory("made/here")
    client.make_directory("made/here")

    client.remove_directory("empty")
    client.remove_directory("missing")
    client.remove_directory("made/here")
    for refused in ("full", "file"):
        with pytest.raises(errors.PreconditionFailed):
            client.remove_directory(refused)

    assert sorted(os.listdir(root)) == ["file", "full", "made"]


def test_a_directory_moves_as_a_whole_and_never_onto_another(root, client):
    fill(root, "a/b/c", "taken/")

    with pytest.raises(errors.PreconditionFailed):
        client.move("a", "taken", expect=ABSENT)
    client.move("a", "x/y", expect=ABSENT)

    assert (root / "x/y/b/c").read_text() == "a/b/c"


def test_a_move_happens_only_from_and_onto_the_expected_versions(root, client):
    fill(root, "a", "bb")
    a, b = stamp_of(client, "a"), stamp_of(client, "bb")

    for expect, expect_origin in ((ABSENT, a), (exactly(a), a), (exactly(b), b)):
        with pytest.raises(errors.PreconditionFailed):
            client.move("a", "bb", expect=expect, expect_origin=expect_origin)
    with pytest.raises(errors.NotFound):
        client.move("missing", "x", expect=ABSENT)
    client.move("a", "bb", expect=exactly(b), expect_origin=a)

    assert (root / "bb").read_text() == "a"
    assert not (root / "a").exists()


def test_a_move_onto_a_hard_link_of_the_same_file_leaves_one_name(root, client):
    fill(root, "a")
    os.link(root / "a", root / "b")

    client.move("a", "b", expect=exactly(stamp_of(client, "b")))

    assert os.listdir(root) == ["b"]


def test_a_preserved_version_survives_the_replacement_of_its_original(root, client):
    fill(root, "f")
    before = stamp_of(client, "f")

    kept = client.preserve("f", ".syncengine-trash/run/f", expect=exactly(before))
    client.write("f", Text(b"new"), expect=exactly(before))

    assert kept == before
    assert (root / ".syncengine-trash/run/f").read_text() == "f"
    assert (root / "f").read_text() == "new"
    with pytest.raises(errors.PreconditionFailed):
        client.preserve("f", "other", expect=exactly(before))
    with pytest.raises(errors.NotFound):
        client.preserve("missing", "other", expect=ANYTHING)


def test_permission_bits_are_set_on_the_expected_version_only(root, client):
    fill(root, "f")
    stamp = stamp_of(client, "f")

    assert client.set_mode("f", 0o400, expect=exactly(stamp)) == stamp
    with pytest.raises(errors.PreconditionFailed):
        client.set_mode("f", 0o777, expect=exactly(Stamp(size=99)))

    assert os.stat(root / "f").st_mode & 0o7777 == 0o400


def test_a_digest_is_of_the_expected_version_or_not_given(root, client):
    (root / "f").write_bytes(b"abc")

    assert client.digest("f", "md5", expect=stamp_of(client, "f")) == "md5:900150983cd24fb0d6963f7d28e17f72"
    with pytest.raises(errors.PreconditionFailed):
        client.digest("f", "md5", expect=Stamp(size=4))
    with pytest.raises(errors.Unsupported):
        client.digest("f", "no-such-digest")


def test_flushing_works_before_and_after_writing(client):
    client.flush()
    client.write("f", Text(b"x"), expect=ABSENT)
    client.flush()
    client.close()


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOENT, errors.NotFound),
        (errno.EACCES, errors.AccessDenied),
        (errno.EROFS, errors.AccessDenied),
        (errno.EEXIST, errors.PreconditionFailed),
        (errno.ENOTEMPTY, errors.PreconditionFailed),
        (errno.ENOSPC, errors.NoSpace),
        (errno.EDQUOT, errors.NoSpace),
        (errno.ENAMETOOLONG, errors.Unsupported),
        (errno.EIO, errors.Unavailable),
        (errno.ESTALE, errors.Unavailable),
        (errno.EDOM, errors.StorageError),
    ],
    ids=lambda value: errno.errorcode.get(value, "") if isinstance(value, int) else value.__name__,
)
def test_errors_of_the_system_say_what_the_caller_can_do(number, expected):
    failure = translated(OSError(number, os.strerror(number)), "a\nb")

    assert type(failure) is expected
    assert failure.path == "a\nb"
    assert str(failure).startswith("a\\nb: ")


def test_change_times_tell_a_renamed_directory_from_one_that_was_made_anew(tmp_path: Path) -> None:
    """Size, time and even the inode of a new file may be those of a deleted one; the change time never is."""
    (tmp_path / "old" / "deep").mkdir(parents=True)
    for name in ("old/a", "old/deep/b"):
        (tmp_path / name).write_text("1")
    client = LocalStorageClient(str(tmp_path))
    before = client.change_times("old")
    if before is None:
        pytest.skip("the file system of the temporary folder is not known to keep change times")
    agreed = dict(before)
    (tmp_path / "old").rename(tmp_path / "new")
    renamed = client.change_times("new")
    assert renamed is not None
    assert {path.replace("new", "old", 1): time for path, time in renamed} == agreed

    found = (tmp_path / "new/a").stat()
    while (tmp_path / "new/a").stat().st_ctime_ns == found.st_ctime_ns:  # until the kernel's clock has ticked
        (tmp_path / "new/a").unlink()
        (tmp_path / "new/a").write_text("2")
        os.utime(tmp_path / "new/a", ns=(found.st_atime_ns, found.st_mtime_ns))
    anew = client.change_times("new")
    assert anew is not None
    assert dict(anew)["new/a"] > agreed["old/a"]


def test_change_times_prove_nothing_where_the_system_does_not_say_what_it_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_times, "_MOUNTS", str(tmp_path / "missing"))

    assert LocalStorageClient(str(tmp_path)).change_times("") is None


# --------------------------------------------------------------------- folding


class FoldingCalls:
    """The calls of a system that finds a file under every case of its name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, inode: Optional[int] = None) -> None:
        for name in ("stat", "lstat"):
            monkeypatch.setattr(os, name, self._folding(getattr(os, name), inode))

    def _folding(self, call: Any, inode: Optional[int]) -> Any:
        def folding(path: Any, **options: Any) -> Any:
            above, name = os.path.split(os.fspath(path))
            spelled = next((each for each in os.listdir(above) if each.casefold() == name.casefold()), name)
            found = call(os.path.join(above, spelled), **options)
            return os.stat_result([found[0], inode, *found[2:]]) if inode is not None and name == "mount" else found

        return folding


def test_a_root_that_is_found_in_another_case_takes_names_of_different_case_for_one(tmp_path, monkeypatch):
    (tmp_path / "Photos").mkdir()
    FoldingCalls(monkeypatch)

    assert LocalStorageClient(str(tmp_path / "Photos")).capabilities.case_insensitive


def test_a_mounted_root_is_judged_by_what_it_holds(tmp_path, monkeypatch):
    (tmp_path / "mount").mkdir()
    (tmp_path / "mount" / "1").write_bytes(b"")
    FoldingCalls(monkeypatch, inode=1)
    empty = LocalStorageClient(str(tmp_path / "mount")).capabilities.case_insensitive
    (tmp_path / "mount" / "Readme").write_bytes(b"")

    assert not empty
    assert LocalStorageClient(str(tmp_path / "mount")).capabilities.case_insensitive


@pytest.mark.parametrize("make", ["nothing", "another", "hard link", "symbolic link"])
def test_a_root_that_tells_case_apart_is_not_mistaken(make, tmp_path):
    (tmp_path / "photos").mkdir()
    if make == "another":
        (tmp_path / "PHOTOS").mkdir()
    elif make == "symbolic link":
        (tmp_path / "PHOTOS").symlink_to(tmp_path / "photos")
    elif make == "hard link":
        (tmp_path / "photos" / "a").write_bytes(b"")
        os.link(tmp_path / "photos" / "a", tmp_path / "photos" / "A")

    assert not LocalStorageClient(str(tmp_path / "photos")).capabilities.case_insensitive
    assert not LocalStorageClient(str(tmp_path / "missing")).capabilities.case_insensitive


def test_on_this_system_looking_for_another_case_takes_two_calls(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    asked = []
    for name in ("stat", "lstat", "scandir", "listdir"):
        call = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *given, _call=call, **options: (asked.append(given[0]), _call(*given, **options))[1]
        )
    folds_case(str(tmp_path / "photos"))

    assert asked == [str(tmp_path / "photos"), str(tmp_path / "PHOTOS")]


def test_a_root_that_another_thread_makes_in_the_same_instant_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = LocalStorageClient(str(tmp_path / "root"))
    stat = os.stat
    late: List[str] = []

    def looking(path: Any, **options: Any) -> os.stat_result:
        try:
            return stat(path, **options)
        except FileNotFoundError:
            if not late:
                late.append(str(path))
                client.write("d/first", Bytes(b"1"), expect=ABSENT)  # as another thread would
            raise

    monkeypatch.setattr(os, "stat", looking)
    client.write("d/second", Bytes(b"2"), expect=ABSENT)

    assert late == [str(tmp_path / "root") + "/"]
    assert sorted(path.name for path in (tmp_path / "root/d").iterdir()) == ["first", "second"]
